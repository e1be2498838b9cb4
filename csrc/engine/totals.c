/* totals.c - from the sums of paths to attributions, their errors and error maps. */
#include "totals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int ig_totals_create(const ig_work *w, ig_totals *totals)
{
    const size_t count = w->size * w->request->target_count;
    const size_t pixels = w->pixels * w->request->target_count;
    const int maps = w->with_jumps, several = w->request->baseline_count > 1;
    ig_path_totals *t = &totals->sums;
    const size_t regions = w->most_regions * w->request->target_count;
    *totals = (ig_totals){.expected = {0.0, 0.0, 0.0}};
    int enough = (t->total = malloc(count * sizeof(double))) != NULL;
    if (w->has_estimate)
        enough &= (t->difference = malloc(count * sizeof(double))) != NULL;
    if (maps) {
        enough &= (t->variance = malloc(count * sizeof(double))) != NULL;
        enough &= (t->pixel_variance = malloc(pixels * sizeof(double))) != NULL;
    }
    if (several)
        enough &= (t->square = malloc(count * sizeof(double))) != NULL;
    if (several && maps)
        enough &= (t->pixel_square = malloc(pixels * sizeof(double))) != NULL;
    if (w->result->region_deviations)
        enough &= (totals->region_variance = malloc(regions * sizeof(double))) != NULL;
    if (several && w->result->region_deviations)
        enough &= (totals->region_square = malloc(regions * sizeof(double))) != NULL;
    return enough;
}

void ig_totals_free(ig_totals *totals)
{
    free(totals->sums.total);
    free(totals->sums.difference);
    free(totals->sums.variance);
    free(totals->sums.square);
    free(totals->sums.pixel_variance);
    free(totals->sums.pixel_square);
    free(totals->region_variance);
    free(totals->region_square);
}

/* Zeroes a total, if it is wanted. */
static void clear(double *total, size_t count)
{
    if (total)
        memset(total, 0, count * sizeof *total);
}

void ig_totals_clear(const ig_work *w, ig_totals *totals)
{
    const size_t count = w->size * w->request->target_count;
    const size_t pixels = w->pixels * w->request->target_count;
    totals->expected = (ig_expectation){0.0, 0.0, 0.0};
    clear(totals->sums.total, count);
    clear(totals->sums.difference, count);
    clear(totals->sums.variance, count);
    clear(totals->sums.square, count);
    clear(totals->sums.pixel_variance, pixels);
    clear(totals->sums.pixel_square, pixels);
    clear(totals->region_variance, w->most_regions * w->request->target_count);
    clear(totals->region_square, w->most_regions * w->request->target_count);
}

/* ---- Paths -------------------------------------------------------------------------------- */

/* The totals of one target. */
static ig_path_totals totals_of(const ig_work *w, const ig_totals *totals, size_t target)
{
    const size_t offset = target * w->size;
    const ig_path_totals *all = &totals->sums;
    return (ig_path_totals){
        .total = all->total + offset,
        .difference = all->difference ? all->difference + offset : NULL,
        .variance = all->variance ? all->variance + offset : NULL,
        .square = all->square ? all->square + offset : NULL,
        .pixel_variance = all->pixel_variance ? all->pixel_variance + target * w->pixels : NULL,
        .pixel_square = all->pixel_square ? all->pixel_square + target * w->pixels : NULL,
    };
}

/* Adds a path's jumps and squares of the regions' attributions. */
static void fold_regions(const ig_work *w, ig_totals *totals, size_t image, size_t baseline,
                         size_t target, const ig_sums *sums)
{
    const ig_regions regions = ig_regions_of(w, image);
    if (totals->region_variance) {
        const double *jumps = sums->region_jumps + target * regions.count;
        double *variance = totals->region_variance + target * w->most_regions;
        for (size_t r = 0; r < regions.count; r++)
            variance[r] += jumps[r];
    }
    if (totals->region_square) {
        ig_region_path_sums(ig_image_of(w, image), ig_baseline_of(w, image, baseline),
                            sums->sum + target * w->size, regions.labels, w->pixels,
                            w->request->shape.channels, regions.count, w->region_sums);
        ig_region_add_squares(w->region_sums, 1.0, regions.count,
                              totals->region_square + target * w->most_regions);
    }
}

