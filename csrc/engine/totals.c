/* totals.c - from the sums of paths to attributions, their errors and error maps.
 *
 * The same is kept of values, of their channel means and of the sums over regions: pooling is
 * linear, and deviations of pools do not follow from those of their parts.
 */
#include "totals.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* ---- Memory -------------------------------------------------------------------------------- */

/* What is wanted of a pool beside its total. */
typedef struct {
    int difference, variance, spread, stratum;
} wish;

static int create_pool(ig_path_totals *pool, size_t count, wish wanted)
{
    const size_t bytes = count * sizeof(double);
    int enough = (pool->total = malloc(bytes)) != NULL;
    if (wanted.difference)
        enough &= (pool->difference = malloc(bytes)) != NULL;
    if (wanted.variance)
        enough &= (pool->variance = malloc(bytes)) != NULL;
    if (wanted.spread)
        enough &= (pool->spread = malloc(bytes)) != NULL;
    if (wanted.spread && wanted.stratum)
        enough &= (pool->stratum = malloc(bytes)) != NULL;
    return enough;
}

static void free_pool(ig_path_totals *pool)
{
    free(pool->total);
    free(pool->difference);
    free(pool->variance);
    free(pool->spread);
    free(pool->stratum);
}

static void clear(double *total, size_t count)
{
    if (total)
        memset(total, 0, count * sizeof *total);
}

/* The running sum of a stratum clears itself. */
static void clear_pool(ig_path_totals *pool, size_t count)
{
    clear(pool->total, count);
    clear(pool->difference, count);
    clear(pool->variance, count);
    clear(pool->spread, count);
}

int ig_totals_create(const ig_work *w, ig_totals *totals)
{
    const size_t targets = w->request->target_count;
    const ig_draws *draws = w->request->draws;
    const int several = w->path_count > 1;
    const wish values = {w->has_estimate, w->with_jumps, several, draws && draws->is_stratified};
    wish pools = values;
    pools.spread = several && w->request->baselines_are_a_sample;
    *totals = (ig_totals){.expected = {0.0, 0.0, 0.0}};
    int enough = create_pool(&totals->values, w->size * targets, values);
    if (w->result->pixel_error_map)
        enough &= create_pool(&totals->pixels, w->pixels * targets, pools);
    if (!w->result->region_deviations)
        pools = (wish){0, 0, 0, 0};
    if (w->most_regions)
        enough &= create_pool(&totals->regions, w->most_regions * targets, pools);
    if (draws && draws->statistic == IG_VARIANCE)
        enough &= (totals->drawn = ig_draw_totals_create(w)) != NULL;
    return enough;
}

void ig_totals_free(ig_totals *totals)
{
    free_pool(&totals->values);
    free_pool(&totals->pixels);
    free_pool(&totals->regions);
    ig_draw_totals_free(totals->drawn);
}

void ig_totals_clear(const ig_work *w, ig_totals *totals)
{
    const size_t targets = w->request->target_count;
    totals->expected = (ig_expectation){0.0, 0.0, 0.0};
    totals->weight = 0.0;
    totals->count = 0;
    clear_pool(&totals->values, w->size * targets);
    clear_pool(&totals->pixels, w->pixels * targets);
    clear_pool(&totals->regions, w->most_regions * targets);
    if (totals->drawn)
        ig_draw_totals_clear(w, totals->drawn);
}

/* ---- Paths --------------------------------------------------------------------------------- */

static double *from(double *values, size_t offset)
{
    return values ? values + offset : NULL;
}

/* The totals of one target. */
static ig_path_totals part_of(ig_path_totals all, size_t offset)
{
    return (ig_path_totals){
        .total = from(all.total, offset),
        .difference = from(all.difference, offset),
        .variance = from(all.variance, offset),
        .spread = from(all.spread, offset),
        .stratum = from(all.stratum, offset),
    };
}

static ig_path_totals values_of(const ig_work *w, const ig_totals *totals, size_t target)
{
    return part_of(totals->values, target * w->size);
}

static ig_path_totals pixels_of(const ig_work *w, const ig_totals *totals, size_t target)
{
    return part_of(totals->pixels, target * w->pixels);
}

static ig_path_totals regions_of(const ig_work *w, const ig_totals *totals, size_t target)
{
    return part_of(totals->regions, target * w->most_regions);
}

static void fold_pixels(const ig_work *w, const ig_totals *totals, size_t target, ig_sums sums,
                        size_t number)
{
    const size_t offset = target * w->size, channels = w->request->shape.channels;
    const ig_path_totals pool = pixels_of(w, totals, target);
    double *sum = w->pixel_means, *half = sum + w->pixels;
    ig_path_channel_mean(sums.sum + offset, w->pixels, channels, sum);
    if (pool.difference)
        ig_path_channel_mean(sums.half + offset, w->pixels, channels, half);
    const double *jumps = from(sums.pixel_jumps, target * w->pixels);
    ig_path_fold((ig_path_part){sum, half, jumps}, number, w->pixels, pool);
}

