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

void ig_path_fold(const float *image, const float *baseline, ig_path_part part, size_t pixels,
                  size_t channels, ig_path_totals totals)
{
    for (size_t p = 0; p < pixels; p++) {
        double sum = 0.0;
        for (size_t i = p * channels; i < (p + 1) * channels; i++) {
            const double distance = (double)image[i] - baseline[i];
            const double attribution = distance * part.sum[i];
            sum += attribution;
            totals.total[i] += attribution;
            if (totals.difference)
                totals.difference[i] += attribution - distance * part.half[i];
            if (totals.variance)
                totals.variance[i] += distance * distance * part.jumps[i];
            if (totals.square)
                totals.square[i] += attribution * attribution;
        }
        if (totals.pixel_variance)
            totals.pixel_variance[p] += part.pixel_jumps[p];
        if (totals.pixel_square)
            totals.pixel_square[p] += sum * sum / (double)(channels * channels);
    }
}

/* Squared standard error of the mean of M values, from their sum and sum of squares. */
static double spread_square(double total, double square, double baselines)
{
    const double mean = total / baselines;
    const double variance = square / baselines - mean * mean;
    return variance > 0.0 ? variance / (baselines - 1.0) : 0.0;
}

ig_path_summary ig_path_finish(ig_path_totals totals, size_t baselines, size_t count,
                               float *ret_attributions)
{
    const double m = (double)baselines;
    ig_path_summary summary = {0};
    for (size_t i = 0; i < count; i++) {
        const double mean = totals.total[i] / m;
        ret_attributions[i] = (float)mean;
        summary.sum += mean;
        summary.square += mean * mean;
        if (totals.difference)
            summary.difference_square += totals.difference[i] * totals.difference[i] / (m * m);
        if (totals.variance)
            summary.variance += totals.variance[i] / (m * m);
        if (totals.square && baselines > 1)
            summary.spread_square += spread_square(totals.total[i], totals.square[i], m);
    }
    return summary;
}

void ig_path_deviations(const double *variance, const double *total, const double *square,
                        size_t baselines, double scale, size_t count, float *ret_deviations)
{
    const double m = (double)baselines;
    for (size_t i = 0; i < count; i++) {
        double deviation = scale * variance[i] / (m * m);
        if (square && baselines > 1)
            deviation += spread_square(total[i], square[i], m);
        ret_deviations[i] = (float)sqrt(deviation);
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

double ig_path_sum(const double *values, size_t count)
{
    double sum = 0.0;
    for (size_t i = 0; i < count; i++)
        sum += values[i];
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
