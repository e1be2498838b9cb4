/* host_path.c - sums along paths, kept in host memory. */
#include "host_path.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "../kernels/kernels.h"

/* A gradient that is kept, of all targets of its path. */
typedef struct {
    double alpha;
    float *gradient;
    double jump_norm; /* to the next node; negative where it has not been computed */
} node;

typedef struct {
    int is_open, retain;
    const float *image, *baseline; /* borrowed from open to close */
    const int64_t *targets;
    ig_regions regions;
    /* Streamed: the sums so far, and the last gradient where jumps are wanted. These buffers stay
     * with the slot when the path is closed, for the next one. The members of `sums` are owned. */
    ig_sums sums;
    size_t region_capacity; /* of sums.region_jumps */
    float *previous;
    /* Retained: nodes by ascending alpha. */
    node *nodes;
    size_t node_count, node_capacity;
} path;

struct ig_paths {
    const ig_backend *backend;
    ig_model *model;
    ig_paths_config config;
    size_t size;  /* of a picture */
    size_t count; /* of the gradients of a point: target_count pictures */
    path *paths;
    size_t path_count;
    double *region_scratch; /* a value for each region of any path */
    size_t region_capacity;
    /* Buffers of one evaluation, for up to `capacity` points. */
    size_t capacity;
    float *pixels, *gradients, *values;
    ig_pick *picks;
};

static ig_status no_memory(ig_error *error)
{
    return ig_fail(error, IG_NO_MEMORY, "out of memory for the sums along the path");
}

static size_t count_targets(const ig_paths *paths)
{
    return paths->config.target_count;
}

/* Of all targets. */
static size_t count_pixels(const ig_paths *paths)
{
    return paths->count / paths->config.shape.channels;
}

ig_status ig_host_paths_create(const ig_backend *backend, ig_model *model,
                               const ig_paths_config *config, ig_paths **ret_paths, ig_error *error)
{
    ig_paths *paths = calloc(1, sizeof *paths);
    if (!paths)
        return no_memory(error);
    paths->backend = backend;
    paths->model = model;
    paths->config = *config;
    paths->size = ig_shape_size(config->shape);
    paths->count = paths->size * config->target_count;
    *ret_paths = paths;
    return IG_OK;
}

/* A closed slot, or a new one; NULL when memory is short. */
static path *find_slot(ig_paths *paths)
{
    for (size_t i = 0; i < paths->path_count; i++)
        if (!paths->paths[i].is_open)
            return &paths->paths[i];
    path *grown = realloc(paths->paths, (paths->path_count + 1) * sizeof *grown);
    if (!grown)
        return NULL;
    paths->paths = grown;
    path *slot = &grown[paths->path_count++];
    memset(slot, 0, sizeof *slot);
    return slot;
}

/* Zeroes a sum, allocating it the first time; 0 when memory is short. */
static int clear_sum(double **sum, size_t count)
{
    if (*sum)
        memset(*sum, 0, count * sizeof **sum);
    else
        *sum = calloc(count, sizeof **sum);
    return *sum != NULL;
}

/* As clear_sum; images differ in how many regions they have. */
static int prepare_region_jumps(const ig_paths *paths, path *slot)
{
    const size_t count = slot->regions.count * count_targets(paths);
    if (count > slot->region_capacity) {
        free(slot->sums.region_jumps);
        slot->sums.region_jumps = NULL;
        slot->region_capacity = count;
    }
    return clear_sum(&slot->sums.region_jumps, count);
}

static int reserve_regions(ig_paths *paths, size_t count)
{
    if (count <= paths->region_capacity)
        return 1;
    free(paths->region_scratch);
    paths->region_scratch = malloc(2 * count * sizeof *paths->region_scratch);
    paths->region_capacity = paths->region_scratch ? count : 0;
    return paths->region_capacity > 0;
}

static int prepare_sums(const ig_paths *paths, path *slot)
{
    if (!clear_sum(&slot->sums.sum, paths->count))
        return 0;
    if (paths->config.with_half && !clear_sum(&slot->sums.half, paths->count))
        return 0;
    if (paths->config.with_jumps) {
        if (!clear_sum(&slot->sums.jumps, paths->count) ||
            !clear_sum(&slot->sums.pixel_jumps, count_pixels(paths)) ||
            (paths->config.with_region_jumps && !prepare_region_jumps(paths, slot)))
            return 0;
        if (!slot->previous)
            slot->previous = malloc(paths->count * sizeof *slot->previous);
        if (!slot->previous)
            return 0;
    }
    if (paths->config.with_gradient && !slot->sums.gradient)
        slot->sums.gradient = malloc(paths->count * sizeof *slot->sums.gradient);
    return slot->sums.gradient || !paths->config.with_gradient;
}

