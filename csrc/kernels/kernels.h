/* kernels.h - every loop over pixels, on plain pointers and sizes.
 *
 * Kernels know neither Python nor torch, validate nothing, allocate nothing and cannot fail: the
 * caller has checked shapes, sizes and finiteness, and owns every buffer. Buffers do not overlap
 * unless a comment says so. Data is float32, accumulators are double.
 */
#ifndef INTGRAD_KERNELS_H
#define INTGRAD_KERNELS_H

#include <stddef.h>
#include <stdint.h>

/* path.c: the path integral ------------------------------------------------------------------ */

/* ret_point[i] = baseline[i] + alpha * (image[i] - baseline[i]), exact at both ends. */
void ig_path_interpolate(const float *image, const float *baseline, double alpha, size_t count,
                         float *ret_point);

/* sum[i] += weight * gradient[i]. */
void ig_path_accumulate(const float *gradient, double weight, size_t count, double *sum);

/* The same for two sums, reading the gradient once. */
void ig_path_accumulate_both(const float *gradient, double weight, double half_weight, size_t count,
                             double *sum, double *half);

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

/* A piece of a polyline, with the gradients at its ends. On it ig_path_accumulate_pixel_jump,
 * ig_path_jump_square and ig_region_jumps take `to` and `from` as image and baseline. */
typedef struct {
    const float *to, *from;
    const float *gradient, *previous; /* there, and here */
} ig_chord;

/* sum[i] += (to - from) * (gradient + previous) / 2. */
void ig_chord_accumulate(ig_chord chord, size_t count, double *sum);

/* jumps[i] += weight * ((gradient - previous) * (to - from))^2. */
void ig_chord_accumulate_jump(ig_chord chord, double weight, size_t count, double *jumps);

/* sum[i] += gradient[i] * moved[i]. */
void ig_path_accumulate_moved(const float *gradient, const double *moved, size_t count,
                              double *sum);

/* From gradients to attributions, in place: sum and half times the distance image - baseline, jumps
 * times its square; half and jumps may be NULL. */
void ig_path_attribute(const float *image, const float *baseline, size_t count, double *sum,
                       double *half, double *jumps);

/* values[i] times a factor, and squared. */
void ig_path_scale(double factor, size_t count, double *values);
void ig_path_square(size_t count, double *values);

/* What the paths of one image and target add up to, for values, channel means or regions: each
 * holds a double for every one of them, and is NULL where it is not wanted. */
typedef struct {
    double *total;      /* attributions */
    double *difference; /* attributions of T less those of T_half */
    double *variance;   /* jump variance */
    double *spread;     /* squared deviations of paths from the mean of their stratum */
    double *stratum;    /* running sum of the stratum; NULL where all paths are one */
} ig_path_totals;

/* What one path came to. */
typedef struct {
    const double *sum, *half,
        *jumps; /* the latter two are NULL where totals have no use for them */
} ig_path_part;

/* Adds a finished path to the totals; `number` counts those of its stratum from 1. */
void ig_path_fold(ig_path_part part, size_t number, size_t count, ig_path_totals totals);

/* Sums over the mean, which is the total over `weight`. */
typedef struct {
    double sum;               /* of the attributions */
    double square;            /* of the attributions, squared */
    double difference_square; /* of T - T_half, squared */
    double variance;          /* of the mean's jump variance */
    double spread_square;     /* of the squared standard error of the mean over the paths */
} ig_path_summary;

/* spread_scale * spread / weight^2 is that squared standard error. Terms whose totals are NULL are
 * 0. */
ig_path_summary ig_path_summarise(ig_path_totals totals, double weight, double spread_scale,
                                  size_t count);

/* ret_means[i] = total[i] / weight. */
void ig_path_mean(const double *total, double weight, size_t count, float *ret_means);

/* ret_deviations[i] = sqrt(scale * variance[i] + spread_scale * spread[i]); either may be NULL. */
void ig_path_deviations(const double *variance, double scale, const double *spread,
                        double spread_scale, size_t count, float *ret_deviations);

/* ret_means[p] = mean over the channels. */
void ig_path_channel_mean(const double *values, size_t pixels, size_t channels, double *ret_means);

/* The sum of the squared values. */
double ig_path_square_sum(const double *values, size_t count);

/* 1 if every value is finite, else 0 and *ret_index is the first that is not. */
int ig_all_finite(const float *values, size_t count, size_t *ret_index);

/* blur.c: the path of Blur Integrated Gradients ----------------------------------------------- */

/* ret_weights (length, length): what the pixels of a line, the second axis, give to each blurred
 * one. Gaussian of standard deviation `sigma`, in pixels, as SciPy's with mode="reflect". */
void ig_blur_weights(double sigma, size_t length, double *ret_weights);

/* Doubles of scratch that ig_blur takes. */
size_t ig_blur_scratch(size_t height, size_t width, size_t channels);

