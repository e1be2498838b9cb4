/* morphology.c - grey dilation and erosion of a map, with SciPy's origin and mirrored edges.
 *
 * A window maximum over a rectangle is one over its columns and then one over its rows. Each is
 * found in O(1) a pixel, however long the window, by the method of van Herk ("A fast algorithm for
 * local minimum and maximum filters on rectangular and octagonal kernels", Pattern Recognition
 * Letters 13, 1992) and Gil and Werman ("Computing 2-D min, median, and max filters", IEEE TPAMI
 * 15, 1993). Erosion is dilation of the negated map, negated; negation is exact.
 */
#include <math.h>
#include <string.h>

#include "clones.h"
#include "kernels.h"

/* Where position `at` of an endless mirrored line of n values lies: d c b a | a b c d | d c b a. */
static size_t mirror(ptrdiff_t at, size_t n)
{
    const ptrdiff_t length = (ptrdiff_t)n, period = 2 * length;
    at %= period;
    if (at < 0)
        at += period;
    return (size_t)(at < length ? at : period - 1 - at);
}

/* A window of `size` that begins `before` values ahead of its pixel. */
typedef struct {
    size_t size, before;
} window;

/* SciPy's origin: an even window leans to the upper left in an erosion and, mirrored, to the lower
 * right in a dilation. */
static window make_window(size_t size, int mirrored)
{
    return (window){size, mirrored && size % 2 == 0 ? size / 2 - 1 : size / 2};
}

/* A window twice as long as its line meets every value wherever it lies, and need not be longer. */
static window shorten(window w, size_t n)
{
    return w.size > 2 * n ? (window){2 * n, n} : w;
}

/* Mirrors the n values at line + w.before into the places before and after them. */
static void pad(double *line, size_t n, window w)
{
    const double *values = line + w.before;
    for (size_t i = 0; i < w.before; i++)
        line[i] = values[mirror((ptrdiff_t)i - (ptrdiff_t)w.before, n)];
    for (size_t i = w.before + n; i < n + w.size - 1; i++)
        line[i] = values[mirror((ptrdiff_t)(i - w.before), n)];
}

IG_CLONES
static void scale(const double *restrict values, size_t n, double factor,
                  double *restrict ret_values)
{
    for (size_t i = 0; i < n; i++)
        ret_values[i] = factor * values[i];
}

/* maxima[i] becomes factor * values[i] + shift where that is greater. */
IG_CLONES
static void take_greater(double *restrict maxima, const double *restrict values, size_t n,
                         double factor, double shift)
{
    for (size_t i = 0; i < n; i++) {
        const double value = factor * values[i] + shift;
        maxima[i] = maxima[i] > value ? maxima[i] : value;
    }
}

/* ret_maxima[i] = maximum of line[i] .. line[i + size - 1], for n values. A window that starts in
 * a block of `size` values is the end of that block and the beginning of the next: one maximum
 * that runs back from the end of the block, in place, and one that runs on from there. */
static void filter_line(double *line, size_t n, size_t size, double *ret_maxima)
{
    for (size_t start = 0; start < n; start += size) {
        double *block = line + start;
        const double *next = block + size;
        for (size_t j = size - 1; j > 0; j--)
            block[j - 1] = block[j - 1] > block[j] ? block[j - 1] : block[j];
        ret_maxima[start] = block[0];
        double running = -INFINITY;
        for (size_t j = 1; j < size && start + j < n; j++) {
            running = running > next[j - 1] ? running : next[j - 1];
            ret_maxima[start + j] = block[j] > running ? block[j] : running;
        }
    }
}

/* Rows of scratch lie a cache line more than a width apart: widths are powers of two more often
 * than not, and rows that share their place in the cache push each other out (measured: twice the
 * time at 1024). */
enum { STAGGER = 8 };

/* A map to dilate, or with a sign of -1 to erode. */
typedef struct {
    const double *values;
    size_t height, width;
    double sign;
} source;

/* Row `i` of the window that begins `before` rows ahead of row y. */
static const double *source_row(source from, size_t y, size_t before, size_t i)
{
    const ptrdiff_t at = (ptrdiff_t)(y + i) - (ptrdiff_t)before;
    return from.values + mirror(at, from.height) * from.width;
}

/* Windows of up to this many values are compared one by one, which is quicker than running maxima
 * (measured, with 3 values: half the time), along rows up to more because it is vectorised there
 * and running maxima are not. */
enum { SHORT_ALONG = 8, SHORT_DOWN = 4 };

