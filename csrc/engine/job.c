/* job.c - from an image to its points, and from their gradients to its part of the result. */
#include "job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "host_path.h"

static ig_status no_memory(ig_error *error)
{
    return ig_fail(error, IG_NO_MEMORY, "out of memory for the attributions of an image");
}

/* ---- What jobs share ----------------------------------------------------------------------- */

static int evenly_spaced(const ig_nodes *nodes)
{
    const double width =
        (nodes->alphas[nodes->count - 1] - nodes->alphas[0]) / (double)(nodes->count - 1);
    for (size_t k = 1; k < nodes->count; k++)
        if (fabs(nodes->alphas[k] - nodes->alphas[k - 1] - width) > 1e-9 * width)
            return 0;
    return 1;
}

static ig_status create_paths(ig_work *w, const ig_backend *backend, ig_model *model,
                              ig_error *error)
{
    const ig_paths_config config = {
        .shape = w->request->shape,
        .target_count = w->request->target_count,
        .output = w->request->output,
        .with_half = w->has_estimate,
        .with_jumps = w->result->error_map != NULL,
        .with_gradient = w->result->gradients != NULL,
    };
    if (backend->paths) {
        w->store = backend->paths;
        return w->store->create(model, &config, &w->paths, error);
    }
    w->store = &ig_host_paths;
    return ig_host_paths_create(backend, model, &config, &w->paths, error);
}

static int allocate_scratch(ig_work *w)
{
    const ig_request *request = w->request;
    const size_t count = w->size * request->target_count;
    int enough = (w->sums.sum = malloc(count * sizeof(double))) != NULL;
    if (w->has_estimate)
        enough &= (w->sums.half = malloc(count * sizeof(double))) != NULL;
    if (w->result->error_map) {
        const size_t pixels = w->pixels * request->target_count;
        enough &= (w->sums.jumps = malloc(count * sizeof(double))) != NULL;
        enough &= (w->sums.pixel_jumps = malloc(pixels * sizeof(double))) != NULL;
        enough &= (w->pixel_means = malloc(w->pixels * sizeof(double))) != NULL;
    }
    if (request->adaptive) {
        enough &= (w->norms = malloc(request->target_count * sizeof *w->norms)) != NULL;
        w->path_weights = malloc(request->baseline_count * sizeof *w->path_weights);
        return enough && w->path_weights;
    }
    w->weights = malloc(request->nodes.count * sizeof *w->weights);
    w->jump_norms = malloc(request->nodes.count * sizeof *w->jump_norms);
    return enough && w->weights && w->jump_norms;
}

ig_status ig_work_set_up(ig_work *work, const ig_backend *backend, ig_model *model,
                         const ig_request *request, ig_result *result, ig_error *error)
{
    *work = (ig_work){
        .request = request,
        .result = result,
        .size = ig_shape_size(request->shape),
        .pixels = request->shape.height * request->shape.width,
        .has_estimate = request->adaptive || request->nodes.half_weights,
    };
    if (!allocate_scratch(work))
        return no_memory(error);
    if (!request->adaptive)
        ig_sum_weights(&request->nodes, work->weights);
    work->retain = work->has_estimate && (request->adaptive || !evenly_spaced(&request->nodes));
    return create_paths(work, backend, model, error);
}

void ig_work_tear_down(ig_work *work)
{
    if (work->paths)
        work->store->destroy(work->paths);
    free(work->weights);
    free(work->jump_norms);
    free(work->sums.sum);
    free(work->sums.half);
    free(work->sums.jumps);
    free(work->sums.pixel_jumps);
    free(work->pixel_means);
    free(work->norms);
    free(work->path_weights);
}

/* ---- A job --------------------------------------------------------------------------------- */

void ig_job_free(ig_job *job)
{
    if (!job)
        return;
    ig_refinement_free(job->refinement);
    free(job->paths);
    free(job->totals.total);
    free(job->totals.difference);
    free(job->totals.variance);
    free(job->totals.square);
    free(job->totals.pixel_variance);
    free(job->totals.pixel_square);
    free(job);
}

