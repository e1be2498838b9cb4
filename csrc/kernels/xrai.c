/* xrai.c - regions ranked by the density of their attribution: XRAI (Kapishnikov et al., "XRAI:
 * Better Attributions Through Regions", ICCV 2019, arXiv 1906.02825).
 *
 * The authors' code looks at every pixel of every segment for each region that it takes. Here the
 * runs of all segments cut the picture into cells, none of which a segment holds in part, and what
 * is taken leaves the sums of the segments that hold its cells, by a list of them for each cell:
 * over all regions, that is one pass over the segments' cells.
 *
 * Sums have a fixed point and 128 bits, so that adding and taking away are exact. Segments that
 * were cut differently and are left with the same pixels are then equally dense to the last bit,
 * and the first of them is taken, as by the authors' code.
 */
#include <math.h>
#include <string.h>

#include "kernels.h"

typedef __int128 fixed;

/* Of the largest magnitude: 2^31 of them can be added up. */
enum { FIXED_BITS = 95 };

typedef struct {
    fixed sum;
    int64_t area;
} part;

typedef struct {
    size_t pixels, cells;
    ig_segments segments;
    int shift;       /* of the point */
    part *left;      /* of each segment */
    part *cell;      /* pixels, or fewer */
    double *gains;   /* of each segment */
    int64_t *firsts; /* pixels + 1, or fewer: where in `owners` the segments of each cell begin */
    int32_t *owners;
    int32_t *cell_at; /* pixels + 1 */
    int32_t *regions; /* of each cell, -1 for none */
} xrai;

size_t ig_xrai_scratch(size_t pixels, ig_segments segments)
{
    size_t members = 0;
    for (int64_t i = 0; i < segments.starts[segments.count]; i++)
        members += (size_t)(segments.runs[i].end - segments.runs[i].begin);
    return segments.count * (sizeof(part) + sizeof(double)) +
           (pixels + 1) * (sizeof(part) + sizeof(int64_t) + 2 * sizeof(int32_t)) +
           members * sizeof(int32_t);
}

/* The scratch holds the widest types first, so that all are aligned. */
static xrai lay_out(size_t pixels, ig_segments segments, void *scratch)
{
    xrai x = {.pixels = pixels, .segments = segments, .left = scratch};
    x.cell = x.left + segments.count;
    x.gains = (void *)(x.cell + pixels + 1);
    x.firsts = (void *)(x.gains + segments.count);
    x.cell_at = (void *)(x.firsts + pixels + 1);
    x.regions = x.cell_at + pixels + 1;
    x.owners = x.regions + pixels + 1;
    return x;
}

/* Cuts the picture wherever a run begins or ends. */
static void find_cells(xrai *x)
{
    const int64_t runs = x->segments.starts[x->segments.count];
    memset(x->cell_at, 0, (x->pixels + 1) * sizeof *x->cell_at);
    for (int64_t i = 0; i < runs; i++)
        x->cell_at[x->segments.runs[i].begin] = x->cell_at[x->segments.runs[i].end] = 1;
    x->cell_at[0] = 0;
    x->cell_at[x->pixels] = 1;
    for (size_t p = 0; p < x->pixels; p++)
        x->cell_at[p + 1] += x->cell_at[p];
    x->cells = (size_t)x->cell_at[x->pixels];
}

static void measure_cells(xrai *x, const double *attributions)
{
    double largest = 0.0;
    int exponent;
    for (size_t p = 0; p < x->pixels; p++)
        largest = fmax(largest, fabs(attributions[p]));
    (void)frexp(largest, &exponent);
    x->shift = FIXED_BITS - exponent;
    memset(x->cell, 0, x->cells * sizeof *x->cell);
    for (size_t p = 0; p < x->pixels; p++) {
        part *cell = &x->cell[x->cell_at[p]];
        cell->sum += (fixed)ldexp(attributions[p], x->shift);
        cell->area++;
    }
}

/* Measures the segments, and lists those of each cell: sorts them by cell, by counting. */
static void list_owners(xrai *x)
{
    const ig_segments s = x->segments;
    memset(x->left, 0, s.count * sizeof *x->left);
    memset(x->firsts, 0, (x->cells + 1) * sizeof *x->firsts);
    for (size_t k = 0; k < s.count; k++)
        for (int64_t i = s.starts[k]; i < s.starts[k + 1]; i++)
            for (int32_t c = x->cell_at[s.runs[i].begin]; c < x->cell_at[s.runs[i].end]; c++) {
                x->left[k].sum += x->cell[c].sum;
                x->left[k].area += x->cell[c].area;
                x->firsts[c]++;
            }
    for (size_t c = 0; c < x->cells; c++)
        x->firsts[c + 1] += x->firsts[c];
    /* Each is the end of its list now, and will be its beginning when that is filled. */
    for (size_t k = 0; k < s.count; k++)
        for (int64_t i = s.starts[k]; i < s.starts[k + 1]; i++)
            for (int32_t c = x->cell_at[s.runs[i].begin]; c < x->cell_at[s.runs[i].end]; c++)
                x->owners[--x->firsts[c]] = (int32_t)k;
}

static double density_of(const xrai *x, size_t segment)
{
    const part *left = &x->left[segment];
    return ldexp((double)left->sum / (double)left->area, -x->shift);
}

static void weigh(xrai *x, size_t least)
{
    for (size_t k = 0; k < x->segments.count; k++)
        if ((size_t)x->left[k].area >= least)
            x->gains[k] = density_of(x, k);
}

/* The first of those that gain most; as many as there are segments if all are too small. */
static size_t find_best(const xrai *x, size_t least)
{
    size_t best = x->segments.count;
    for (size_t k = 0; k < x->segments.count; k++)
        if ((size_t)x->left[k].area >= least &&
            (best == x->segments.count || x->gains[k] > x->gains[best]))
            best = k;
    return best;
}

/* Makes a region of what a segment is left with: takes it from all segments that hold it. */
static void take(xrai *x, size_t segment, int32_t region)
{
    const ig_segments s = x->segments;
    for (int64_t i = s.starts[segment]; i < s.starts[segment + 1]; i++)
        for (int32_t c = x->cell_at[s.runs[i].begin]; c < x->cell_at[s.runs[i].end]; c++) {
            if (x->regions[c] >= 0)
                continue;
            x->regions[c] = region;
            for (int64_t j = x->firsts[c]; j < x->firsts[c + 1]; j++) {
                x->left[x->owners[j]].sum -= x->cell[c].sum;
                x->left[x->owners[j]].area -= x->cell[c].area;
            }
        }
}

size_t ig_xrai(const double *attributions, size_t pixels, ig_segments segments, size_t least,
               double most_covered, int is_fast, void *scratch, int32_t *ret_labels,
               int32_t *ret_segments, double *ret_densities)
{
    xrai x = lay_out(pixels, segments, scratch);
    find_cells(&x);
    measure_cells(&x, attributions);
    list_owners(&x);
    weigh(&x, least);
    memset(x.regions, 0xff, x.cells * sizeof *x.regions); /* -1 */
    size_t count = 0, covered = 0;
    while ((double)covered / (double)pixels <= most_covered) {
        const size_t best = find_best(&x, least);
        if (best == segments.count)
            break;
        ret_segments[count] = (int32_t)best;
        ret_densities[count] = density_of(&x, best);
        covered += (size_t)x.left[best].area;
        take(&x, best, (int32_t)count++);
        if (!is_fast)
            weigh(&x, least);
    }
    for (size_t p = 0; p < pixels; p++)
        ret_labels[p] = x.regions[x.cell_at[p]];
    return count;
}
