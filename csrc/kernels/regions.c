/* regions.c - sums over the regions of a picture. */
#include <string.h>

#include "kernels.h"

void ig_region_sums(const double *values, const int32_t *labels, size_t pixels, size_t channels,
                    size_t regions, double *ret_sums)
{
    memset(ret_sums, 0, regions * sizeof *ret_sums);
    for (size_t p = 0; p < pixels; p++)
        for (size_t i = p * channels; i < (p + 1) * channels; i++)
            ret_sums[labels[p]] += values[i];
}

void ig_region_jumps(const float *gradient, const float *previous, const float *image,
                     const float *baseline, const int32_t *labels, size_t pixels, size_t channels,
                     size_t regions, double *ret_jumps)
{
    memset(ret_jumps, 0, regions * sizeof *ret_jumps);
    for (size_t p = 0; p < pixels; p++)
        for (size_t i = p * channels; i < (p + 1) * channels; i++)
            ret_jumps[labels[p]] +=
                ((double)gradient[i] - previous[i]) * ((double)image[i] - baseline[i]);
}

void ig_region_add_squares(const double *values, double weight, size_t regions, double *squares)
{
    for (size_t r = 0; r < regions; r++)
        squares[r] += weight * values[r] * values[r];
}
