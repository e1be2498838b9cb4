/* integrate.c - the schedule of Integrated Gradients.
 *
 * Every image is a job: its baselines x nodes points are issued in order. Batches are filled from
 * the oldest job first and run on into the next image, so that only the very last is short. What
 * comes back is settled point by point: a path whose last point is in is folded into the job's
 * totals and closed, a job whose last path is in is finished and its memory used again. Memory is
 * therefore that of the jobs in one batch, whatever the number of images and nodes.
 */
#include "integrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/kernels.h"
#include "host_path.h"
#include "rule.h"

typedef struct {
    size_t image;
    size_t issued, settled;  /* points, of baseline_count * nodes.count */
    size_t path;             /* the path that points are being issued of */
    ig_expectation expected; /* summed over its paths: what T - T_half says of the error */
    ig_path_totals totals;   /* each for all targets, one after the other */
} job;

/* Where a point of a batch came from. */
typedef struct {
    job *owner;
    size_t baseline, node;
} origin;

typedef struct {
    const ig_backend *backend;
    ig_model *model;
    const ig_request *request;
    ig_result *result;
    const ig_path_store *store;
    ig_paths *paths;
    size_t size, pixels;   /* values and pixels of a picture */
    size_t points_per_job; /* baselines x nodes */
    int retain;          /* gradients are kept: the nodes are uneven, so that their jumps matter */
    ig_weights *weights; /* of the nodes */
    double *jump_norms;  /* scratch: those of one path */
    size_t batch_size;   /* capacity of the arrays below, and the size a batch starts with */
    job **jobs;          /* active_count in work, oldest first, then those to be used again */
    size_t job_count, active_count, next_image;
    ig_point *points;
    origin *origins;
    double *values;      /* (batch, T) */
    ig_sums sums;        /* scratch: those of one path */
    double *pixel_means; /* scratch: a value for every pixel */
} schedule;

static ig_status no_memory(ig_error *error)
{
    return ig_fail(error, IG_NO_MEMORY, "out of memory for the attributions of an image");
}

/* ---- Setting up ---------------------------------------------------------------------------- */

static const float *baseline_of(const schedule *s, size_t image, size_t baseline)
{
    const size_t set = s->request->baselines_are_shared ? 0 : image;
    return s->request->baselines + (set * s->request->baseline_count + baseline) * s->size;
}

static void free_job(job *owner)
{
    if (!owner)
        return;
    free(owner->totals.total);
    free(owner->totals.difference);
    free(owner->totals.variance);
    free(owner->totals.square);
    free(owner->totals.pixel_variance);
    free(owner->totals.pixel_square);
    free(owner);
}

static job *new_job(const schedule *s)
{
    const size_t count = s->size * s->request->target_count;
    const size_t pixels = s->pixels * s->request->target_count;
    job *owner = calloc(1, sizeof *owner);
    if (!owner)
        return NULL;
    int enough = (owner->totals.total = malloc(count * sizeof(double))) != NULL;
    if (s->sums.half)
        enough &= (owner->totals.difference = malloc(count * sizeof(double))) != NULL;
    if (s->sums.jumps) {
        enough &= (owner->totals.variance = malloc(count * sizeof(double))) != NULL;
        enough &= (owner->totals.pixel_variance = malloc(pixels * sizeof(double))) != NULL;
    }
    if (s->request->baseline_count > 1)
        enough &= (owner->totals.square = malloc(count * sizeof(double))) != NULL;
    if (s->sums.jumps && s->request->baseline_count > 1)
        enough &= (owner->totals.pixel_square = malloc(pixels * sizeof(double))) != NULL;
    if (!enough) {
        free_job(owner);
        return NULL;
    }
    return owner;
}

/* What each node contributes; all known beforehand, because the nodes are. */
static void set_weights(const ig_nodes *nodes, ig_weights *ret_weights)
{
    for (size_t k = 0; k < nodes->count; k++) {
        const double width = k ? nodes->alphas[k] - nodes->alphas[k - 1] : 0.0;
        ret_weights[k] = (ig_weights){
            .weight = nodes->weights[k],
            .half_weight = nodes->half_weights ? nodes->half_weights[k] : 0.0,
            /* The variance of a Brownian bridge's integral over a width h, by its jump. */
            .jump_weight = width * width / 12.0,
        };
    }
}

