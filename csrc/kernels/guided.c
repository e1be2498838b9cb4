/* guided.c - where the path of Guided Integrated Gradients goes next. */
#include <math.h>
#include <stdint.h>
#include <string.h>

#include "kernels.h"

/* The value of this rank, from 0, among magnitudes: by their bits, which are in the same order,
 * 16 at a time. `histogram` holds 65536. */
static float select_rank(const float *magnitudes, size_t count, size_t rank, uint32_t *histogram)
{
    uint32_t bits, high = 0, low = 0;
    memset(histogram, 0, 65536 * sizeof *histogram);
    for (size_t i = 0; i < count; i++) {
        memcpy(&bits, &magnitudes[i], sizeof bits);
        histogram[bits >> 16]++;
    }
    for (; rank >= histogram[high]; high++)
        rank -= histogram[high];
    memset(histogram, 0, 65536 * sizeof *histogram);
    for (size_t i = 0; i < count; i++) {
        memcpy(&bits, &magnitudes[i], sizeof bits);
        if (bits >> 16 == high)
            histogram[bits & 0xffff]++;
    }
    for (; rank >= histogram[low]; low++)
        rank -= histogram[low];
    bits = high << 16 | low;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static int is_close(double a, double b)
{
    return fabs(a - b) <= 1e-9 * fmax(1.0, fmax(fabs(a), fabs(b)));
}

static double at(const float *image, const float *baseline, size_t i, double alpha)
{
    return baseline[i] + ((double)image[i] - baseline[i]) * alpha;
}

/* Moves what has fallen behind `least`, and returns how far all is from the image (L1). */
static double raise(const float *image, const float *baseline, double least, size_t count,
                    double *position)
{
    double left = 0.0;
    for (size_t i = 0; i < count; i++) {
        const double distance = (double)image[i] - baseline[i];
        if (distance != 0.0 && (position[i] - baseline[i]) / distance < least)
            position[i] = at(image, baseline, i, least);
        left += fabs(position[i] - image[i]);
    }
    return left;
}

size_t ig_guided_scratch(size_t count)
{
    return count + 65536;
}

void ig_guided_step(const float *gradient, const float *image, const float *baseline, size_t count,
                    size_t step, size_t steps, double fraction, double max_distance, float *scratch,
                    double *position)
{
    const double alpha = ((double)step + 1.0) / (double)steps;
    const double least = fmax(alpha - max_distance, 0.0), most = fmin(alpha + max_distance, 1.0);
    const size_t rank = (size_t)((double)(count - 1) * fraction);
    float *magnitudes = scratch;
    uint32_t *histogram = (uint32_t *)(void *)(scratch + count);
    double all = 0.0;
    for (size_t i = 0; i < count; i++) {
        magnitudes[i] = fabsf(gradient[i]);
        all += fabs((double)image[i] - baseline[i]);
    }
    const double goal = all * (1.0 - alpha);
    for (double share = 2.0; share > 1.0;) {
        const double left = raise(image, baseline, least, count, position);
        if (is_close(goal, left))
            return;
        for (size_t i = 0; i < count; i++)
            if (position[i] == at(image, baseline, i, most)) /* can go no further */
                magnitudes[i] = INFINITY;
        const float threshold = select_rank(magnitudes, count, rank, histogram);
        double movable = 0.0;
        for (size_t i = 0; i < count; i++)
            if (magnitudes[i] <= threshold && magnitudes[i] < INFINITY)
                movable += fabs(position[i] - at(image, baseline, i, most));
        if (movable == 0.0 || left < goal)
            return;
        share = (left - goal) / movable;
        for (size_t i = 0; i < count; i++)
            if (magnitudes[i] <= threshold && magnitudes[i] < INFINITY) {
                const double end = at(image, baseline, i, most);
                position[i] = share > 1.0 ? end : position[i] + (end - position[i]) * share;
            }
    }
}
