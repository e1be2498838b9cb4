/* job.c - from an image to its points, and from their gradients to its totals. */
#include "job.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static ig_status no_memory(ig_error *error)
{
    return ig_fail(error, IG_NO_MEMORY, "out of memory for the attributions of an image");
}

/* ---- A job --------------------------------------------------------------------------------- */

void ig_job_free(ig_job *job)
{
    if (!job)
        return;
    ig_refinement_free(job->refinement);
    for (size_t k = 0; job->pictures && k < job->path_count; k++)
        free(job->pictures[k]);
    free(job->pictures);
    free(job->paths);
    ig_totals_free(&job->totals);
    free(job);
}

ig_job *ig_job_create(const ig_work *w)
{
    ig_job *job = calloc(1, sizeof *job);
    if (!job)
        return NULL;
    job->path_count = w->path_count;
    int enough = ig_totals_create(w, &job->totals);
    enough &= (job->paths = malloc(w->path_count * sizeof *job->paths)) != NULL;
    if (w->request->draws)
        enough &= (job->pictures = calloc(w->path_count, sizeof *job->pictures)) != NULL;
    if (w->request->adaptive)
        enough &= (job->refinement = ig_refinement_create(w->path_count)) != NULL;
    if (!enough) {
        ig_job_free(job);
        return NULL;
    }
    return job;
}

static int is_guided(const ig_work *w)
{
    return w->request->curve.kind == IG_GUIDED;
}

ig_status ig_job_start(const ig_work *w, ig_job *job, size_t image, ig_error *error)
{
    job->image = image;
    job->issued = job->settled = job->opened = job->closed = 0;
    job->finished = 0;
    ig_totals_clear(w, &job->totals);
    for (size_t t = 0; t < w->request->target_count; t++)
        w->result->baseline_scores[image * w->request->target_count + t] = 0.0;
    if (w->request->draws) {
        job->round = ig_first_round(w);
        job->decided = ig_round_points(&job->round);
        return IG_OK;
    }
    if (!job->refinement) {
        job->decided = w->path_count * (is_guided(w) ? 1 : w->request->nodes.count);
        return IG_OK;
    }
    if (!ig_refinement_start(job->refinement))
        return no_memory(error);
    job->decided = job->refinement->wish_count;
    return IG_OK;
}

static void close_oldest(const ig_work *w, ig_job *job)
{
    const size_t k = job->closed++ % job->path_count;
    w->store->close(w->paths, job->paths[k]);
    if (job->pictures) {
        free(job->pictures[k]);
        job->pictures[k] = NULL;
    }
}

void ig_job_abandon(const ig_work *w, ig_job *job)
{
    while (job->closed < job->opened)
        close_oldest(w, job);
}

/* ---- Its points ---------------------------------------------------------------------------- */

static ig_status draw_picture(const ig_work *w, ig_job *job, size_t k, ig_error *error)
{
    const ig_draws *draws = w->request->draws;
    job->pictures[k] = malloc(w->size * sizeof **job->pictures);
    if (!job->pictures[k])
        return no_memory(error);
    const size_t number = draws->is_stratified ? k / draws->per_stratum : k;
    return draws->draw(draws->context, job->image, number, job->pictures[k], error);
}

static ig_status open_next_path(const ig_work *w, ig_job *job, ig_error *error)
{
    const size_t k = job->opened % job->path_count;
    const ig_draws *draws = w->request->draws;
    ig_status status = draws ? draw_picture(w, job, k, error) : IG_OK;
    const float *begin = draws && draws->starts ? job->pictures[k] : NULL;
    const float *end = draws && !draws->starts ? job->pictures[k] : ig_image_of(w, job->image);
    if (!begin) /* of a gradient there is no path */
        begin = w->request->curve.kind == IG_STAY ? end : ig_baseline_of(w, job->image, k);
    if (status == IG_OK)
        status = w->store->open(w->paths, end, begin,
                                w->request->targets + job->image * w->request->target_count,
                                ig_regions_of(w, job->image), w->retain, &job->paths[k], error);
    if (status == IG_OK) {
        job->opened++;
    } else if (draws) {
        free(job->pictures[k]);
        job->pictures[k] = NULL;
    }
    return status;
}

/* A new round's points follow those of the rounds before. */
static ig_point refined_point(const ig_job *job, ig_origin *ret_origin)
{
    const ig_refinement *r = job->refinement;
    const ig_wish wish = r->wishes[job->issued - (job->decided - r->wish_count)];
    *ret_origin = (ig_origin){.path = wish.path};
    return (ig_point){.alpha = wish.alpha};
}

static ig_point drawn_point(const ig_work *w, const ig_job *job, ig_origin *ret_origin)
{
    const ig_round *round = &job->round;
    const size_t at = job->issued - (job->decided - ig_round_points(round));
    const size_t node = at % round->node_count;
    *ret_origin = (ig_origin){.path = round->first + at / round->node_count,
                              .ends_path = node + 1 == round->node_count};
    if (!w->request->draws->starts)
        return (ig_point){.alpha = w->request->nodes.alphas[node], .weights = w->weights[node]};
    return (ig_point){.alpha = ig_drawn_alpha(w, round, ret_origin->path, node),
                      .weights = {.weight = 1.0 / (double)round->node_count}};
}