static int evenly_spaced(const ig_nodes *nodes)
{
    const double width =
        (nodes->alphas[nodes->count - 1] - nodes->alphas[0]) / (double)(nodes->count - 1);
    for (size_t k = 1; k < nodes->count; k++)
        if (fabs(nodes->alphas[k] - nodes->alphas[k - 1] - width) > 1e-9 * width)
            return 0;
    return 1;
}

static ig_status create_paths(schedule *s, ig_error *error)
{
    const ig_paths_config config = {
        .shape = s->request->shape,
        .target_count = s->request->target_count,
        .output = s->request->output,
        .with_half = s->sums.half != NULL,
        .with_jumps = s->sums.jumps != NULL,
    };
    if (s->backend->paths) {
        s->store = s->backend->paths;
        return s->store->create(s->model, &config, &s->paths, error);
    }
    s->store = &ig_host_paths;
    return ig_host_paths_create(s->backend, s->model, &config, &s->paths, error);
}

static ig_status set_up(schedule *s, ig_error *error)
{
    const ig_request *request = s->request;
    const size_t count = s->size * request->target_count;
    s->jobs = calloc(s->batch_size + 1, sizeof *s->jobs);
    s->weights = malloc(request->nodes.count * sizeof *s->weights);
    s->jump_norms = malloc(request->nodes.count * sizeof *s->jump_norms);
    s->points = malloc(s->batch_size * sizeof *s->points);
    s->origins = malloc(s->batch_size * sizeof *s->origins);
    s->values = malloc(s->batch_size * request->target_count * sizeof *s->values);
    int enough = s->jobs && s->weights && s->jump_norms && s->points && s->origins && s->values;
    enough &= (s->sums.sum = malloc(count * sizeof(double))) != NULL;
    if (request->nodes.half_weights)
        enough &= (s->sums.half = malloc(count * sizeof(double))) != NULL;
    if (s->result->error_map) {
        const size_t pixels = s->pixels * request->target_count;
        enough &= (s->sums.jumps = malloc(count * sizeof(double))) != NULL;
        enough &= (s->sums.pixel_jumps = malloc(pixels * sizeof(double))) != NULL;
        enough &= (s->pixel_means = malloc(s->pixels * sizeof(double))) != NULL;
    }
    if (!enough)
        return no_memory(error);
    set_weights(&request->nodes, s->weights);
    s->retain = request->nodes.half_weights && !evenly_spaced(&request->nodes);
    return create_paths(s, error);
}

static void tear_down(schedule *s)
{
    if (s->paths)
        s->store->destroy(s->paths);
    for (size_t j = 0; j < s->job_count; j++)
        free_job(s->jobs[j]);
    free(s->jobs);
    free(s->weights);
    free(s->jump_norms);
    free(s->points);
    free(s->origins);
    free(s->values);
    free(s->sums.sum);
    free(s->sums.half);
    free(s->sums.jumps);
    free(s->sums.pixel_jumps);
    free(s->pixel_means);
}

/* ---- Issuing points ------------------------------------------------------------------------ */

/* Zeroes a total, if it is wanted. */
static void clear(double *total, size_t count)
{
    if (total)
        memset(total, 0, count * sizeof *total);
}

/* Takes the next image into work. */
static ig_status start_job(schedule *s, ig_error *error)
{
    if (s->active_count == s->job_count) {
        s->jobs[s->job_count] = new_job(s);
        if (!s->jobs[s->job_count])
            return no_memory(error);
        s->job_count++;
    }
    const size_t count = s->size * s->request->target_count;
    const size_t pixels = s->pixels * s->request->target_count;
    job *owner = s->jobs[s->active_count++];
    owner->image = s->next_image++;
    owner->issued = owner->settled = 0;
    owner->expected = (ig_expectation){0.0, 0.0};
    clear(owner->totals.total, count);
    clear(owner->totals.difference, count);
    clear(owner->totals.variance, count);
    clear(owner->totals.square, count);
    clear(owner->totals.pixel_variance, pixels);
    clear(owner->totals.pixel_square, pixels);
    return IG_OK;
}

static ig_status issue_point(schedule *s, job *owner, size_t slot, ig_error *error)
{
    const ig_request *request = s->request;
    const size_t baseline = owner->issued / request->nodes.count;
    const size_t node = owner->issued % request->nodes.count;
    if (node == 0) {
        const ig_status status =
            s->store->open(s->paths, request->images + owner->image * s->size,
                           baseline_of(s, owner->image, baseline),
                           request->targets + owner->image * request->target_count, s->retain,
                           &owner->path, error);
        if (status != IG_OK)
            return status;
    }
    s->points[slot] = (ig_point){owner->path, request->nodes.alphas[node], s->weights[node]};
    s->origins[slot] = (origin){owner, baseline, node};
    owner->issued++;
    return IG_OK;
}

