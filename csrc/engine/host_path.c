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
    float *picture;   /* NULL on a straight path, which knows how far it is to the next */
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
    /* Streamed on a curve: the picture of that gradient, and both at the last node of T_half. */
    float *previous_picture, *half_previous, *half_picture;
    double *position; /* IG_GUIDED: the next picture */
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
    double *moved;   /* on a curve: what a picture moves by, or the picture itself */
    double *scratch; /* for ig_blur */
    float *floats;   /* for ig_guided_step */
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

static int is_curve(const ig_paths *paths)
{
    return ig_is_curve(&paths->config.curve);
}

/* Scratch for its pictures; 0 when memory is short. */
static int prepare_curve(ig_paths *paths)
{
    const ig_shape shape = paths->config.shape;
    const size_t doubles = ig_blur_scratch(shape.height, shape.width, shape.channels);
    if (!is_curve(paths))
        return 1;
    paths->moved = malloc(paths->size * sizeof *paths->moved);
    if (paths->config.curve.kind == IG_BLUR)
        paths->scratch = malloc((doubles + paths->size) * sizeof *paths->scratch);
    else
        paths->floats = malloc(ig_guided_scratch(paths->size) * sizeof *paths->floats);
    return paths->moved && (paths->scratch || paths->floats);
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
    return prepare_curve(paths) ? IG_OK : no_memory(error);
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

/* Allocates a buffer the first time; 0 when memory is short. */
static int prepare_floats(float **buffer, size_t count)
{
    if (!*buffer)
        *buffer = malloc(count * sizeof **buffer);
    return *buffer != NULL;
}

/* What a streamed path on a curve keeps of the nodes before. */
static int prepare_nodes(const ig_paths *paths, path *slot)
{
    return prepare_floats(&slot->previous, paths->count) &&
           prepare_floats(&slot->previous_picture, paths->size) &&
           (!paths->config.with_half || (prepare_floats(&slot->half_previous, paths->count) &&
                                         prepare_floats(&slot->half_picture, paths->size)));
}

/* Where a guided path starts; 0 when memory is short. */
static int prepare_position(const ig_paths *paths, path *slot, const float *baseline)
{
    if (!slot->position && !(slot->position = malloc(paths->size * sizeof *slot->position)))
        return 0;
    for (size_t i = 0; i < paths->size; i++)
        slot->position[i] = baseline[i];
    return 1;
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
        if (!prepare_floats(&slot->previous, paths->count))
            return 0;
    }
    if (is_curve(paths) && !paths->config.curve.is_left && !prepare_nodes(paths, slot))
        return 0;
    return !paths->config.with_gradient || prepare_floats(&slot->sums.gradient, paths->count);
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
    if (paths->config.curve.kind == IG_GUIDED && !prepare_position(paths, slot, baseline))
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
    for (size_t k = 0; k < slot->node_count; k++) {
        free(slot->nodes[k].gradient);
        free(slot->nodes[k].picture);
    }
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
        free(slot->previous_picture);
        free(slot->half_previous);
        free(slot->half_picture);
        free(slot->position);
        free(slot->nodes);
    }
    free(paths->paths);
    free(paths->region_scratch);
    free(paths->moved);
    free(paths->scratch);
    free(paths->floats);
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

/* A copy of `count` floats; NULL when memory is short. */
static float *copy_floats(const float *values, size_t count)
{
    float *copy = malloc(count * sizeof *copy);
    if (copy)
        memcpy(copy, values, count * sizeof *copy);
    return copy;
}

/* Keeps a gradient at its place among the path's nodes; 0 when memory is short. */
static int retain_gradient(const ig_paths *paths, path *slot, double alpha, const float *picture,
                           const float *gradient)
{
    if (slot->node_count == slot->node_capacity) {
        const size_t capacity = slot->node_capacity ? 2 * slot->node_capacity : 16;
        node *grown = realloc(slot->nodes, capacity * sizeof *grown);
        if (!grown)
            return 0;
        slot->nodes = grown;
        slot->node_capacity = capacity;
    }
    node kept = {alpha, copy_floats(gradient, paths->count), NULL, -1.0};
    if (kept.gradient && is_curve(paths) && !(kept.picture = copy_floats(picture, paths->size))) {
        free(kept.gradient);
        return 0;
    }
    if (!kept.gradient)
        return 0;
    size_t at = slot->node_count++;
    for (; at > 0 && slot->nodes[at - 1].alpha > alpha; at--)
        slot->nodes[at] = slot->nodes[at - 1];
    slot->nodes[at] = kept;
    if (at > 0)
        slot->nodes[at - 1].jump_norm = -1.0;
    return 1;
}