static ig_status open_path(ig_paths *paths, const float *image, const float *baseline,
                           const int64_t *targets, ig_regions regions, int retain, size_t *ret_path,
                           ig_error *error)
{
    path *slot = find_slot(paths);
    if (!slot || !reserve_regions(paths, regions.count))
        return no_memory(error);
    slot->regions = regions;
    if (!retain && !prepare_sums(paths, slot))
        return no_memory(error);
    slot->is_open = 1;
    slot->retain = retain;
    slot->image = image;
    slot->baseline = baseline;
    slot->targets = targets;
    *ret_path = (size_t)(slot - paths->paths);
    return IG_OK;
}

static void close_path(ig_paths *paths, size_t index)
{
    path *slot = &paths->paths[index];
    for (size_t k = 0; k < slot->node_count; k++)
        free(slot->nodes[k].gradient);
    slot->node_count = 0;
    slot->is_open = 0;
}

static void destroy(ig_paths *paths)
{
    for (size_t i = 0; i < paths->path_count; i++) {
        close_path(paths, i);
        path *slot = &paths->paths[i];
        free(slot->sums.sum);
        free(slot->sums.half);
        free(slot->sums.jumps);
        free(slot->sums.pixel_jumps);
        free(slot->sums.region_jumps);
        free(slot->sums.gradient);
        free(slot->previous);
        free(slot->nodes);
    }
    free(paths->paths);
    free(paths->region_scratch);
    free(paths->pixels);
    free(paths->gradients);
    free(paths->values);
    free(paths->picks);
    free(paths);
}

/* Makes room for n points; 0 when memory is short. */
static int reserve(ig_paths *paths, size_t n)
{
    if (n <= paths->capacity)
        return 1;
    const size_t picks = n * count_targets(paths);
    free(paths->pixels);
    free(paths->gradients);
    free(paths->values);
    free(paths->picks);
    paths->pixels = malloc(n * paths->size * sizeof *paths->pixels);
    paths->gradients = malloc(n * paths->count * sizeof *paths->gradients);
    paths->values = malloc(picks * sizeof *paths->values);
    paths->picks = malloc(picks * sizeof *paths->picks);
    const int enough = paths->pixels && paths->gradients && paths->values && paths->picks;
    paths->capacity = enough ? n : 0;
    return enough;
}

/* Keeps a gradient at its place among the path's nodes; 0 when memory is short. */
static int retain_gradient(path *slot, double alpha, const float *gradient, size_t count)
{
    if (slot->node_count == slot->node_capacity) {
        const size_t capacity = slot->node_capacity ? 2 * slot->node_capacity : 16;
        node *grown = realloc(slot->nodes, capacity * sizeof *grown);
        if (!grown)
            return 0;
        slot->nodes = grown;
        slot->node_capacity = capacity;
    }
    float *copy = malloc(count * sizeof *copy);
    if (!copy)
        return 0;
    memcpy(copy, gradient, count * sizeof *copy);
    size_t at = slot->node_count++;
    for (; at > 0 && slot->nodes[at - 1].alpha > alpha; at--)
        slot->nodes[at] = slot->nodes[at - 1];
    slot->nodes[at] = (node){alpha, copy, -1.0};
    if (at > 0)
        slot->nodes[at - 1].jump_norm = -1.0;
    return 1;
}

/* The jumps of the regions' attributions between two nodes, for one target. */
static void find_region_jumps(const ig_paths *paths, const path *slot, const float *gradient,
                              const float *previous, size_t target, double *ret_jumps)
{
    const size_t channels = paths->config.shape.channels, offset = target * paths->size;
    ig_region_jumps(gradient + offset, previous + offset, slot->image, slot->baseline,
                    slot->regions.labels, paths->size / channels, channels, slot->regions.count,
                    ret_jumps);
}

static void add_region_jumps(const ig_paths *paths, const path *slot, const float *gradient,
                             const float *previous, double weight, double *region_jumps)
{
    for (size_t t = 0; t < count_targets(paths); t++) {
        find_region_jumps(paths, slot, gradient, previous, t, paths->region_scratch);
        ig_region_add_squares(paths->region_scratch, weight, slot->regions.count,
                              region_jumps + t * slot->regions.count);
    }
}

/* Adds the jump since the node before, of all targets, to the jump sums. */
static void add_jump(const ig_paths *paths, const path *slot, const float *gradient,
                     const float *previous, double weight, ig_sums sums)
{
    const size_t channels = paths->config.shape.channels, pixels = paths->size / channels;
    ig_path_accumulate_jump(gradient, previous, weight, paths->count, sums.jumps);
    for (size_t t = 0; t < count_targets(paths); t++)
        ig_path_accumulate_pixel_jump(gradient + t * paths->size, previous + t * paths->size,
                                      slot->image, slot->baseline, weight, pixels, channels,
                                      sums.pixel_jumps + t * pixels);
    if (sums.region_jumps)
        add_region_jumps(paths, slot, gradient, previous, weight, sums.region_jumps);
}