/* Fills a batch of up to `limit` points from the jobs in work, starting new ones as needed. */
static ig_status fill_batch(schedule *s, size_t limit, size_t *ret_n, ig_error *error)
{
    size_t n = 0;
    ig_status status = IG_OK;
    for (size_t j = 0; status == IG_OK && n < limit; j++) {
        if (j == s->active_count) {
            if (s->next_image == s->request->image_count)
                break;
            status = start_job(s, error);
        }
        while (status == IG_OK && n < limit && s->jobs[j]->issued < s->points_per_job)
            status = issue_point(s, s->jobs[j], n++, error);
    }
    *ret_n = n;
    return status;
}

/* ---- Evaluating ---------------------------------------------------------------------------- */

/* Says which image and point of its path a failure belongs to. */
static void locate(const schedule *s, size_t point, ig_error *error)
{
    const origin *from = &s->origins[point];
    const ig_error cause = *error;
    ig_fail(error, cause.code, "image %zu, baseline %zu, alpha %.6g: %.900s", from->owner->image,
            from->baseline, s->points[point].alpha, cause.message);
}

/* Evaluates the batch. Where memory is short it frees what is cached, halves the batch and goes
 * on where it stopped: no gradient is lost or computed twice. */
static ig_status evaluate_batch(schedule *s, size_t n, ig_error *error)
{
    const size_t targets = s->request->target_count;
    size_t *batch_size = &s->result->batch_size;
    for (size_t from = 0; from < n;) {
        const size_t m = n - from < *batch_size ? n - from : *batch_size;
        size_t done, point;
        const ig_status status = s->store->evaluate(
            s->paths, s->points + from, m, s->values + from * targets, &done, &point, error);
        if (status == IG_OK) {
            from += m;
        } else if (status == IG_NO_MEMORY && ig_halve_batch(s->backend, s->model, m, batch_size)) {
            from += done;
        } else {
            if (point < m)
                locate(s, from + point, error);
            return status;
        }
    }
    return IG_OK;
}

/* ---- Settling ------------------------------------------------------------------------------ */

/* The totals of one target. */
static ig_path_totals totals_of(const schedule *s, const job *owner, size_t target)
{
    const size_t offset = target * s->size;
    const ig_path_totals *all = &owner->totals;
    return (ig_path_totals){
        .total = all->total + offset,
        .difference = all->difference ? all->difference + offset : NULL,
        .variance = all->variance ? all->variance + offset : NULL,
        .square = all->square ? all->square + offset : NULL,
        .pixel_variance = all->pixel_variance ? all->pixel_variance + target * s->pixels : NULL,
        .pixel_square = all->pixel_square ? all->pixel_square + target * s->pixels : NULL,
    };
}

static void fold_targets(const schedule *s, const job *owner, size_t baseline)
{
    for (size_t t = 0; t < s->request->target_count; t++) {
        const size_t offset = t * s->size;
        const ig_path_part part = {
            .sum = s->sums.sum + offset,
            .half = s->sums.half ? s->sums.half + offset : NULL,
            .jumps = s->sums.jumps ? s->sums.jumps + offset : NULL,
            .pixel_jumps = s->sums.pixel_jumps ? s->sums.pixel_jumps + t * s->pixels : NULL,
        };
        ig_path_fold(s->request->images + owner->image * s->size,
                     baseline_of(s, owner->image, baseline), part, s->pixels,
                     s->request->shape.channels, totals_of(s, owner, t));
    }
}

/* Adds a path that is complete to the totals of its job, and closes it. */
static ig_status fold_path(schedule *s, job *owner, size_t baseline, size_t path, ig_error *error)
{
    const ig_nodes *nodes = &s->request->nodes;
    ig_status status = IG_OK;
    if (s->retain)
        status = s->store->jump_norms(s->paths, path, s->jump_norms, error);
    if (status == IG_OK)
        status = s->store->read(s->paths, path, s->retain ? s->weights : NULL, s->sums, error);
    if (status != IG_OK)
        return status;
    const ig_expectation expected =
        ig_trapezoid_expectation(nodes->alphas, nodes->count, s->retain ? s->jump_norms : NULL);
    owner->expected.error += expected.error;
    owner->expected.difference += expected.difference;
    fold_targets(s, owner, baseline);
    s->store->close(s->paths, path);
    return IG_OK;
}