ig_status ig_totals_fold(const ig_work *w, ig_totals *totals, size_t image, size_t baseline,
                         size_t path, ig_known_nodes nodes, ig_error *error)
{
    const size_t targets = w->request->target_count;
    ig_sums sums = w->sums;
    if (w->result->gradients && baseline == 0)
        sums.gradient = w->result->gradients + image * w->size * targets;
    const ig_status status = w->store->read(w->paths, path, nodes.weights, sums, error);
    if (status != IG_OK)
        return status;
    totals->expected = ig_expectation_sum(
        totals->expected, ig_trapezoid_expectation(nodes.alphas, nodes.count, nodes.jump_norms));
    for (size_t t = 0; t < targets; t++) {
        const size_t offset = t * w->size;
        const ig_path_part part = {
            .sum = sums.sum + offset,
            .half = sums.half ? sums.half + offset : NULL,
            .jumps = sums.jumps ? sums.jumps + offset : NULL,
            .pixel_jumps = sums.pixel_jumps ? sums.pixel_jumps + t * w->pixels : NULL,
        };
        ig_path_fold(ig_image_of(w, image), ig_baseline_of(w, image, baseline), part, w->pixels,
                     w->request->shape.channels, totals_of(w, totals, t));
        fold_regions(w, totals, image, baseline, t, &sums);
    }
    return IG_OK;
}

/* ---- The result ---------------------------------------------------------------------------- */

/* What a variance of the jumps is multiplied with to be the estimate; without jumps there is none,
 * and what rounding left in the estimate is nothing. */
static double variance_scale(double estimate_square, double variance)
{
    return variance > 0.0 ? estimate_square / variance : 0.0;
}

/* Deviations of the attributions and of their channel means. Each map's norm is made the error's
 * estimate; what varies from draw to draw of the baselines comes on top. */
static void draw_error_maps(const ig_work *w, const ig_totals *totals, size_t image, size_t target,
                            ig_path_summary summary, ig_expectation expected,
                            double estimate_square)
{
    const double m = (double)w->request->baseline_count;
    const size_t cell = image * w->request->target_count + target;
    const size_t channels = w->request->shape.channels;
    const ig_path_totals sums = totals_of(w, totals, target);
    const int sample = w->request->baselines_are_a_sample;
    ig_path_deviations(sums.variance, sums.total, sample ? sums.square : NULL,
                       w->request->baseline_count,
                       variance_scale(estimate_square, summary.variance), w->size,
                       w->result->error_map + cell * w->size);

    ig_path_channel_mean(sums.difference, w->pixels, channels, w->pixel_means);
    const double difference = ig_path_square_sum(w->pixel_means, w->pixels) / (m * m);
    const double variance = ig_path_sum(sums.pixel_variance, w->pixels) / (m * m);
    expected.odd *= ig_relative(variance, summary.variance); /* a like part of them */
    const double pixel_square =
        ig_estimate_square(expected, difference, w->request->baseline_count);
    ig_path_channel_mean(sums.total, w->pixels, channels, w->pixel_means);
    ig_path_deviations(sums.pixel_variance, w->pixel_means, sample ? sums.pixel_square : NULL,
                       w->request->baseline_count, variance_scale(pixel_square, variance),
                       w->pixels, w->result->pixel_error_map + cell * w->pixels);
}

/* The attributions of an image's regions and their deviations, as those of its channel means are
 * found (draw_error_maps). `variance` is that of region_variance(). */
