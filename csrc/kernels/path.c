/* path.c - interpolation along a path and the sums that make its integral. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "clones.h"
#include "kernels.h"

void ig_path_interpolate(const float *image, const float *baseline, double alpha, size_t count,
                         float *ret_point)
{
    if (alpha == 1.0) { /* where one is tiny beside the other, the sum below would lose it */
        memcpy(ret_point, image, count * sizeof *ret_point);
        return;
    }
    for (size_t i = 0; i < count; i++) {
        const double start = baseline[i];
        ret_point[i] = (float)(start + alpha * (image[i] - start));
    }
}

void ig_path_accumulate(const float *gradient, double weight, size_t count, double *sum)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += weight * gradient[i];
}

IG_CLONES
void ig_path_accumulate_both(const float *gradient, double weight, double half_weight, size_t count,
                             double *restrict sum, double *restrict half)
{
    for (size_t i = 0; i < count; i++) {
        sum[i] += weight * gradient[i];
        half[i] += half_weight * gradient[i];
    }
}

void ig_path_accumulate_jump(const float *gradient, const float *previous, double weight,
                             size_t count, double *jumps)
{
    for (size_t i = 0; i < count; i++) {
        const double jump = (double)gradient[i] - previous[i];
        jumps[i] += weight * jump * jump;
    }
}

void ig_path_accumulate_pixel_jump(const float *gradient, const float *previous, const float *image,
                                   const float *baseline, double weight, size_t pixels,
                                   size_t channels, double *jumps)
{
    for (size_t p = 0; p < pixels; p++) {
        double sum = 0.0;
        for (size_t i = p * channels; i < (p + 1) * channels; i++)
            sum += ((double)gradient[i] - previous[i]) * ((double)image[i] - baseline[i]);
        const double mean = sum / (double)channels;
        jumps[p] += weight * mean * mean;
    }
}

double ig_path_jump_square(const float *gradient, const float *previous, const float *image,
                           const float *baseline, size_t count)
{
    double square = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double jump = (double)gradient[i] - previous[i];
        const double distance = (double)image[i] - baseline[i];
        square += jump * jump * distance * distance;
    }
    return square;
}

void ig_chord_accumulate(ig_chord chord, size_t count, double *sum)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += ((double)chord.to[i] - chord.from[i]) *
                  ((double)chord.gradient[i] + chord.previous[i]) / 2.0;
}

void ig_chord_accumulate_jump(ig_chord chord, double weight, size_t count, double *jumps)
{
    for (size_t i = 0; i < count; i++) {
        const double jump =
            ((double)chord.gradient[i] - chord.previous[i]) * ((double)chord.to[i] - chord.from[i]);
        jumps[i] += weight * jump * jump;
    }
}

void ig_path_accumulate_moved(const float *gradient, const double *moved, size_t count, double *sum)
{
    for (size_t i = 0; i < count; i++)
        sum[i] += gradient[i] * moved[i];
}

void ig_path_attribute(const float *image, const float *baseline, size_t count, double *sum,
                       double *half, double *jumps)
{
    for (size_t i = 0; i < count; i++) {
        const double distance = (double)image[i] - baseline[i];
        sum[i] *= distance;
        if (half)
            half[i] *= distance;
        if (jumps)
            jumps[i] *= distance * distance;
    }
}

void ig_path_scale(double factor, size_t count, double *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] *= factor;
}

void ig_path_square(size_t count, double *values)
{
    for (size_t i = 0; i < count; i++)
        values[i] *= values[i];
}

/* Squared deviations from the mean are updated as Youngs and Cramer do, from running sums: Chan,
 * Golub and LeVeque, Algorithms for computing the sample variance, 1983, equation 1.5. */
void ig_path_fold(ig_path_part part, size_t number, size_t count, ig_path_totals totals)
{
    const double k = (double)number;
    for (size_t i = 0; i < count; i++) {
        const double value = part.sum[i];
        totals.total[i] += value;
        if (totals.difference)
            totals.difference[i] += value - part.half[i];
        if (totals.variance)
            totals.variance[i] += part.jumps[i];
        if (totals.stratum)
            totals.stratum[i] = number == 1 ? value : totals.stratum[i] + value;
        if (totals.spread && number > 1) {
            const double running = totals.stratum ? totals.stratum[i] : totals.total[i];
            const double deviation = k * value - running;
            totals.spread[i] += deviation * deviation / (k * (k - 1.0));
        }
    }
}

ig_path_summary ig_path_summarise(ig_path_totals totals, double weight, double spread_scale,
                                  size_t count)
{
    const double square = weight * weight;
    ig_path_summary summary = {0};
    for (size_t i = 0; i < count; i++) {
        const double mean = totals.total[i] / weight;
        summary.sum += mean;
        summary.square += mean * mean;
        if (totals.difference)
            summary.difference_square += totals.difference[i] * totals.difference[i] / square;
        if (totals.variance)
            summary.variance += totals.variance[i] / square;
        if (totals.spread)
            summary.spread_square += spread_scale * totals.spread[i] / square;
    }
    return summary;
}

void ig_path_mean(const double *total, double weight, size_t count, float *ret_means)
{
    for (size_t i = 0; i < count; i++)
        ret_means[i] = (float)(total[i] / weight);
}

void ig_path_deviations(const double *variance, double scale, const double *spread,
                        double spread_scale, size_t count, float *ret_deviations)
{
    for (size_t i = 0; i < count; i++) {
        const double within = variance ? scale * variance[i] : 0.0;
        const double between = spread ? spread_scale * spread[i] : 0.0;
        ret_deviations[i] = (float)sqrt(within + between);
    }
}

void ig_path_channel_mean(const double *values, size_t pixels, size_t channels, double *ret_means)
{
    for (size_t p = 0; p < pixels; p++) {
        double sum = 0.0;
        for (size_t i = p * channels; i < (p + 1) * channels; i++)
            sum += values[i];
        ret_means[p] = sum / (double)channels;
    }
}

double ig_path_square_sum(const double *values, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += values[i] * values[i];
    return sum;
}

IG_CLONES
int ig_all_finite(const float *values, size_t count, size_t *ret_index)
{
    /* An exponent of all ones is NaN or inf. Bits and not isfinite(), so that the pass over good
     * values is vectorised; the search runs only where it found something. */
    uint32_t found = 0;
    for (size_t i = 0; i < count; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        found |= (bits & UINT32_C(0x7f800000)) == UINT32_C(0x7f800000);
    }
    if (!found)
        return 1;
    size_t i = 0;
    while (i + 1 < count && isfinite(values[i])) /* what another thread may have mended */
        i++;
    *ret_index = i;
    return 0;
}