/* part / of, where nothing over nothing is nothing. */
static double relative(double part, double of)
{
    return part == 0.0 ? 0.0 : part / of;
}

/* What a variance of the jumps is multiplied with to be the estimate; without jumps there is none,
 * and what rounding left in the estimate is nothing. */
static double variance_scale(double estimate_square, double variance)
{
    return variance > 0.0 ? estimate_square / variance : 0.0;
}

/* Deviations of the attributions and of their channel means. Each map's norm is made the error's
 * estimate; what varies from draw to draw of the baselines comes on top. */
static void draw_error_maps(const schedule *s, const job *owner, size_t target,
                            ig_path_summary summary)
{
    const double m = (double)s->request->baseline_count;
    const size_t cell = owner->image * s->request->target_count + target;
    const size_t channels = s->request->shape.channels;
    const ig_path_totals totals = totals_of(s, owner, target);
    const int sample = s->request->baselines_are_a_sample;
    const double factor = relative(owner->expected.error, owner->expected.difference);
    ig_path_deviations(totals.variance, totals.total, sample ? totals.square : NULL,
                       s->request->baseline_count,
                       variance_scale(factor * summary.difference_square, summary.variance),
                       s->size, s->result->error_map + cell * s->size);

    ig_path_channel_mean(totals.difference, s->pixels, channels, s->pixel_means);
    const double difference = ig_path_square_sum(s->pixel_means, s->pixels) / (m * m);
    const double variance = ig_path_sum(totals.pixel_variance, s->pixels) / (m * m);
    ig_path_channel_mean(totals.total, s->pixels, channels, s->pixel_means);
    ig_path_deviations(totals.pixel_variance, s->pixel_means, sample ? totals.pixel_square : NULL,
                       s->request->baseline_count, variance_scale(factor * difference, variance),
                       s->pixels, s->result->pixel_error_map + cell * s->pixels);
}

static void finish_target(schedule *s, const job *owner, size_t target)
{
    const size_t baselines = s->request->baseline_count;
    const size_t cell = owner->image * s->request->target_count + target;
    ig_result *result = s->result;
    const ig_path_totals totals = totals_of(s, owner, target);
    const ig_path_summary summary =
        ig_path_finish(totals, baselines, s->size, result->attributions + cell * s->size);
    const double norm = sqrt(summary.square);
    const double estimate_square =
        summary.difference_square * relative(owner->expected.error, owner->expected.difference);
    result->sums[cell] = summary.sum;
    result->quadrature_error[cell] =
        s->sums.half ? relative(sqrt(estimate_square), norm) : (double)NAN;
    result->baseline_error[cell] =
        baselines > 1 ? relative(sqrt(summary.spread_square), norm) : (double)NAN;
    if (result->error_map)
        draw_error_maps(s, owner, target, summary);
}

/* Takes in the value of a point and whatever it completes. */
static ig_status settle_point(schedule *s, size_t slot, ig_error *error)
{
    const ig_request *request = s->request;
    const size_t targets = request->target_count;
    const origin from = s->origins[slot];
    const ig_point *point = &s->points[slot];
    for (size_t t = 0; t < targets; t++) {
        const size_t cell = from.owner->image * targets + t;
        const double value = s->values[slot * targets + t];
        if (point->alpha == 0.0)
            s->result->baseline_scores[cell] += value / (double)request->baseline_count;
        if (point->alpha == 1.0)
            s->result->scores[cell] = value;
    }
    if (from.node + 1 == request->nodes.count) {
        const ig_status status = fold_path(s, from.owner, from.baseline, point->path, error);
        if (status != IG_OK)
            return status;
    }
    if (++from.owner->settled == s->points_per_job)
        for (size_t t = 0; t < targets; t++)
            finish_target(s, from.owner, t);
    return IG_OK;
}

/* Moves finished jobs, which are the oldest, behind those in work. */
static void retire_jobs(schedule *s)
{
    while (s->active_count && s->jobs[0]->settled == s->points_per_job) {
        job *finished = s->jobs[0];
        s->active_count--;
        memmove(s->jobs, s->jobs + 1, s->active_count * sizeof *s->jobs);
        s->jobs[s->active_count] = finished;
    }
}