static void fold_regions(const ig_work *w, const ig_totals *totals, ig_regions regions,
                         size_t target, ig_sums sums, size_t number)
{
    const size_t offset = target * w->size, channels = w->request->shape.channels;
    const ig_path_totals pool = regions_of(w, totals, target);
    double *sum = w->region_sums, *half = sum + w->most_regions;
    ig_region_sums(sums.sum + offset, regions.labels, w->pixels, channels, regions.count, sum);
    if (pool.difference)
        ig_region_sums(sums.half + offset, regions.labels, w->pixels, channels, regions.count,
                       half);
    const double *jumps = from(sums.region_jumps, target * regions.count);
    ig_path_fold((ig_path_part){sum, half, jumps}, number, regions.count, pool);
}

/* Folds in what one path, or a group of them, came to. */
static void fold_sums(const ig_work *w, ig_totals *totals, size_t image, size_t number,
                      double weight, ig_sums sums)
{
    totals->count++;
    totals->weight += weight;
    for (size_t t = 0; t < w->request->target_count; t++) {
        const size_t offset = t * w->size;
        const ig_path_part part = {sums.sum + offset, from(sums.half, offset),
                                   from(sums.jumps, offset)};
        ig_path_fold(part, number, w->size, values_of(w, totals, t));
        if (totals->pixels.total)
            fold_pixels(w, totals, t, sums, number);
        if (totals->regions.total)
            fold_regions(w, totals, ig_regions_of(w, image), t, sums, number);
    }
}

ig_status ig_totals_fold(const ig_work *w, ig_totals *totals, size_t image, ig_folded_path path,
                         ig_error *error)
{
    const ig_draws *draws = w->request->draws;
    const size_t count = w->size * w->request->target_count;
    ig_sums sums = w->sums;
    if (w->result->gradients && path.number == 0)
        sums.gradient = w->result->gradients + image * count;
    const ig_status status =
        w->store->read(w->paths, path.store_index, path.nodes.weights, sums, error);
    if (status != IG_OK)
        return status;
    if (w->has_estimate)
        totals->expected = ig_expectation_sum(
            totals->expected,
            ig_trapezoid_expectation(path.nodes.alphas, path.nodes.count, path.nodes.jump_norms));
    if (draws && draws->statistic == IG_SQUARE)
        ig_path_square(count, sums.sum);
    if (path.weight != 1.0)
        ig_path_scale(path.weight, count, sums.sum);
    if (totals->drawn && !ig_draw_totals_take(w, totals->drawn, sums.sum))
        return IG_OK;
    const size_t number =
        draws && draws->is_stratified ? path.number % draws->per_stratum : totals->count;
    fold_sums(w, totals, image, number + 1, path.weight, sums);
    return IG_OK;
}

/* ---- The result ---------------------------------------------------------------------------- */

/* What the spread is multiplied with, beside 1 / weight^2, to be the mean's squared error. */
static double spread_scale(const ig_work *w, const ig_totals *totals)
{
    const ig_draws *draws = w->request->draws;
    const double k = (double)(draws && draws->is_stratified ? draws->per_stratum : totals->count);
    const double scale = k > 1.0 ? k / (k - 1.0) : 0.0;
    return totals->drawn ? scale * ig_draw_totals_share(totals->drawn, totals->count) : scale;
}

static ig_path_summary summarise(const ig_work *w, const ig_totals *totals, ig_path_totals pool,
                                 size_t count)
{
    return ig_path_summarise(pool, totals->weight, spread_scale(w, totals), count);
}

/* Deviations of a pool: the norm of those within paths is made the error's estimate, and where
 * paths are a sample, what varies from one to the next comes on top. Without jumps there are none
 * within, and what rounding left in the estimate is nothing. */
static void find_deviations(const ig_work *w, const ig_totals *totals, ig_path_totals pool,
                            double estimate_square, double variance, size_t count,
                            float *ret_deviations)
{
    const double square = totals->weight * totals->weight;
    const double scale = variance > 0.0 ? estimate_square / variance / square : 0.0;
    ig_path_deviations(pool.variance, scale,
                       w->request->baselines_are_a_sample ? pool.spread : NULL,
                       spread_scale(w, totals) / square, count, ret_deviations);
}

/* The estimate of a pool's squared error. An odd interval is known in the unit of jump norms,
 * `measured`, and makes a like part of this pool's variance. */
static double estimate(const ig_totals *totals, ig_path_summary pool,
                       const ig_path_summary *measured)
{
    ig_expectation expected = totals->expected;
    if (measured)
        expected.odd *= ig_relative(pool.variance, measured->variance);
    return ig_estimate_square(expected, pool.difference_square, (size_t)totals->weight);
}

static void finish_pixels(const ig_work *w, const ig_totals *totals, size_t image, size_t target,
                          const ig_path_summary *measured)
{
    const size_t cell = image * w->request->target_count + target;
    const ig_path_totals pool = pixels_of(w, totals, target);
    const ig_path_summary summary = summarise(w, totals, pool, w->pixels);
    find_deviations(w, totals, pool, estimate(totals, summary, measured), summary.variance,
                    w->pixels, w->result->pixel_error_map + cell * w->pixels);
}