/* A line of maxima down the columns becomes a row of maxima over rectangles, shifted. */
IG_CLONES
static void finish_row(source from, window wide, double shift, double *line, double *ret_row)
{
    pad(line, from.width, wide);
    if (wide.size > SHORT_ALONG) {
        filter_line(line, from.width, wide.size, ret_row);
    } else {
        memcpy(ret_row, line, from.width * sizeof *line);
        for (size_t j = 1; j < wide.size; j++)
            take_greater(ret_row, line + j, from.width, 1.0, 0.0);
    }
    for (size_t x = 0; x < from.width; x++)
        ret_row[x] = from.sign * (ret_row[x] + shift);
}

static void filter_short(source from, window tall, window wide, double shift, double *line,
                         double *ret_map)
{
    double *maxima = line + wide.before;
    for (size_t y = 0; y < from.height; y++) {
        scale(source_row(from, y, tall.before, 0), from.width, from.sign, maxima);
        for (size_t i = 1; i < tall.size; i++)
            take_greater(maxima, source_row(from, y, tall.before, i), from.width, from.sign, 0.0);
        finish_row(from, wide, shift, line, ret_map + y * from.width);
    }
}

/* Down the columns as in filter_line, but a whole row at a time: block and running hold rows. */
static void filter_tall(source from, window tall, window wide, double shift, double *scratch,
                        double *ret_map)
{
    const size_t width = from.width, stride = width + STAGGER;
    double *block = scratch, *running = block + tall.size * stride, *line = running + stride;
    for (size_t start = 0; start < from.height; start += tall.size) {
        for (size_t j = tall.size; j-- > 0;) {
            double *row = block + j * stride;
            scale(source_row(from, start, tall.before, j), width, from.sign, row);
            if (j + 1 < tall.size)
                take_greater(row, row + stride, width, 1.0, 0.0);
        }
        for (size_t x = 0; x < width; x++)
            running[x] = -INFINITY;
        for (size_t j = 0; j < tall.size && start + j < from.height; j++) {
            double *row = block + j * stride;
            if (j > 0) {
                const size_t next = tall.size + j - 1;
                take_greater(running, source_row(from, start, tall.before, next), width, from.sign,
                             0.0);
                take_greater(row, running, width, 1.0, 0.0);
            }
            memcpy(line + wide.before, row, width * sizeof *line);
            finish_row(from, wide, shift, line, ret_map + (start + j) * width);
        }
    }
}

/* For each value of the structure, the row that it meets, moved and raised by it. */
static void filter_row(source from, ig_structure structure, size_t y, double *line, double *ret_row)
{
    const int mirrored = from.sign > 0.0;
    const window tall = make_window(structure.rows, mirrored);
    const window wide = make_window(structure.columns, mirrored);
    const size_t last = structure.rows * structure.columns - 1;
    for (size_t x = 0; x < from.width; x++)
        ret_row[x] = -INFINITY;
    for (size_t i = 0; i < structure.rows; i++) {
        scale(source_row(from, y, tall.before, i), from.width, from.sign, line + wide.before);
        pad(line, from.width, wide);
        for (size_t j = 0; j < structure.columns; j++) {
            const size_t at = i * structure.columns + j;
            take_greater(ret_row, line + j, from.width, 1.0,
                         structure.values[mirrored ? last - at : at]);
        }
    }
    for (size_t x = 0; x < from.width; x++)
        ret_row[x] *= from.sign;
}

static int is_constant(ig_structure structure)
{
    for (size_t i = 1; i < structure.rows * structure.columns; i++)
        if (structure.values[i] != structure.values[0])
            return 0;
    return 1;
}

static void filter(source from, ig_structure structure, double *scratch, double *ret_map)
{
    const int mirrored = from.sign > 0.0;
    if (is_constant(structure)) {
        const window tall = shorten(make_window(structure.rows, mirrored), from.height);
        const window wide = shorten(make_window(structure.columns, mirrored), from.width);
        if (tall.size > SHORT_DOWN)
            filter_tall(from, tall, wide, structure.values[0], scratch, ret_map);
        else
            filter_short(from, tall, wide, structure.values[0], scratch, ret_map);
    } else {
        for (size_t y = 0; y < from.height; y++)
            filter_row(from, structure, y, scratch, ret_map + y * from.width);
    }
}

size_t ig_morphology_scratch(size_t height, size_t width, ig_structure structure)
{
    /* Rows of a block and the running one, and a line with its padding. */
    const size_t rows = structure.rows < 2 * height ? structure.rows : 2 * height;
    return (rows + 2) * (width + STAGGER) + structure.columns;
}

void ig_dilate(const double *map, size_t height, size_t width, ig_structure structure,
               double *scratch, double *ret_map)
{
    filter((source){map, height, width, 1.0}, structure, scratch, ret_map);
}

void ig_erode(const double *map, size_t height, size_t width, ig_structure structure,
              double *scratch, double *ret_map)
{
    filter((source){map, height, width, -1.0}, structure, scratch, ret_map);
}