/* ---- Sums ---------------------------------------------------------------------------------- */

/* The gradients at a node and at the one before, and what they are multiplied with: where the
 * pictures differ by. On a straight path that is the whole of it, image and baseline. */
static ig_chord straight_chord(const path *slot, const float *gradient, const float *previous)
{
    return (ig_chord){slot->image, slot->baseline, gradient, previous};
}

/* That of one target. */
static ig_chord chord_of(const ig_paths *paths, ig_chord chord, size_t target)
{
    chord.gradient += target * paths->size;
    chord.previous += target * paths->size;
    return chord;
}

/* The jumps of the regions' attributions between two nodes, for one target. */
static void find_region_jumps(const ig_paths *paths, const path *slot, ig_chord chord,
                              double *ret_jumps)
{
    const size_t channels = paths->config.shape.channels;
    ig_region_jumps(chord.gradient, chord.previous, chord.to, chord.from, slot->regions.labels,
                    paths->size / channels, channels, slot->regions.count, ret_jumps);
}

/* Adds the jump since the node before, of all targets, to the sums of jumps that are pooled. */
static void add_pooled_jumps(const ig_paths *paths, const path *slot, ig_chord chord, double weight,
                             ig_sums sums)
{
    const size_t channels = paths->config.shape.channels, pixels = paths->size / channels;
    for (size_t t = 0; t < count_targets(paths); t++) {
        const ig_chord own = chord_of(paths, chord, t);
        ig_path_accumulate_pixel_jump(own.gradient, own.previous, own.to, own.from, weight, pixels,
                                      channels, sums.pixel_jumps + t * pixels);
        if (!sums.region_jumps)
            continue;
        find_region_jumps(paths, slot, own, paths->region_scratch);
        ig_region_add_squares(paths->region_scratch, weight, slot->regions.count,
                              sums.region_jumps + t * slot->regions.count);
    }
}

/* Adds a node's gradient to the sums of a straight path; `previous` is NULL at its first node. Sum,
 * half and jumps are in gradient units until they are read. */
static void add_gradient(const ig_paths *paths, const path *slot, const float *gradient,
                         const float *previous, ig_weights weights, ig_sums sums)
{
    ig_path_accumulate(gradient, weights.weight, paths->count, sums.sum);
    if (sums.half && weights.half_weight != 0.0)
        ig_path_accumulate(gradient, weights.half_weight, paths->count, sums.half);
    if (!sums.jumps || !previous)
        return;
    ig_path_accumulate_jump(gradient, previous, weights.jump_weight, paths->count, sums.jumps);
    add_pooled_jumps(paths, slot, straight_chord(slot, gradient, previous), weights.jump_weight,
                     sums);
}

static void add_chord_sum(const ig_paths *paths, ig_chord chord, double *sum)
{
    for (size_t t = 0; t < count_targets(paths); t++)
        ig_chord_accumulate(chord_of(paths, chord, t), paths->size, sum + t * paths->size);
}

/* Adds the piece of a curve that ends at a node to all sums but half. */
static void add_chord(const ig_paths *paths, const path *slot, ig_chord chord, ig_sums sums)
{
    const double weight = 1.0 / 12.0; /* of a Brownian bridge; the width is in the chord */
    add_chord_sum(paths, chord, sums.sum);
    if (!sums.jumps)
        return;
    for (size_t t = 0; t < count_targets(paths); t++)
        ig_chord_accumulate_jump(chord_of(paths, chord, t), weight, paths->size,
                                 sums.jumps + t * paths->size);
    add_pooled_jumps(paths, slot, chord, weight, sums);
}

/* ---- Streamed paths ------------------------------------------------------------------------ */

static void stream_straight(const ig_paths *paths, path *slot, const ig_point *point,
                            const float *gradient)
{
    /* The first node of a path is the one that no interval ends at. */
    const float *previous = point->weights.jump_weight > 0.0 ? slot->previous : NULL;
    add_gradient(paths, slot, gradient, previous, point->weights, slot->sums);
    if (slot->previous)
        memcpy(slot->previous, gradient, paths->count * sizeof *gradient);
}