/* ret_blurred = the picture (height, width, channels), blurred; itself with sigma 0. */
void ig_blur(const float *picture, size_t height, size_t width, size_t channels, double sigma,
             double *scratch, double *ret_blurred);

/* guided.c: the path of Guided Integrated Gradients ------------------------------------------- */

/* Floats of scratch that ig_guided_step takes. */
size_t ig_guided_scratch(size_t count);

/* Step `step` of `steps`, from 0: moves `position`, on its way from the baseline to the image,
 * where the gradient's magnitudes are least, the lowest `fraction` of them at a time, until the
 * L1 distance to the image is that of a straight path, no value being further than `max_distance`
 * of the way ahead of such a path or behind. Kapishnikov et al. 2021 (arXiv 2106.09788),
 * algorithm 1, as in PAIR saliency; `fraction` 0..1. */
void ig_guided_step(const float *gradient, const float *image, const float *baseline, size_t count,
                    size_t step, size_t steps, double fraction, double max_distance, float *scratch,
                    double *position);

/* regions.c: sums over the regions of a picture ---------------------------------------------- */

/* `labels` (pixels) are the region of each pixel, 0 .. regions - 1; every ret_* is (regions). */

/* The sum of the values (pixels, channels) of each region. */
void ig_region_sums(const double *values, const int32_t *labels, size_t pixels, size_t channels,
                    size_t regions, double *ret_sums);

/* The sum of (gradient - previous) * (image - baseline): the jump of a region's attribution. */
void ig_region_jumps(const float *gradient, const float *previous, const float *image,
                     const float *baseline, const int32_t *labels, size_t pixels, size_t channels,
                     size_t regions, double *ret_jumps);

/* squares[r] += weight * values[r]^2. */
void ig_region_add_squares(const double *values, double weight, size_t regions, double *squares);

/* xrai.c: regions ranked by the density of their attribution --------------------------------- */

/* Pixels begin .. end - 1, row by row. */
typedef struct {
    int32_t begin, end;
} ig_run;

/* Parts of a picture, which may overlap and need not cover it: part k is made of the runs
 * starts[k] .. starts[k + 1] - 1, which are not empty, ascend and do not overlap. */
typedef struct {
    const int64_t *starts; /* count + 1, the first of them 0 */
    const ig_run *runs;
    size_t count;
} ig_segments;

/* Bytes of scratch that ig_xrai takes, aligned as malloc's. */
size_t ig_xrai_scratch(size_t pixels, ig_segments segments);

/* Takes the segment with the largest mean attribution over those of its pixels that are not taken
 * yet, and so on, while at most the part most_covered of the pixels (0 .. 1) is taken, and there is
 * a segment with `least` pixels left, which is at least 1; of equals the first. is_fast goes by the
 * means that they have at the beginning.
 * Returns the number of regions; ret_labels (pixels) is the region of each pixel, in the order in
 * which they are taken, -1 for none; ret_segments and ret_densities (segments) are the segment and
 * the mean of each region. */
size_t ig_xrai(const double *attributions, size_t pixels, ig_segments segments, size_t least,
               double most_covered, int is_fast, void *scratch, int32_t *ret_labels,
               int32_t *ret_segments, double *ret_densities);

/* mix.c: pictures of which some pixels are another picture's ---------------------------------- */

/* ret_picture = other where order[p] < taken, picture elsewhere; order (pixels), which holds 0 ..
 * pixels - 1 where pixels are taken one by one. */
void ig_mix(const float *picture, const float *other, const int32_t *order, int64_t taken,
            size_t pixels, size_t channels, float *ret_picture);

/* impute.c: pixels that are missing from their neighbours ------------------------------------- */

/* Doubles of scratch that ig_impute takes. */
size_t ig_impute_scratch(size_t height, size_t width);

/* A channel of ret_picture = that of picture, but that every missing pixel is the mean of its 8
 * neighbours, of which those at a corner weigh half; not all may be missing. Exact to 1e-6 of the
 * residual; the time grows with the width of what is missing. */
void ig_impute(const float *picture, const unsigned char *missing, size_t height, size_t width,
               size_t channels, size_t channel, double *scratch, float *ret_picture);

/* tone.c: from attributions to a map of 0..1 -------------------------------------------------- */

/* Maps are double from here on: the seed's results are float64, and a threshold is one of the
 * values, so that rounding to float32 would break its ties differently. */

/* What pictures hold; where a kernel takes a type it reads them as they are. */
typedef enum { IG_UINT8, IG_FLOAT32, IG_FLOAT64 } ig_type;

/* 1 if every magnitude is at most `limit`, else 0 and *ret_index is the first that is not. */
int ig_all_within(const double *values, size_t count, double limit, size_t *ret_index);

/* ret_values[i] = values[i] clipped to [low, high]; may be in place. */
void ig_clip(const double *values, size_t count, double low, double high, double *ret_values);