static void finish_regions(const ig_work *w, const ig_totals *totals, size_t image, size_t target,
                           ig_path_summary summary, const ig_path_summary *measured)
{
    const size_t targets = w->request->target_count, count = ig_regions_of(w, image).count;
    const size_t first = w->region_starts[image] * targets + target * count;
    const ig_path_totals pool = regions_of(w, totals, target);
    double *error = w->result->region_error + image * targets + target;
    for (size_t r = 0; r < count; r++)
        w->result->region_sums[first + r] = pool.total[r] / totals->weight;
    *error = (double)NAN;
    if (!w->result->region_deviations)
        return;
    const double square = w->has_estimate ? estimate(totals, summary, measured) : 0.0;
    *error =
        ig_relative(sqrt(w->request->draws ? summary.spread_square : square), sqrt(summary.square));
    find_deviations(w, totals, pool, square, summary.variance, count,
                    w->result->region_deviations + first);
}

static void finish_target(const ig_work *w, const ig_totals *totals, size_t image, size_t target)
{
    const size_t cell = image * w->request->target_count + target;
    ig_result *result = w->result;
    const ig_path_totals pool = values_of(w, totals, target);
    const ig_path_summary values = summarise(w, totals, pool, w->size);
    ig_path_summary regions = {0};
    if (totals->regions.total)
        regions =
            summarise(w, totals, regions_of(w, totals, target), ig_regions_of(w, image).count);
    const int by_region = w->request->adaptive && w->request->adaptive->by_region;
    const double norm = sqrt(values.square);
    const double square = estimate(totals, values, by_region ? &regions : NULL);
    ig_path_mean(pool.total, totals->weight, w->size, result->attributions + cell * w->size);
    result->sums[cell] = values.sum;
    result->quadrature_error[cell] =
        w->has_estimate ? ig_relative(sqrt(square), norm) : (double)NAN;
    result->baseline_error[cell] =
        totals->count > 1 ? ig_relative(sqrt(values.spread_square), norm) : (double)NAN;
    if (result->error_map) {
        find_deviations(w, totals, pool, square, values.variance, w->size,
                        result->error_map + cell * w->size);
        finish_pixels(w, totals, image, target, by_region ? &regions : &values);
    }
    if (result->region_sums)
        finish_regions(w, totals, image, target, regions, by_region ? NULL : &values);
}

/* The variance of all draws in the place of the mean of groups'. */
static void take_variance(const ig_work *w, const ig_totals *totals, size_t image, size_t target)
{
    const ig_regions regions = ig_regions_of(w, image);
    const size_t channels = w->request->shape.channels;
    double *total = values_of(w, totals, target).total;
    ig_draw_totals_variance(w, totals->drawn, target, total);
    ig_path_scale(totals->weight, w->size, total);
    if (totals->pixels.total)
        ig_path_channel_mean(total, w->pixels, channels, pixels_of(w, totals, target).total);
    if (totals->regions.total)
        ig_region_sums(total, regions.labels, w->pixels, channels, regions.count,
                       regions_of(w, totals, target).total);
}

/* The squared norm of the variance of all draws so far, of values or regions. */
static double variance_square(const ig_work *w, const ig_totals *totals, size_t image,
                              size_t target)
{
    const ig_regions regions = ig_regions_of(w, image);
    double *variance = w->sums.sum;
    ig_draw_totals_variance(w, totals->drawn, target, variance);
    if (!w->request->draws->by_region)
        return ig_path_square_sum(variance, w->size);
    ig_region_sums(variance, regions.labels, w->pixels, w->request->shape.channels, regions.count,
                   w->region_sums);
    return ig_path_square_sum(w->region_sums, regions.count);
}

double ig_totals_standard_error(const ig_work *w, const ig_totals *totals, size_t image)
{
    const int by_region = w->request->draws->by_region;
    double largest = 0.0;
    if (totals->count < 2)
        return INFINITY;
    for (size_t t = 0; t < w->request->target_count; t++) {
        const ig_path_summary pool =
            by_region
                ? summarise(w, totals, regions_of(w, totals, t), ig_regions_of(w, image).count)
                : summarise(w, totals, values_of(w, totals, t), w->size);
        const double square = totals->drawn ? variance_square(w, totals, image, t) : pool.square;
        const double error = ig_relative(sqrt(pool.spread_square), sqrt(square));
        largest = error > largest ? error : largest;
    }
    return largest;
}

ig_status ig_totals_finish(const ig_work *w, const ig_totals *totals, size_t image, ig_error *error)
{
    const size_t targets = w->request->target_count, count = w->size * targets;
    size_t at;
    for (size_t t = 0; t < targets; t++) {
        if (totals->drawn)
            take_variance(w, totals, image, t);
        finish_target(w, totals, image, t);
    }
    if (ig_all_finite(w->result->attributions + image * count, count, &at))
        return IG_OK;
    return ig_fail(error, IG_MODEL_FAILED,
                   "image %zu: its attributions are beyond what float32 holds",
                   ig_image_number(w->request, image));
}