/* By the trapezoid over what the picture has moved by. */
static void stream_curve(const ig_paths *paths, path *slot, const ig_point *point,
                         const float *picture, const float *gradient)
{
    const size_t gradient_bytes = paths->count * sizeof *gradient;
    const size_t picture_bytes = paths->size * sizeof *picture;
    const int is_first = point->weights.jump_weight == 0.0;
    if (!is_first)
        add_chord(paths, slot,
                  (ig_chord){picture, slot->previous_picture, gradient, slot->previous},
                  slot->sums);
    memcpy(slot->previous, gradient, gradient_bytes);
    memcpy(slot->previous_picture, picture, picture_bytes);
    if (!slot->sums.half || point->weights.half_weight == 0.0)
        return;
    if (!is_first)
        add_chord_sum(paths, (ig_chord){picture, slot->half_picture, gradient, slot->half_previous},
                      slot->sums.half);
    memcpy(slot->half_previous, gradient, gradient_bytes);
    memcpy(slot->half_picture, picture, picture_bytes);
}

/* Moves a guided path on, and says by how much. */
static void step_guided(const ig_paths *paths, path *slot, const ig_point *point,
                        const float *gradient)
{
    const ig_curve *curve = &paths->config.curve;
    const size_t step = ig_curve_step(curve, point->alpha);
    if (step == curve->steps)
        return;
    memcpy(paths->moved, slot->position, paths->size * sizeof *paths->moved);
    ig_guided_step(gradient, slot->image, slot->baseline, paths->size, step, curve->steps,
                   curve->fraction, curve->max_distance, paths->floats, slot->position);
    for (size_t i = 0; i < paths->size; i++)
        paths->moved[i] = slot->position[i] - paths->moved[i];
}

/* What the picture of a blurred path moves by at a node: as in the authors' code, by the change of
 * the blurred picture with sigma, which is a difference, times a step of sigma. */
static void find_blur_motion(const ig_paths *paths, const path *slot, double alpha)
{
    const ig_shape shape = paths->config.shape;
    const ig_curve *curve = &paths->config.curve;
    const double sigma = ig_curve_sigma(curve, alpha);
    double *near = paths->scratch + ig_blur_scratch(shape.height, shape.width, shape.channels);
    ig_blur(slot->image, shape.height, shape.width, shape.channels, sigma, paths->scratch, near);
    ig_blur(slot->image, shape.height, shape.width, shape.channels, sigma + IG_BLUR_DIFFERENCE,
            paths->scratch, paths->moved);
    const double scale = -curve->sigma / (double)curve->steps / IG_BLUR_DIFFERENCE;
    for (size_t i = 0; i < paths->size; i++)
        paths->moved[i] = scale * (paths->moved[i] - near[i]);
}

/* By what the picture moves by from here on. */
static void stream_left(const ig_paths *paths, path *slot, const ig_point *point,
                        const float *gradient)
{
    if (paths->config.curve.kind == IG_BLUR)
        find_blur_motion(paths, slot, point->alpha);
    for (size_t t = 0; t < count_targets(paths); t++)
        ig_path_accumulate_moved(gradient + t * paths->size, paths->moved, paths->size,
                                 slot->sums.sum + t * paths->size);
}

static void stream_point(const ig_paths *paths, path *slot, const ig_point *point,
                         const float *picture, const float *gradient)
{
    if (paths->config.curve.kind == IG_GUIDED)
        step_guided(paths, slot, point, gradient);
    if (!is_curve(paths))
        stream_straight(paths, slot, point, gradient);
    else if (paths->config.curve.is_left)
        stream_left(paths, slot, point, gradient);
    else
        stream_curve(paths, slot, point, picture, gradient);
    if (slot->sums.gradient && point->alpha == 1.0)
        memcpy(slot->sums.gradient, gradient, paths->count * sizeof *gradient);
}

/* ---- Evaluating ---------------------------------------------------------------------------- */

static void blur_picture(const ig_paths *paths, const path *slot, double alpha, float *ret_picture)
{
    const ig_shape shape = paths->config.shape;
    const double sigma = ig_curve_sigma(&paths->config.curve, alpha);
    ig_blur(slot->image, shape.height, shape.width, shape.channels, sigma, paths->scratch,
            paths->moved);
    for (size_t i = 0; i < paths->size; i++)
        ret_picture[i] = (float)paths->moved[i];
}