ig_job *ig_job_create(const ig_work *w)
{
    const size_t baselines = w->request->baseline_count;
    const size_t count = w->size * w->request->target_count;
    const size_t pixels = w->pixels * w->request->target_count;
    const int maps = w->result->error_map != NULL;
    ig_job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    int enough = (job->totals.total = malloc(count * sizeof(double))) != NULL;
    enough &= (job->paths = malloc(baselines * sizeof *job->paths)) != NULL;
    if (w->request->adaptive)
        enough &= (job->refinement = ig_refinement_create(baselines)) != NULL;
    if (w->has_estimate)
        enough &= (job->totals.difference = malloc(count * sizeof(double))) != NULL;
    if (maps) {
        enough &= (job->totals.variance = malloc(count * sizeof(double))) != NULL;
        enough &= (job->totals.pixel_variance = malloc(pixels * sizeof(double))) != NULL;
    }
    if (baselines > 1)
        enough &= (job->totals.square = malloc(count * sizeof(double))) != NULL;
    if (maps && baselines > 1)
        enough &= (job->totals.pixel_square = malloc(pixels * sizeof(double))) != NULL;
    if (!enough) {
        ig_job_free(job);
        return NULL;
    }
    return job;
}

/* Zeroes a total, if it is wanted. */
static void clear(double *total, size_t count)
{
    if (total)
        memset(total, 0, count * sizeof *total);
}

static void clear_totals(const ig_work *w, ig_job *job)
{
    const size_t count = w->size * w->request->target_count;
    const size_t pixels = w->pixels * w->request->target_count;
    job->expected = (ig_expectation){0.0, 0.0};
    clear(job->totals.total, count);
    clear(job->totals.difference, count);
    clear(job->totals.variance, count);
    clear(job->totals.square, count);
    clear(job->totals.pixel_variance, pixels);
    clear(job->totals.pixel_square, pixels);
    for (size_t t = 0; t < w->request->target_count; t++)
        w->result->baseline_scores[job->image * w->request->target_count + t] = 0.0;
}

ig_status ig_job_start(const ig_work *w, ig_job *job, size_t image, ig_error *error)
{
    job->image = image;
    job->issued = job->settled = job->opened = job->closed = 0;
    job->finished = 0;
    clear_totals(w, job);
    if (!job->refinement) {
        job->decided = w->request->baseline_count * w->request->nodes.count;
        return IG_OK;
    }
    if (!ig_refinement_start(job->refinement))
        return no_memory(error);
    job->decided = job->refinement->wish_count;
    return IG_OK;
}

void ig_job_abandon(const ig_work *w, ig_job *job)
{
    while (job->closed < job->opened)
        w->store->close(w->paths, job->paths[job->closed++]);
}

/* ---- Its points ---------------------------------------------------------------------------- */

static const float *image_of(const ig_work *w, const ig_job *job)
{
    return w->request->images + job->image * w->size;
}

static const float *baseline_of(const ig_work *w, const ig_job *job, size_t baseline)
{
    const size_t set = w->request->baselines_are_shared ? 0 : job->image;
    return w->request->baselines + (set * w->request->baseline_count + baseline) * w->size;
}

static ig_status open_next_path(const ig_work *w, ig_job *job, ig_error *error)
{
    const ig_status status =
        w->store->open(w->paths, image_of(w, job), baseline_of(w, job, job->opened),
                       w->request->targets + job->image * w->request->target_count, w->retain,
                       &job->paths[job->opened], error);
    job->opened += status == IG_OK;
    return status;
}

/* The point that is to be issued next. A new round's points follow those of the rounds before. */
static ig_point next_point(const ig_work *w, const ig_job *job, ig_origin *ret_origin)
{
    if (job->refinement) {
        const ig_refinement *r = job->refinement;
        const ig_wish wish = r->wishes[job->issued - (job->decided - r->wish_count)];
        *ret_origin = (ig_origin){.baseline = wish.path};
        return (ig_point){.alpha = wish.alpha};
    }
    const ig_nodes *nodes = &w->request->nodes;
    const size_t node = job->issued % nodes->count;
    *ret_origin =
        (ig_origin){.baseline = job->issued / nodes->count, .ends_path = node + 1 == nodes->count};
    return (ig_point){.alpha = nodes->alphas[node], .weights = w->weights[node]};
}

ig_status ig_job_issue(const ig_work *w, ig_job *job, ig_point *ret_point, ig_origin *ret_origin,
                       ig_error *error)
{
    *ret_point = next_point(w, job, ret_origin);
    ret_origin->job = job;
    if (ret_origin->baseline == job->opened) {
        const ig_status status = open_next_path(w, job, error);
        if (status != IG_OK)
            return status;
    }
    ret_point->path = job->paths[ret_origin->baseline];
    job->issued++;
    return IG_OK;
}

/* ---- Finished paths ------------------------------------------------------------------------ */

/* The totals of one target. */
static ig_path_totals totals_of(const ig_work *w, const ig_job *job, size_t target)
{
    const size_t offset = target * w->size;
    const ig_path_totals *all = &job->totals;
    return (ig_path_totals){
        .total = all->total + offset,
        .difference = all->difference ? all->difference + offset : NULL,
        .variance = all->variance ? all->variance + offset : NULL,
        .square = all->square ? all->square + offset : NULL,
        .pixel_variance = all->pixel_variance ? all->pixel_variance + target * w->pixels : NULL,
        .pixel_square = all->pixel_square ? all->pixel_square + target * w->pixels : NULL,
    };
}