/* Adds a node's gradient to the sums; `previous` is NULL at the first node of a path. */
static void add_gradient(const ig_paths *paths, const path *slot, const float *gradient,
                         const float *previous, ig_weights weights, ig_sums sums)
{
    ig_path_accumulate(gradient, weights.weight, paths->count, sums.sum);
    if (sums.half && weights.half_weight != 0.0)
        ig_path_accumulate(gradient, weights.half_weight, paths->count, sums.half);
    if (sums.jumps && previous)
        add_jump(paths, slot, gradient, previous, weights.jump_weight, sums);
}

static void stream_gradient(const ig_paths *paths, path *slot, const ig_point *point,
                            const float *gradient)
{
    /* The first node of a path is the one that no interval ends at. */
    const float *previous = point->weights.jump_weight > 0.0 ? slot->previous : NULL;
    add_gradient(paths, slot, gradient, previous, point->weights, slot->sums);
    if (slot->previous)
        memcpy(slot->previous, gradient, paths->count * sizeof *gradient);
    if (slot->sums.gradient && point->alpha == 1.0)
        memcpy(slot->sums.gradient, gradient, paths->count * sizeof *gradient);
}

static ig_status check_finite(const ig_paths *paths, size_t n, size_t *ret_point, ig_error *error)
{
    const size_t targets = count_targets(paths);
    for (size_t k = 0; k < n; k++) {
        const float *gradient = paths->gradients + k * paths->count;
        size_t at;
        *ret_point = k;
        if (!ig_all_finite(paths->values + k * targets, targets, &at))
            return ig_fail(error, IG_MODEL_FAILED, "the model's score is %g",
                           (double)paths->values[k * targets + at]);
        if (!ig_all_finite(gradient, paths->count, &at))
            return ig_fail(error, IG_MODEL_FAILED, "the model's gradient holds %g",
                           (double)gradient[at]);
    }
    *ret_point = n;
    return IG_OK;
}

static ig_status evaluate(ig_paths *paths, const ig_point *points, size_t n, double *ret_values,
                          size_t *ret_done, size_t *ret_point, ig_error *error)
{
    const size_t targets = count_targets(paths);
    *ret_done = 0;
    *ret_point = n;
    if (!reserve(paths, n))
        return no_memory(error);
    for (size_t k = 0; k < n; k++) {
        const path *slot = &paths->paths[points[k].path];
        ig_path_interpolate(slot->image, slot->baseline, points[k].alpha, paths->size,
                            paths->pixels + k * paths->size);
        for (size_t t = 0; t < targets; t++)
            paths->picks[k * targets + t] = (ig_pick){k, slot->targets[t]};
    }
    ig_status status = paths->backend->gradients(
        paths->model, paths->pixels, n, paths->config.shape, paths->picks, n * targets,
        paths->config.output, paths->values, paths->gradients, error);
    if (status == IG_OK)
        status = check_finite(paths, n, ret_point, error);
    if (status != IG_OK)
        return status;
    for (size_t k = 0; k < n; k++) {
        path *slot = &paths->paths[points[k].path];
        const float *gradient = paths->gradients + k * paths->count;
        if (!slot->retain)
            stream_gradient(paths, slot, &points[k], gradient);
        else if (!retain_gradient(slot, points[k].alpha, gradient, paths->count))
            return no_memory(error);
        for (size_t t = 0; t < targets; t++)
            ret_values[k * targets + t] = paths->values[k * targets + t];
        *ret_done = k + 1;
    }
    return IG_OK;
}

/* ||(gradient of the next node - this one's) * (image - baseline)|| over all targets, or that of
 * the regions' sums. */
static double jump_norm(const ig_paths *paths, const path *slot, size_t k)
{
    const float *gradient = slot->nodes[k + 1].gradient, *previous = slot->nodes[k].gradient;
    double square = 0.0;
    for (size_t t = 0; t < count_targets(paths); t++) {
        if (paths->config.by_region) {
            find_region_jumps(paths, slot, gradient, previous, t, paths->region_scratch);
            square += ig_path_square_sum(paths->region_scratch, slot->regions.count);
        } else {
            square += ig_path_jump_square(gradient + t * paths->size, previous + t * paths->size,
                                          slot->image, slot->baseline, paths->size);
        }
    }
    return sqrt(square);
}

static ig_status jump_norms(ig_paths *paths, size_t index, double *ret_norms, ig_error *error)
{
    (void)error;
    const path *slot = &paths->paths[index];
    for (size_t k = 0; k + 1 < slot->node_count; k++) {
        if (slot->nodes[k].jump_norm < 0.0)
            slot->nodes[k].jump_norm = jump_norm(paths, slot, k);
        ret_norms[k] = slot->nodes[k].jump_norm;
    }
    return IG_OK;
}