static void make_picture(const ig_paths *paths, const path *slot, double alpha, float *ret_picture)
{
    if (!is_curve(paths) || alpha == 1.0) {
        ig_path_interpolate(slot->image, slot->baseline, alpha, paths->size, ret_picture);
    } else if (paths->config.curve.kind == IG_BLUR) {
        blur_picture(paths, slot, alpha, ret_picture);
    } else {
        for (size_t i = 0; i < paths->size; i++)
            ret_picture[i] = (float)slot->position[i];
    }
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
        make_picture(paths, slot, points[k].alpha, paths->pixels + k * paths->size);
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
        const float *picture = paths->pixels + k * paths->size;
        if (!slot->retain)
            stream_point(paths, slot, &points[k], picture, gradient);
        else if (!retain_gradient(paths, slot, points[k].alpha, picture, gradient))
            return no_memory(error);
        for (size_t t = 0; t < targets; t++)
            ret_values[k * targets + t] = paths->values[k * targets + t];
        *ret_done = k + 1;
    }
    return IG_OK;
}

/* ---- Retained paths ------------------------------------------------------------------------ */

/* Between a node and the one before. */
static ig_chord node_chord(const ig_paths *paths, const path *slot, const node *to,
                           const node *from)
{
    if (!is_curve(paths))
        return straight_chord(slot, to->gradient, from->gradient);
    return (ig_chord){to->picture, from->picture, to->gradient, from->gradient};
}

static double jump_norm(const ig_paths *paths, const path *slot, size_t k)
{
    const node *to = &slot->nodes[k + 1], *from = &slot->nodes[k];
    const ig_chord chord = node_chord(paths, slot, to, from);
    double square = 0.0;
    for (size_t t = 0; t < count_targets(paths); t++) {
        const ig_chord own = chord_of(paths, chord, t);
        if (paths->config.by_region) {
            find_region_jumps(paths, slot, own, paths->region_scratch);
            square += ig_path_square_sum(paths->region_scratch, slot->regions.count);
        } else {
            square +=
                ig_path_jump_square(own.gradient, own.previous, own.to, own.from, paths->size);
        }
    }
    return sqrt(square) / (is_curve(paths) ? to->alpha - from->alpha : 1.0);
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

static ig_chord block_chord(const node *to, const node *from, size_t gradient, size_t pixel)
{
    return (ig_chord){to->picture + pixel, from->picture + pixel, to->gradient + gradient,
                      from->gradient + gradient};
}

static void assess_curve_block(const path *slot, const ig_weights *weights, size_t from,
                               size_t count, size_t pixel, double *total, double *difference)
{
    double sum[BLOCK] = {0.0}, half[BLOCK] = {0.0};
    const node *nodes = slot->nodes, *half_node = nodes;
    for (size_t k = 1; k < slot->node_count; k++) {
        ig_chord_accumulate(block_chord(&nodes[k], &nodes[k - 1], from, pixel), count, sum);
        if (weights[k].half_weight == 0.0)
            continue;
        ig_chord_accumulate(block_chord(&nodes[k], half_node, from, pixel), count, half);
        half_node = &nodes[k];
    }
    for (size_t i = 0; i < count; i++) {
        total[i] += sum[i];
        difference[i] += sum[i] - half[i];
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
            (is_curve(paths) ? assess_curve_block : assess_block)(
                &paths->paths[members[k]], weights[k], target * paths->size + pixel, count, pixel,
                total, difference);
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

/* Adds the nodes of a retained path to sums that are 0. */
static void add_nodes(const ig_paths *paths, const path *slot, const ig_weights *weights,
                      ig_sums sums)
{
    const node *nodes = slot->nodes, *half_node = nodes;
    for (size_t k = 0; k < slot->node_count; k++) {
        if (!is_curve(paths)) {
            add_gradient(paths, slot, nodes[k].gradient, k ? nodes[k - 1].gradient : NULL,
                         weights[k], sums);
        } else if (k > 0) {
            add_chord(paths, slot, node_chord(paths, slot, &nodes[k], &nodes[k - 1]), sums);
            if (!sums.half || weights[k].half_weight == 0.0)
                continue;
            add_chord_sum(paths, node_chord(paths, slot, &nodes[k], half_node), sums.half);
            half_node = &nodes[k];
        }
    }
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
    if (slot->retain)
        add_nodes(paths, slot, weights, ret_sums);
    for (size_t t = 0; paths->config.curve.kind == IG_STRAIGHT && t < count_targets(paths); t++) {
        const size_t from = t * paths->size;
        ig_path_attribute(slot->image, slot->baseline, paths->size, ret_sums.sum + from,
                          ret_sums.half ? ret_sums.half + from : NULL,
                          ret_sums.jumps ? ret_sums.jumps + from : NULL);
    }
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