static void fold_targets(const ig_work *w, const ig_job *job, size_t baseline)
{
    for (size_t t = 0; t < w->request->target_count; t++) {
        const size_t offset = t * w->size;
        const ig_path_part part = {
            .sum = w->sums.sum + offset,
            .half = w->sums.half ? w->sums.half + offset : NULL,
            .jumps = w->sums.jumps ? w->sums.jumps + offset : NULL,
            .pixel_jumps = w->sums.pixel_jumps ? w->sums.pixel_jumps + t * w->pixels : NULL,
        };
        ig_path_fold(image_of(w, job), baseline_of(w, job, baseline), part, w->pixels,
                     w->request->shape.channels, totals_of(w, job, t));
    }
}

static ig_expectation add_expectations(ig_expectation a, ig_expectation b)
{
    return (ig_expectation){a.error + b.error, a.difference + b.difference};
}

/* The nodes of a path that is complete. */
typedef struct {
    size_t count;
    const double *alphas;
    const double *jump_norms;  /* NULL where it was streamed: over even nodes they do not matter */
    const ig_weights *weights; /* NULL where it was streamed: the store has used them */
} known_nodes;

/* Adds the sums of a path to the totals of its job, and closes it. All paths of an image end at it,
 * so that the first gives the gradient there. */
static ig_status fold_path(const ig_work *w, ig_job *job, size_t baseline, known_nodes nodes,
                           ig_error *error)
{
    ig_sums sums = w->sums;
    if (w->result->gradients && baseline == 0)
        sums.gradient = w->result->gradients + job->image * w->size * w->request->target_count;
    const ig_status status =
        w->store->read(w->paths, job->paths[baseline], nodes.weights, sums, error);
    if (status != IG_OK)
        return status;
    job->expected = add_expectations(
        job->expected, ig_trapezoid_expectation(nodes.alphas, nodes.count, nodes.jump_norms));
    fold_targets(w, job, baseline);
    w->store->close(w->paths, job->paths[baseline]);
    job->closed++;
    return IG_OK;
}

static ig_status fold_given(const ig_work *w, ig_job *job, size_t baseline, ig_error *error)
{
    known_nodes nodes = {.count = w->request->nodes.count, .alphas = w->request->nodes.alphas};
    if (w->retain) {
        const ig_status status =
            w->store->jump_norms(w->paths, job->paths[baseline], w->jump_norms, error);
        if (status != IG_OK)
            return status;
        nodes.jump_norms = w->jump_norms;
        nodes.weights = w->weights;
    }
    return fold_path(w, job, baseline, nodes, error);
}

/* ---- Finished images ----------------------------------------------------------------------- */

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
static void draw_error_maps(const ig_work *w, const ig_job *job, size_t target,
                            ig_path_summary summary)
{
    const double m = (double)w->request->baseline_count;
    const size_t cell = job->image * w->request->target_count + target;
    const size_t channels = w->request->shape.channels;
    const ig_path_totals totals = totals_of(w, job, target);
    const int sample = w->request->baselines_are_a_sample;
    const double factor = relative(job->expected.error, job->expected.difference);
    ig_path_deviations(totals.variance, totals.total, sample ? totals.square : NULL,
                       w->request->baseline_count,
                       variance_scale(factor * summary.difference_square, summary.variance),
                       w->size, w->result->error_map + cell * w->size);

    ig_path_channel_mean(totals.difference, w->pixels, channels, w->pixel_means);
    const double difference = ig_path_square_sum(w->pixel_means, w->pixels) / (m * m);
    const double variance = ig_path_sum(totals.pixel_variance, w->pixels) / (m * m);
    ig_path_channel_mean(totals.total, w->pixels, channels, w->pixel_means);
    ig_path_deviations(totals.pixel_variance, w->pixel_means, sample ? totals.pixel_square : NULL,
                       w->request->baseline_count, variance_scale(factor * difference, variance),
                       w->pixels, w->result->pixel_error_map + cell * w->pixels);
}