/* So many values at a time that the sums over the nodes stay in the first-level cache: each
 * gradient is then read once from memory, and that is all that assessing costs. */
enum { BLOCK = 512 };

static void assess_block(const path *slot, const ig_weights *weights, size_t from, size_t count,
                         size_t pixel, double *total, double *difference)
{
    double sum[BLOCK] = {0.0}, half[BLOCK] = {0.0};
    for (size_t k = 0; k < slot->node_count; k++)
        ig_path_accumulate_both(slot->nodes[k].gradient + from, weights[k].weight,
                                weights[k].half_weight, count, sum, half);
    for (size_t i = 0; i < count; i++) {
        const double distance = (double)slot->image[pixel + i] - slot->baseline[pixel + i];
        total[i] += distance * sum[i];
        difference[i] += distance * (sum[i] - half[i]);
    }
}

/* Adds values `pixel` .. of a picture to the sums of their regions. */
static void pool_block(const path *slot, const double *values, size_t count, size_t pixel,
                       size_t channels, double *sums)
{
    for (size_t i = 0; i < count; i++)
        sums[slot->regions.labels[(pixel + i) / channels]] += values[i];
}

static ig_norms assess_target(const ig_paths *paths, const size_t *members,
                              const ig_weights *const *weights, size_t n, size_t target)
{
    const path *first = &paths->paths[members[0]]; /* all are of one image */
    const size_t regions = paths->config.by_region ? first->regions.count : 0;
    double *sums = paths->region_scratch, *differences = regions ? sums + regions : NULL;
    ig_norms norms = {0.0, 0.0};
    if (regions)
        memset(sums, 0, 2 * regions * sizeof *sums);
    for (size_t pixel = 0; pixel < paths->size; pixel += BLOCK) {
        const size_t count = paths->size - pixel < BLOCK ? paths->size - pixel : BLOCK;
        double total[BLOCK] = {0.0}, difference[BLOCK] = {0.0};
        for (size_t k = 0; k < n; k++)
            assess_block(&paths->paths[members[k]], weights[k], target * paths->size + pixel, count,
                         pixel, total, difference);
        if (regions) {
            pool_block(first, total, count, pixel, paths->config.shape.channels, sums);
            pool_block(first, difference, count, pixel, paths->config.shape.channels, differences);
        } else {
            norms.square += ig_path_square_sum(total, count);
            norms.difference_square += ig_path_square_sum(difference, count);
        }
    }
    if (regions) {
        norms.square = ig_path_square_sum(sums, regions);
        norms.difference_square = ig_path_square_sum(differences, regions);
    }
    return norms;
}

static ig_status assess(ig_paths *paths, const size_t *members, const ig_weights *const *weights,
                        size_t n, ig_norms *ret_norms, ig_error *error)
{
    (void)error;
    for (size_t t = 0; t < count_targets(paths); t++)
        ret_norms[t] = assess_target(paths, members, weights, n, t);
    return IG_OK;
}

static void copy_sum(const double *sum, size_t count, double *ret_sum)
{
    if (!ret_sum)
        return;
    if (sum)
        memcpy(ret_sum, sum, count * sizeof *sum);
    else
        memset(ret_sum, 0, count * sizeof *ret_sum);
}

static ig_status read_sums(ig_paths *paths, size_t index, const ig_weights *weights,
                           ig_sums ret_sums, ig_error *error)
{
    (void)error;
    const path *slot = &paths->paths[index];
    const ig_sums sums = slot->retain ? (ig_sums){0} : slot->sums;
    const float *gradient =
        slot->retain ? slot->nodes[slot->node_count - 1].gradient : slot->sums.gradient;
    copy_sum(sums.sum, paths->count, ret_sums.sum);
    copy_sum(sums.half, paths->count, ret_sums.half);
    copy_sum(sums.jumps, paths->count, ret_sums.jumps);
    copy_sum(sums.pixel_jumps, count_pixels(paths), ret_sums.pixel_jumps);
    copy_sum(sums.region_jumps, slot->regions.count * count_targets(paths), ret_sums.region_jumps);
    if (ret_sums.gradient)
        memcpy(ret_sums.gradient, gradient, paths->count * sizeof *gradient);
    for (size_t k = 0; slot->retain && k < slot->node_count; k++)
        add_gradient(paths, slot, slot->nodes[k].gradient, k ? slot->nodes[k - 1].gradient : NULL,
                     weights[k], ret_sums);
    return IG_OK;
}

const ig_path_store ig_host_paths = {
    .create = NULL,
    .open = open_path,
    .evaluate = evaluate,
    .jump_norms = jump_norms,
    .assess = assess,
    .read = read_sums,
    .close = close_path,
    .destroy = destroy,
};