static ig_point given_point(const ig_work *w, const ig_job *job, ig_origin *ret_origin)
{
    const ig_nodes *nodes = &w->request->nodes;
    const size_t paths = job->path_count, k = job->issued;
    const size_t node = is_guided(w) ? k / paths : k % nodes->count;
    *ret_origin = (ig_origin){.path = is_guided(w) ? k % paths : k / nodes->count,
                              .ends_path = node + 1 == nodes->count};
    return (ig_point){.alpha = nodes->alphas[node], .weights = w->weights[node]};
}

/* The point that is to be issued next. */
static ig_point next_point(const ig_work *w, const ig_job *job, ig_origin *ret_origin)
{
    if (job->refinement)
        return refined_point(job, ret_origin);
    return w->request->draws ? drawn_point(w, job, ret_origin) : given_point(w, job, ret_origin);
}

ig_status ig_job_issue(const ig_work *w, ig_job *job, ig_point *ret_point, ig_origin *ret_origin,
                       ig_error *error)
{
    *ret_point = next_point(w, job, ret_origin);
    ret_origin->job = job;
    if (ret_origin->path == job->opened) {
        const ig_status status = open_next_path(w, job, error);
        if (status != IG_OK)
            return status;
    }
    ret_point->path = job->paths[ret_origin->path % job->path_count];
    job->issued++;
    return IG_OK;
}

/* ---- Finished paths ------------------------------------------------------------------------ */

static ig_status fold_path(const ig_work *w, ig_job *job, size_t path, ig_known_nodes nodes,
                           ig_error *error)
{
    const ig_folded_path folded = {.store_index = job->paths[path % job->path_count],
                                   .number = path,
                                   .weight = w->request->draws ? job->round.weight : 1.0,
                                   .nodes = nodes};
    const ig_status status = ig_totals_fold(w, &job->totals, job->image, folded, error);
    if (status == IG_OK)
        close_oldest(w, job);
    return status;
}

static ig_status fold_given(const ig_work *w, ig_job *job, size_t path, ig_error *error)
{
    ig_known_nodes nodes = {.count = w->request->nodes.count, .alphas = w->request->nodes.alphas};
    if (w->retain) {
        const ig_status status =
            w->store->jump_norms(w->paths, job->paths[path], w->jump_norms, error);
        if (status != IG_OK)
            return status;
        nodes.jump_norms = w->jump_norms;
        nodes.weights = w->weights;
    }
    return fold_path(w, job, path, nodes, error);
}

static ig_status finish(const ig_work *w, ig_job *job, ig_error *error)
{
    job->finished = 1;
    return ig_totals_finish(w, &job->totals, job->image, error);
}

/* ---- Refinement ---------------------------------------------------------------------------- */

/* Whether every target's estimated error is within the tolerance. */
static ig_status judge(const ig_work *w, const ig_job *job, int *ret_exact, ig_error *error)
{
    const ig_refinement *r = job->refinement;
    ig_expectation expected = {0.0, 0.0, 0.0};
    for (size_t k = 0; k < r->path_count; k++) {
        const ig_mesh *mesh = &r->meshes[k];
        w->path_weights[k] = mesh->summed;
        expected = ig_expectation_sum(
            expected, ig_trapezoid_expectation(mesh->alphas, mesh->count, mesh->jump_norms));
    }
    const ig_status status =
        w->store->assess(w->paths, job->paths, w->path_weights, r->path_count, w->norms, error);
    if (status != IG_OK)
        return status;
    *ret_exact = 1;
    for (size_t t = 0; t < w->request->target_count; t++) { /* norms of sums, not of means */
        const double square = ig_estimate_square(expected, w->norms[t].difference_square, 1);
        *ret_exact &=
            ig_relative(sqrt(square), sqrt(w->norms[t].square)) <= w->request->adaptive->tolerance;
    }
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
        status = fold_path(
            w, job, k, (ig_known_nodes){mesh->count, mesh->alphas, mesh->jump_norms, mesh->summed},
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
    return status == IG_OK ? finish(w, job, error) : status;
}

/* ---- Settling ------------------------------------------------------------------------------ */

/* Draws from one baseline all score it, and each path's baseline is scored once. */
static void take_scores(const ig_work *w, const ig_job *job, double alpha, const double *values)
{
    const size_t first = job->image * w->request->target_count;
    double *starts = w->result->baseline_scores + first, *ends = w->result->scores + first;
    for (size_t t = 0; t < w->request->target_count; t++) {
        if (alpha == 0.0 && w->scores_at_start)
            starts[t] =
                w->request->draws ? values[t] : starts[t] + values[t] / (double)w->path_count;
        if (alpha == 1.0 && w->scores_at_end)
            ends[t] = values[t];
    }
}

/* When all points that were wanted are settled: finishes the image, or wants more. */
static ig_status end_given(const ig_work *w, ig_job *job, ig_error *error)
{
    const ig_draws *draws = w->request->draws;
    if (is_guided(w) && job->decided < w->path_count * w->request->nodes.count) {
        job->decided += w->path_count;
        return IG_OK;
    }
    if (draws && draws->tolerance > 0.0 &&
        ig_next_round(w, ig_totals_standard_error(w, &job->totals, job->image), job->settled,
                      &job->round)) {
        job->decided += ig_round_points(&job->round);
        return IG_OK;
    }
    if (w->result->evaluations)
        w->result->evaluations[job->image] = (int64_t)job->settled;
    return finish(w, job, error);
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
        status = fold_given(w, job, origin->path, error);
    if (status == IG_OK && job->settled == job->decided)
        status = end_given(w, job, error);
    return status;
}