static void finish_target(const ig_work *w, const ig_job *job, size_t target)
{
    const size_t baselines = w->request->baseline_count;
    const size_t cell = job->image * w->request->target_count + target;
    ig_result *result = w->result;
    const ig_path_totals totals = totals_of(w, job, target);
    const ig_path_summary summary =
        ig_path_finish(totals, baselines, w->size, result->attributions + cell * w->size);
    const double norm = sqrt(summary.square);
    const double estimate_square =
        summary.difference_square * relative(job->expected.error, job->expected.difference);
    result->sums[cell] = summary.sum;
    result->quadrature_error[cell] =
        w->sums.half ? relative(sqrt(estimate_square), norm) : (double)NAN;
    result->baseline_error[cell] =
        baselines > 1 ? relative(sqrt(summary.spread_square), norm) : (double)NAN;
    if (result->error_map)
        draw_error_maps(w, job, target, summary);
}

static void finish(const ig_work *w, ig_job *job)
{
    for (size_t t = 0; t < w->request->target_count; t++)
        finish_target(w, job, t);
    job->finished = 1;
}

/* ---- Refinement ---------------------------------------------------------------------------- */

/* Whether every target's estimated error is within the tolerance. */
static ig_status judge(const ig_work *w, const ig_job *job, int *ret_exact, ig_error *error)
{
    const ig_refinement *r = job->refinement;
    ig_expectation expected = {0.0, 0.0};
    for (size_t k = 0; k < r->path_count; k++) {
        const ig_mesh *mesh = &r->meshes[k];
        w->path_weights[k] = mesh->summed;
        expected = add_expectations(
            expected, ig_trapezoid_expectation(mesh->alphas, mesh->count, mesh->jump_norms));
    }
    const ig_status status =
        w->store->assess(w->paths, job->paths, w->path_weights, r->path_count, w->norms, error);
    if (status != IG_OK)
        return status;
    const double factor = relative(expected.error, expected.difference);
    *ret_exact = 1;
    for (size_t t = 0; t < w->request->target_count; t++)
        *ret_exact &= relative(sqrt(factor * w->norms[t].difference_square),
                               sqrt(w->norms[t].square)) <= w->request->adaptive->tolerance;
    return IG_OK;
}

static ig_status fold_refined(const ig_work *w, ig_job *job, ig_error *error)
{
    const size_t paths = job->refinement->path_count;
    double *alphas = w->result->alphas + job->image * w->request->adaptive->max_evaluations;
    ig_status status = IG_OK;
    for (size_t k = 0; status == IG_OK && k < paths; k++) {
        const ig_mesh *mesh = &job->refinement->meshes[k];
        memcpy(alphas, mesh->alphas, mesh->count * sizeof *alphas);
        alphas += mesh->count;
        w->result->node_counts[job->image * paths + k] = (int64_t)mesh->count;
        status = fold_path(w, job, k,
                           (known_nodes){mesh->count, mesh->alphas, mesh->jump_norms, mesh->summed},
                           error);
    }
    return status;
}

/* When all points of a round are settled: finishes the image, or decides on the next round. */
static ig_status end_round(const ig_work *w, ig_job *job, ig_error *error)
{
    ig_refinement *r = job->refinement;
    const size_t most = w->request->adaptive->max_evaluations - job->settled;
    int exact = 0;
    ig_status status = IG_OK;
    for (size_t k = 0; status == IG_OK && k < r->path_count; k++)
        status = w->store->jump_norms(w->paths, job->paths[k], r->meshes[k].jump_norms, error);
    ig_refinement_weigh(r);
    if (status == IG_OK && r->node_count >= IG_LEAST_NODES * r->path_count)
        status = judge(w, job, &exact, error);
    if (status == IG_OK && !exact && !ig_refinement_split(r, most))
        status = no_memory(error);
    if (status != IG_OK)
        return status;
    if (!exact && r->wish_count) {
        job->decided += r->wish_count;
        return IG_OK;
    }
    status = fold_refined(w, job, error);
    if (status == IG_OK)
        finish(w, job);
    return status;
}

/* ---- Settling ------------------------------------------------------------------------------ */

static void take_scores(const ig_work *w, const ig_job *job, double alpha, const double *values)
{
    const size_t first = job->image * w->request->target_count;
    for (size_t t = 0; t < w->request->target_count; t++) {
        if (alpha == 0.0)
            w->result->baseline_scores[first + t] += values[t] / (double)w->request->baseline_count;
        if (alpha == 1.0)
            w->result->scores[first + t] = values[t];
    }
}

ig_status ig_job_settle(const ig_work *w, const ig_origin *origin, const ig_point *point,
                        const double *values, ig_error *error)
{
    ig_job *job = origin->job;
    ig_status status = IG_OK;
    take_scores(w, job, point->alpha, values);
    job->settled++;
    if (job->refinement)
        return job->settled == job->decided ? end_round(w, job, error) : IG_OK;
    if (origin->ends_path)
        status = fold_given(w, job, origin->baseline, error);
    if (status == IG_OK && job->settled == job->decided)
        finish(w, job);
    return status;
}