static void finish_regions(const ig_work *w, const ig_totals *totals, size_t image, size_t target,
                           ig_expectation expected, double variance)
{
    const ig_regions regions = ig_regions_of(w, image);
    const size_t channels = w->request->shape.channels, paths = w->request->baseline_count;
    const size_t cell = image * w->request->target_count + target;
    const size_t from = w->region_starts[image] * w->request->target_count + target * regions.count;
    const double m = (double)paths;
    const ig_path_totals sums = totals_of(w, totals, target);
    double *total = w->region_sums, *differences = total + w->most_regions;
    ig_region_sums(sums.total, regions.labels, w->pixels, channels, regions.count, total);
    for (size_t r = 0; r < regions.count; r++)
        w->result->region_sums[from + r] = total[r] / m;
    w->result->region_error[cell] = (double)NAN;
    if (!totals->region_variance)
        return;
    ig_region_sums(sums.difference, regions.labels, w->pixels, channels, regions.count,
                   differences);
    const double square = ig_estimate_square(
        expected, ig_path_square_sum(differences, regions.count) / (m * m), paths);
    const double norm = sqrt(ig_path_square_sum(total, regions.count)) / m;
    w->result->region_error[cell] = ig_relative(sqrt(square), norm);
    const size_t row = target * w->most_regions;
    const int draws = w->request->baselines_are_a_sample && totals->region_square;
    ig_path_deviations(
        totals->region_variance + row, total, draws ? totals->region_square + row : NULL, paths,
        variance_scale(square, variance), regions.count, w->result->region_deviations + from);
}

/* The jump variance of the mean's attributions of all regions. */
static double region_variance(const ig_work *w, const ig_totals *totals, size_t image,
                              size_t target)
{
    const double m = (double)w->request->baseline_count;
    return totals->region_variance ? ig_path_sum(totals->region_variance + target * w->most_regions,
                                                 ig_regions_of(w, image).count) /
                                         (m * m)
                                   : 0.0;
}

static void finish_target(const ig_work *w, const ig_totals *totals, size_t image, size_t target)
{
    const size_t baselines = w->request->baseline_count;
    const size_t cell = image * w->request->target_count + target;
    ig_result *result = w->result;
    const ig_path_totals sums = totals_of(w, totals, target);
    const ig_path_summary summary =
        ig_path_finish(sums, baselines, w->size, result->attributions + cell * w->size);
    const double norm = sqrt(summary.square);
    const double regions = region_variance(w, totals, image, target);
    const int by_region = w->request->adaptive && w->request->adaptive->by_region;
    ig_expectation expected = totals->expected, of_regions = totals->expected;
    if (by_region)
        expected.odd *= ig_relative(summary.variance, regions);
    else
        of_regions.odd *= ig_relative(regions, summary.variance);
    const double estimate_square =
        ig_estimate_square(expected, summary.difference_square, baselines);
    result->sums[cell] = summary.sum;
    result->quadrature_error[cell] =
        w->sums.half ? ig_relative(sqrt(estimate_square), norm) : (double)NAN;
    result->baseline_error[cell] =
        baselines > 1 ? ig_relative(sqrt(summary.spread_square), norm) : (double)NAN;
    if (result->error_map)
        draw_error_maps(w, totals, image, target, summary, expected, estimate_square);
    if (result->region_sums)
        finish_regions(w, totals, image, target, of_regions, regions);
}

ig_status ig_totals_finish(const ig_work *w, const ig_totals *totals, size_t image, ig_error *error)
{
    const size_t targets = w->request->target_count, count = w->size * targets;
    size_t at;
    for (size_t t = 0; t < targets; t++)
        finish_target(w, totals, image, t);
    if (ig_all_finite(w->result->attributions + image * count, count, &at))
        return IG_OK;
    return ig_fail(error, IG_MODEL_FAILED,
                   "image %zu: its attributions are beyond what float32 holds",
                   w->request->first_image + image);
}
