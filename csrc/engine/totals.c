/* totals.c - from the sums of paths to attributions, their errors and error maps. */
#include "totals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

int ig_totals_create(const ig_work *w, ig_totals *totals)
{
    const size_t count = w->size * w->request->target_count;
    const size_t pixels = w->pixels * w->request->target_count;
    const int maps = w->result->error_map != NULL, several = w->request->baseline_count > 1;
    ig_path_totals *t = &totals->sums;
    *totals = (ig_totals){{0.0, 0.0, 0.0}, {0}};
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
                            ig_path_summary summary, double estimate_square)
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
    ig_expectation expected = totals->expected; /* of the odd intervals: a like part of them */
    expected.odd *= ig_relative(variance, summary.variance);
    const double pixel_square =
        ig_estimate_square(expected, difference, w->request->baseline_count);
    ig_path_channel_mean(sums.total, w->pixels, channels, w->pixel_means);
    ig_path_deviations(sums.pixel_variance, w->pixel_means, sample ? sums.pixel_square : NULL,
                       w->request->baseline_count, variance_scale(pixel_square, variance),
                       w->pixels, w->result->pixel_error_map + cell * w->pixels);
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
    const double estimate_square =
        ig_estimate_square(totals->expected, summary.difference_square, baselines);
    result->sums[cell] = summary.sum;
    result->quadrature_error[cell] =
        w->sums.half ? ig_relative(sqrt(estimate_square), norm) : (double)NAN;
    result->baseline_error[cell] =
        baselines > 1 ? ig_relative(sqrt(summary.spread_square), norm) : (double)NAN;
    if (result->error_map)
        draw_error_maps(w, totals, image, target, summary, estimate_square);
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