/* ret_map[i] = mean over the channels of sign * values clipped to [0, limit]; sign is 1 or -1, type
 * IG_FLOAT32 or IG_FLOAT64. 1 if every magnitude is finite and at most `largest`, else 0 and the
 * map is of no use. */
int ig_channel_mean(const void *values, ig_type type, size_t pixels, size_t channels, double sign,
                    double limit, double largest, double *ret_map);

/* Doubles of scratch that ig_energy_thresholds takes. */
size_t ig_energy_scratch(size_t count);

/* ret_thresholds[k] is the magnitude at which the sum of the largest magnitudes reaches
 * percentages[k] per cent of the plain sum of the map: the smallest magnitude where rounding keeps
 * the sum from it, the largest where the plain sum is not positive. 100 per cent is the smallest
 * value, sign and all, as in the seed. O(count), and count is at least 1. */
void ig_energy_thresholds(const double *map, size_t count, const double *percentages, size_t n,
                          double *scratch, double *ret_thresholds);

/* ret_map[i] = the line through (low, lower_end) and (high, 1) at |map[i]|, times the sign of
 * map[i], 0 where that is below lower_end, clipped to [0, 1]. A line without width, high == low,
 * is the step that it tends to, and is 1 at the step. May be in place. */
void ig_linear_transform(const double *map, size_t count, double high, double low, double lower_end,
                         double *ret_map);

/* ret_mask[i] = map[i] > threshold. */
void ig_binarize(const double *map, size_t count, double threshold, unsigned char *ret_mask);

/* morphology.c: grey dilation and erosion ----------------------------------------------------- */

typedef struct {
    const double *values; /* rows * columns */
    size_t rows, columns;
} ig_structure;

/* Doubles of scratch that ig_dilate and ig_erode take. */
size_t ig_morphology_scratch(size_t height, size_t width, ig_structure structure);

/* Grey dilation and erosion as in SciPy: the greatest sum of a pixel and a value of the mirrored
 * structure, the least difference of a pixel and a value of the structure; the map continues as its
 * mirror image beyond its edges ("reflect"). O(1) a pixel where all values of the structure are
 * equal, else O(rows * columns). */
void ig_dilate(const double *map, size_t height, size_t width, ig_structure structure,
               double *scratch, double *ret_map);
void ig_erode(const double *map, size_t height, size_t width, ig_structure structure,
              double *scratch, double *ret_map);

/* components.c: connected components of a mask ------------------------------------------------ */

/* Which neighbours of a pixel belong to it; the other four are their mirror images. */
enum { IG_WEST = 1, IG_NORTH_WEST = 2, IG_NORTH = 4, IG_NORTH_EAST = 8 };

/* Labels 1, 2, ... in the raster order of each component's first pixel, 0 where the mask is 0;
 * returns how many. height * width is at most INT32_MAX. */
size_t ig_label(const unsigned char *mask, size_t height, size_t width, unsigned links,
                int32_t *ret_labels);

/* ret_mask = mask with its holes filled: what cannot be reached from beyond the edges through
 * pixels that are 0, going up, down, left and right. scratch holds a value for every pixel. */
void ig_fill_holes(const unsigned char *mask, size_t height, size_t width, int32_t *scratch,
                   unsigned char *ret_mask);

/* ret_sums[k] = sum of `weights` over the pixels with label k + 1, or their number if NULL. */
void ig_component_sums(const int32_t *labels, const double *weights, size_t pixels,
                       size_t components, double *ret_sums);

enum { IG_MOST_COMPONENTS = 3 };

/* The labels of the largest components, which together reach `percentage` of the sum of all, but
 * at most three; ties go to the lower label. Returns how many. */
size_t ig_largest_components(const double *sums, size_t components, double percentage,
                             int32_t ret_labels[IG_MOST_COMPONENTS]);

/* ret_mask = the pixels that carry one of `kept` and have an edge of the picture or a pixel that
 * carries none above, below, left or right. scratch holds 2 * width. */
void ig_outline(const int32_t *labels, size_t height, size_t width, const int32_t *kept, size_t n,
                unsigned char *scratch, unsigned char *ret_mask);

/* overlay.c: colouring and blending ----------------------------------------------------------- */

/* ret_pixels = map times colour. */
void ig_colour(const double *map, size_t pixels, const double *colour, size_t channels,
               double *ret_pixels);
void ig_colour_mask(const unsigned char *mask, size_t pixels, const int64_t *colour,
                    size_t channels, int64_t *ret_pixels);

/* ret_pixels = 0.8 * map * colour + image, clipped to [0, 255]. The image has `channels`, or one
 * that serves them all; the map may be a mask of 0 and 1. */
void ig_overlay(const void *image, ig_type image_type, size_t image_channels, const void *map,
                ig_type map_type, size_t pixels, const double *colour, size_t channels,
                double *ret_pixels);

#endif
