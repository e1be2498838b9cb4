/* blur.c - Gaussian blur with mirrored edges, as two products with small matrices. */
#include <math.h>
#include <string.h>

#include "clones.h"
#include "kernels.h"

/* As SciPy's gaussian_filter(mode="reflect"): cut off at 4 standard deviations, then made to sum
 * to 1, and "d c b a | a b c d | d c b a" at the edges. */
void ig_blur_weights(double sigma, size_t length, double *ret_weights)
{
    const long n = (long)length, radius = (long)(4.0 * sigma + 0.5);
    double norm = 0.0;
    for (long d = -radius; d <= radius; d++)
        norm += radius ? exp(-0.5 * (double)(d * d) / (sigma * sigma)) : 1.0;
    memset(ret_weights, 0, length * length * sizeof *ret_weights);
    for (long d = -radius; d <= radius; d++) {
        const double weight = (radius ? exp(-0.5 * (double)(d * d) / (sigma * sigma)) : 1.0) / norm;
        for (long y = 0; y < n; y++) {
            const long folded = ((y + d) % (2 * n) + 2 * n) % (2 * n);
            const long from = folded < n ? folded : 2 * n - 1 - folded;
            ret_weights[y * n + from] += weight;
        }
    }
}

enum { BLOCK = 32 };

/* So many columns of one row of weights times values; weights are 0 outside `first` .. `end`. */
static inline void multiply_block(const double *weights, size_t first, size_t end,
                                  const double *values, size_t stride, size_t width,
                                  double *ret_row)
{
    double sums[BLOCK] = {0.0};
    for (size_t j = first; j < end; j++)
        for (size_t i = 0; i < width; i++)
            sums[i] += weights[j] * values[j * stride + i];
    memcpy(ret_row, sums, width * sizeof *sums);
}

IG_CLONES
static void multiply(const double *weights, const double *values, size_t rows, size_t columns,
                     double *restrict ret_product)
{
    for (size_t y = 0; y < rows; y++) {
        size_t first = 0, end = rows;
        while (first < y && weights[y * rows + first] == 0.0)
            first++;
        while (end > y + 1 && weights[y * rows + end - 1] == 0.0)
            end--;
        size_t x = 0;
        for (; x + BLOCK <= columns; x += BLOCK)
            multiply_block(weights + y * rows, first, end, values + x, columns, BLOCK,
                           ret_product + y * columns + x);
        if (x < columns)
            multiply_block(weights + y * rows, first, end, values + x, columns, columns - x,
                           ret_product + y * columns + x);
    }
}

/* (rows, columns, channels) to (columns, rows, channels). */
static void transpose(const double *values, size_t rows, size_t columns, size_t channels,
                      double *restrict ret_values)
{
    for (size_t y = 0; y < rows; y++)
        for (size_t x = 0; x < columns; x++)
            memcpy(ret_values + (x * rows + y) * channels, values + (y * columns + x) * channels,
                   channels * sizeof *values);
}

size_t ig_blur_scratch(size_t height, size_t width, size_t channels)
{
    const size_t side = height > width ? height : width;
    return side * side + height * width * channels;
}

void ig_blur(const float *picture, size_t height, size_t width, size_t channels, double sigma,
             double *scratch, double *ret_blurred)
{
    const size_t side = height > width ? height : width, count = height * width * channels;
    double *weights = scratch, *other = scratch + side * side;
    for (size_t i = 0; i < count; i++)
        ret_blurred[i] = picture[i];
    if (sigma == 0.0)
        return;
    ig_blur_weights(sigma, height, weights);
    multiply(weights, ret_blurred, height, width * channels, other);
    transpose(other, height, width, channels, ret_blurred);
    ig_blur_weights(sigma, width, weights);
    multiply(weights, ret_blurred, width, height * channels, other);
    transpose(other, width, height, channels, ret_blurred);
}
