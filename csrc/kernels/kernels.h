/* kernels.h - every loop over pixels, on plain pointers and sizes.
 *
 * Kernels know neither Python nor torch, validate nothing, allocate nothing and cannot fail: the
 * caller has checked shapes, sizes and finiteness, and owns every buffer. Buffers do not overlap
 * unless a comment says so. Data is float32, accumulators are double.
 */
#ifndef INTGRAD_KERNELS_H
#define INTGRAD_KERNELS_H

#include <stddef.h>

/* path.c: the path integral ------------------------------------------------------------------ */

/* ret_point[i] = baseline[i] + alpha * (image[i] - baseline[i]), exact at both ends. */
void ig_path_interpolate(const float *image, const float *baseline, double alpha, size_t count,
                         float *ret_point);

/* sum[i] += weight * gradient[i]. */
void ig_path_accumulate(const float *gradient, double weight, size_t count, double *sum);

/* jumps[i] += weight * (gradient[i] - previous[i])^2. */
void ig_path_accumulate_jump(const float *gradient, const float *previous, double weight,
                             size_t count, double *jumps);

/* jumps[p] += weight * (mean over the channels of (gradient - previous) * (image - baseline))^2:
 * the jump of a pixel's mean attribution, which the channels' own jumps do not tell. */
void ig_path_accumulate_pixel_jump(const float *gradient, const float *previous, const float *image,
                                   const float *baseline, double weight, size_t pixels,
                                   size_t channels, double *jumps);

/* || (gradient - previous) * (image - baseline) ||, squared. */
double ig_path_jump_square(const float *gradient, const float *previous, const float *image,
                           const float *baseline, size_t count);

/* What the paths of one image and target add up to; an array that is not wanted is NULL. The first
 * four hold a double for every value of a picture, the last two one for every pixel. */
typedef struct {
    double *total;          /* attributions */
    double *difference;     /* attributions of T less those of T_half */
    double *variance;       /* jump variance in attribution units */
    double *square;         /* squared attributions of each baseline */
    double *pixel_variance; /* jump variance of the mean over the channels */
    double *pixel_square;   /* squared mean over the channels, of each baseline */
} ig_path_totals;

/* What a path store summed up along one path (engine/backend.h), all in gradient units but the
 * last; those that totals has no use for may be NULL. */
typedef struct {
    const double *sum, *half, *jumps;
    const double *pixel_jumps;
} ig_path_part;

/* Adds a finished path to the totals: mean gradients become attributions here, by the factor
 * image - baseline. */
void ig_path_fold(const float *image, const float *baseline, ig_path_part part, size_t pixels,
                  size_t channels, ig_path_totals totals);

/* Sums over the pixels of the mean over `baselines` paths. */
typedef struct {
    double sum;               /* of the attributions */
    double square;            /* of the attributions, squared */
    double difference_square; /* of T - T_half, squared */
    double variance;          /* of the mean's jump variance */
    double spread_square;     /* of the squared standard error of the mean over the baselines */
} ig_path_summary;

/* Writes the mean attributions and sums up what is needed to judge them. Terms whose totals are
 * NULL are 0, and so is the spread of a single baseline. */
ig_path_summary ig_path_finish(ig_path_totals totals, size_t baselines, size_t count,
                               float *ret_attributions);

/* ret_deviations[i] = sqrt(scale * variance[i] / baselines^2), to which the squared standard error
 * over the baselines is added, from the sums and sums of squares of what each gave, where `square`
 * is not NULL. */
void ig_path_deviations(const double *variance, const double *total, const double *square,
                        size_t baselines, double scale, size_t count, float *ret_deviations);

/* ret_means[p] = mean over the channels. */
void ig_path_channel_mean(const double *values, size_t pixels, size_t channels, double *ret_means);

/* The sum of the values, squared or as they are. */
double ig_path_square_sum(const double *values, size_t count);
double ig_path_sum(const double *values, size_t count);

/* 1 if every value is finite, else 0 and *ret_index is the first that is not. */
int ig_all_finite(const float *values, size_t count, size_t *ret_index);

#endif