static ig_status run(schedule *s, ig_between between, void *context, ig_error *error)
{
    const size_t total = s->request->image_count * s->points_per_job;
    for (size_t done = 0; done < total;) {
        size_t n;
        ig_status status = fill_batch(s, s->result->batch_size, &n, error);
        if (status == IG_OK)
            status = evaluate_batch(s, n, error);
        for (size_t k = 0; status == IG_OK && k < n; k++)
            status = settle_point(s, k, error);
        if (status != IG_OK)
            return status;
        retire_jobs(s);
        done += n;
        if (between && between(context, done, total))
            return IG_PENDING;
    }
    return IG_OK;
}

/* ---- End points ---------------------------------------------------------------------------- */

/* Some pictures whose F is wanted at the targets of the images they belong to. */
typedef struct {
    const float *pixels;
    size_t count;
    size_t per_image; /* picture k belongs to image k / per_image, ... */
    int for_all;      /* ... or to every image */
    double weight;
    double *ret_scores; /* (N, T), added to */
} end_points;

static ig_status add_scores(const schedule *s, const end_points *ends, size_t picture,
                            const float *scores, size_t num_classes, ig_error *error)
{
    const size_t targets = s->request->target_count;
    const size_t first = ends->for_all ? 0 : picture / ends->per_image;
    const size_t last = ends->for_all ? s->request->image_count : first + 1;
    for (size_t cell = first * targets; cell < last * targets; cell++) {
        const int64_t target = s->request->targets[cell];
        if (target < 0 || (uint64_t)target >= num_classes)
            return ig_fail(error, IG_OUT_OF_RANGE, "target %lld is out of range: %zu classes",
                           (long long)target, num_classes);
        ends->ret_scores[cell] += ends->weight * (double)scores[target];
    }
    return IG_OK;
}

static ig_status score_pictures(schedule *s, const end_points *ends, ig_error *error)
{
    const ig_batches work = {.backend = s->backend,
                             .model = s->model,
                             .shape = s->request->shape,
                             .output = s->request->output};
    ig_description about;
    ig_status status = s->backend->describe(s->model, work.shape, &about, error);
    if (status != IG_OK)
        return status;
    float *scores = malloc(ends->count * about.num_classes * sizeof *scores);
    if (!scores)
        return no_memory(error);
    status = ig_scores(&work, ends->pixels, ends->count, about.num_classes, &s->result->batch_size,
                       scores, error);
    for (size_t k = 0; status == IG_OK && k < ends->count; k++)
        status = add_scores(s, ends, k, scores + k * about.num_classes, about.num_classes, error);
    free(scores);
    return status;
}

/* F at the ends of the paths, where the rule has no node there that gave it for free. */
static ig_status score_ends(schedule *s, ig_error *error)
{
    const ig_request *request = s->request;
    const size_t m = request->baseline_count;
    const end_points images = {request->images, request->image_count, 1, 0, 1.0, s->result->scores};
    const end_points baselines = {request->baselines,
                                  request->baselines_are_shared ? m : m * request->image_count,
                                  m,
                                  request->baselines_are_shared,
                                  1.0 / (double)m,
                                  s->result->baseline_scores};
    ig_status status = IG_OK;
    if (request->nodes.alphas[request->nodes.count - 1] != 1.0)
        status = score_pictures(s, &images, error);
    if (status == IG_OK && request->nodes.alphas[0] != 0.0)
        status = score_pictures(s, &baselines, error);
    return status;
}

/* ---- The door ------------------------------------------------------------------------------ */

ig_status ig_integrate(const ig_backend *backend, ig_model *model, const ig_request *request,
                       ig_between between, void *context, ig_result *result, ig_error *error)
{
    schedule s = {
        .backend = backend,
        .model = model,
        .request = request,
        .result = result,
        .size = ig_shape_size(request->shape),
        .pixels = request->shape.height * request->shape.width,
        .points_per_job = request->baseline_count * request->nodes.count,
        .batch_size = request->batch_size,
    };
    const size_t cells = request->image_count * request->target_count;
    memset(result->scores, 0, cells * sizeof *result->scores);
    memset(result->baseline_scores, 0, cells * sizeof *result->baseline_scores);
    result->batch_size = request->batch_size;
    ig_status status = set_up(&s, error);
    if (status == IG_OK)
        status = run(&s, between, context, error);
    if (status == IG_OK)
        status = score_ends(&s, error);
    tear_down(&s);
    return status;
}
