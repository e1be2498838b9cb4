/* work.c - setting up what the images of a request share. */
#include "work.h"

#include <math.h>
#include <stdlib.h>

#include "../kernels/kernels.h"
#include "host_path.h"
#include "rule.h"

static int evenly_spaced(const ig_nodes *nodes)
{
    const double width =
        (nodes->alphas[nodes->count - 1] - nodes->alphas[0]) / (double)(nodes->count - 1);
    for (size_t k = 1; k < nodes->count; k++)
        if (fabs(nodes->alphas[k] - nodes->alphas[k - 1] - width) > 1e-9 * width)
            return 0;
    return 1;
}

static const ig_curve_kernels curve_kernels = {ig_blur_weights, ig_guided_scratch, ig_guided_step};

static ig_status create_paths(ig_work *w, const ig_backend *backend, ig_model *model,
                              ig_error *error)
{
    const ig_paths_config config = {
        .shape = w->request->shape,
        .target_count = w->request->target_count,
        .output = w->request->output,
        .curve = w->request->curve,
        .kernels = &curve_kernels,
        .with_half = w->has_estimate,
        .with_jumps = w->with_jumps,
        .with_region_jumps = w->with_jumps && w->result->region_deviations,
        .by_region = w->request->adaptive && w->request->adaptive->by_region,
        .with_gradient = w->result->gradients != NULL,
    };
    if (backend->paths) {
        w->store = backend->paths;
        return w->store->create(model, &config, &w->paths, error);
    }
    w->store = &ig_host_paths;
    return ig_host_paths_create(backend, model, &config, &w->paths, error);
}

/* 0 when memory is short. */
static int count_regions(ig_work *w)
{
    if (!w->request->regions)
        return 1;
    w->region_starts = malloc(w->request->image_count * sizeof *w->region_starts);
    if (!w->region_starts)
        return 0;
    for (size_t i = 0, start = 0; i < w->request->image_count; i++) {
        const size_t count = w->request->regions[i].count;
        w->region_starts[i] = start;
        w->most_regions = count > w->most_regions ? count : w->most_regions;
        start += count;
    }
    return 1;
}

static int allocate_scratch(ig_work *w)
{
    const ig_request *request = w->request;
    const size_t count = w->size * request->target_count;
    int enough = (w->sums.sum = malloc(count * sizeof(double))) != NULL;
    if (w->has_estimate)
        enough &= (w->sums.half = malloc(count * sizeof(double))) != NULL;
    if (w->with_jumps) {
        const size_t pixels = w->pixels * request->target_count;
        enough &= (w->sums.jumps = malloc(count * sizeof(double))) != NULL;
        enough &= (w->sums.pixel_jumps = malloc(pixels * sizeof(double))) != NULL;
    }
    if (w->result->pixel_error_map)
        enough &= (w->pixel_means = malloc(2 * w->pixels * sizeof(double))) != NULL;
    if (w->most_regions)
        enough &= (w->region_sums = malloc(2 * w->most_regions * sizeof(double))) != NULL;
    if (w->with_jumps && w->result->region_deviations) {
        const size_t regions = w->most_regions * request->target_count;
        enough &= (w->sums.region_jumps = malloc(regions * sizeof(double))) != NULL;
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
        .path_count = request->draws ? request->draws->count : request->baseline_count,
        .has_estimate = request->adaptive || request->nodes.half_weights,
        .scores_at_start = !request->draws || !request->draws->starts,
        .scores_at_end = !request->draws,
    };
    work->with_jumps = work->has_estimate && (result->error_map || result->region_deviations);
    if (!count_regions(work) || !allocate_scratch(work))
        return ig_fail(error, IG_NO_MEMORY, "out of memory for the sums of an image");
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
    free(work->sums.region_jumps);
    free(work->pixel_means);
    free(work->region_sums);
    free(work->region_starts);
    free(work->norms);
    free(work->path_weights);
}
