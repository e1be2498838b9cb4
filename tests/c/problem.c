#include "problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static float *random_pixels(size_t count, unsigned *state)
{
    float *pixels = malloc(count * sizeof *pixels);
    for (size_t i = 0; pixels && i < count; i++) {
        *state = *state * 1664525u + 1013904223u;
        pixels[i] = (float)(*state >> 24) / 64.0f;
    }
    return pixels;
}

static size_t node_count(const problem_size *size)
{
    return ig_rule_count(size->rule, size->steps);
}

/* The nodes of the rule; 1 unless memory is short. */
static int make_nodes(problem *p)
{
    const size_t count = node_count(&p->size);
    double *alphas = malloc(count * sizeof *alphas), *weights = malloc(count * sizeof *weights);
    double *half = NULL;
    p->request.nodes = (ig_nodes){count, alphas, weights, NULL};
    if (!alphas || !weights)
        return 0;
    ig_rule_nodes(p->size.rule, p->size.steps, alphas, weights);
    if (p->size.rule == IG_TRAPEZOID && p->size.steps >= 2 && p->size.statistic == IG_MEAN &&
        !p->size.draws_are_starts) {
        p->request.nodes.half_weights = half = malloc(count * sizeof *half);
        if (!half)
            return 0;
        ig_trapezoid_half_weights(alphas, count, half);
    }
    return 1;
}

static size_t region_count(const problem_size *size, size_t image)
{
    return size->regions > image ? size->regions - image : 1;
}

/* Of all images, times their targets. */
static size_t region_cells(const problem_size *size)
{
    size_t count = 0;
    for (size_t i = 0; size->regions && i < size->images; i++)
        count += region_count(size, i) * size->targets;
    return count;
}

static int make_regions(problem *p)
{
    const problem_size *size = &p->size;
    const size_t pixels = size->shape.height * size->shape.width;
    if (!size->regions)
        return 1;
    ig_regions *regions = calloc(size->images, sizeof *regions);
    p->request.regions = regions;
    for (size_t i = 0; regions && i < size->images; i++) {
        int32_t *labels = malloc(pixels * sizeof *labels);
        regions[i] = (ig_regions){labels, region_count(size, i)};
        if (!labels)
            return 0;
        for (size_t k = 0; k < pixels; k++)
            labels[k] = (int32_t)((3 * k + i) % regions[i].count);
    }
    return regions != NULL;
}

/* The same for every image, so that one alone gives what it gives among others. */
static ig_status draw_picture(void *context, size_t image, size_t number, float *ret_picture,
                              ig_error *error)
{
    const problem *p = context;
    (void)image;
    (void)error;
    unsigned state = p->size.seed + 77u * (unsigned)number;
    for (size_t i = 0; i < ig_shape_size(p->size.shape); i++) {
        state = state * 1664525u + 1013904223u;
        ret_picture[i] = (float)(state >> 24) / 64.0f;
    }
    return IG_OK;
}

static int make_draws(problem *p)
{
    const problem_size *size = &p->size;
    const size_t count = size->draws * (size->draw_rounds ? size->draw_rounds : 1);
    double *starts = NULL;
    if (!size->draws)
        return 1;
    if (size->draws_are_starts && !(starts = malloc(count * sizeof *starts)))
        return 0;
    for (size_t k = 0; starts && k < count; k++)
        starts[k] = (double)((k * 37 + size->seed) % 101) / 101.0;
    p->draws = (ig_draws){.count = size->draws,
                          .is_stratified = size->draws_per_stratum > 0,
                          .per_stratum = size->draws_per_stratum,
                          .draw = draw_picture,
                          .context = p,
                          .starts = starts,
                          .rounds = count / size->draws,
                          .statistic = size->statistic,
                          .tolerance = size->draw_tolerance,
                          .by_region = size->by_region,
                          .max_evaluations = 40 * size->draws * node_count(size)};
    p->request.draws = &p->draws;
    if (starts || size->curve.kind == IG_STAY) {
        free((void *)p->request.baselines);
        p->request.baselines = NULL;
    }
    return 1;
}

static int make_inputs(problem *p)
{
    const problem_size *size = &p->size;
    const size_t values = ig_shape_size(size->shape);
    const size_t stacks = size->baselines_are_shared ? 1 : size->images;
    const size_t cells = size->images * size->targets;
    unsigned state = size->seed;
    p->request.images = random_pixels(size->images * values, &state);
    p->request.baselines = random_pixels(stacks * size->baselines * values, &state);
    int64_t *targets = malloc(cells * sizeof *targets);
    p->request.targets = targets;
    for (size_t k = 0; targets && k < cells; k++)
        targets[k] = (int64_t)(k % CUBIC_CLASSES);
    return p->request.images && p->request.baselines && targets && make_nodes(p) &&
           make_regions(p) && make_draws(p);
}

static int make_results(problem *p)
{
    const problem_size *size = &p->size;
    const size_t cells = size->images * size->targets;
    const size_t pixels = size->shape.height * size->shape.width;
    const size_t values = ig_shape_size(size->shape);
    ig_result *r = &p->result;
    int enough = (r->attributions = calloc(cells * values, sizeof(float))) != NULL;
    if (size->gradient)
        enough &= (r->gradients = calloc(cells * values, sizeof(float))) != NULL;
    if (size->error_map) {
        enough &= (r->error_map = calloc(cells * values, sizeof(float))) != NULL;
        enough &= (r->pixel_error_map = calloc(cells * pixels, sizeof(float))) != NULL;
    }
    double **const numbers[] = {&r->scores, &r->baseline_scores, &r->sums, &r->quadrature_error,
                                &r->baseline_error};
    for (size_t k = 0; k < sizeof numbers / sizeof *numbers; k++)
        enough &= (*numbers[k] = calloc(cells, sizeof(double))) != NULL;
    if (size->regions) {
        enough &= (r->region_sums = calloc(region_cells(size), sizeof(double))) != NULL;
        enough &= (r->region_error = calloc(cells, sizeof(double))) != NULL;
        if (size->adaptive || size->draws || p->request.nodes.half_weights)
            enough &= (r->region_deviations = calloc(region_cells(size), sizeof(float))) != NULL;
    }
    if (size->draws)
        enough &= (r->evaluations = calloc(size->images, sizeof(int64_t))) != NULL;
    if (size->adaptive) {
        r->alphas = calloc(size->images * size->max_evaluations, sizeof(double));
        r->node_counts = calloc(size->images * size->baselines, sizeof(int64_t));
        enough &= r->alphas && r->node_counts;
    }
    return enough;
}

problem *problem_create(problem_size size)
{
    problem *p = calloc(1, sizeof *p);
    if (!p)
        return NULL;
    p->size = size;
    p->adaptive = (ig_adaptive){.tolerance = size.tolerance,
                                .by_region = size.by_region,
                                .max_evaluations = size.max_evaluations,
                                .most_retained = size.most_retained};
    p->request = (ig_request){
        .shape = size.shape,
        .output = IG_LOGIT,
        .curve = size.curve,
        .image_count = size.images,
        .per_image = 1,
        .baseline_count = size.baselines,
        .target_count = size.targets,
        .baselines_are_shared = size.baselines_are_shared,
        .baselines_are_a_sample = size.baselines_are_a_sample,
        .adaptive = size.adaptive ? &p->adaptive : NULL,
        .batch_size = size.batch_size,
    };
    if (make_inputs(p) && make_results(p))
        return p;
    problem_free(p);
    return NULL;
}

void problem_free(problem *p)
{
    if (!p)
        return;
    for (size_t i = 0; p->request.regions && i < p->size.images; i++)
        free((void *)p->request.regions[i].labels);
    const void *const buffers[] = {
        p->request.images,        p->request.baselines,
        p->request.targets,       p->request.nodes.alphas,
        p->request.nodes.weights, p->request.nodes.half_weights,
        p->result.attributions,   p->result.gradients,
        p->result.error_map,      p->result.pixel_error_map,
        p->result.scores,         p->result.baseline_scores,
        p->result.sums,           p->result.alphas,
        p->result.node_counts,    p->result.quadrature_error,
        p->result.baseline_error, p->request.regions,
        p->result.region_sums,    p->result.region_deviations,
        p->result.region_error,   p->draws.starts,
        p->result.evaluations,
    };
    for (size_t k = 0; k < sizeof buffers / sizeof *buffers; k++)
        free((void *)buffers[k]);
    free(p);
}

static int cancel_in_time(void *context, size_t done, size_t total)
{
    problem *p = context;
    (void)done;
    (void)total;
    return p->batches_left && --p->batches_left == 0;
}

ig_status problem_solve(problem *p, ig_model *model, ig_error *error)
{
    p->batches_left = p->size.batches_left;
    return ig_integrate(&cubic, model, &p->request, cancel_in_time, p, &p->result, error);
}

/* Absolute, but for values that are large: sums that cancel have no relative precision. */
static int equal_numbers(double a, double b, double tolerance)
{
    if (tolerance == 0.0)
        return memcmp(&a, &b, sizeof a) == 0;
    return fabs(a - b) <= tolerance * fmax(1.0, fmax(fabs(a), fabs(b))) || (isnan(a) && isnan(b)) ||
           a == b;
}

static int equal_floats(const float *a, const float *b, size_t count, double tolerance)
{
    for (size_t i = 0; a && i < count; i++)
        if (!equal_numbers((double)a[i], (double)b[i], tolerance))
            return 0;
    return 1;
}

static int equal_doubles(const double *a, const double *b, size_t count, double tolerance)
{
    for (size_t i = 0; a && i < count; i++)
        if (!equal_numbers(a[i], b[i], tolerance))
            return 0;
    return 1;
}

int problem_equal(const problem *a, const problem *b, double tolerance)
{
    const problem_size *size = &a->size;
    const size_t cells = size->images * size->targets;
    const size_t pixels = size->shape.height * size->shape.width;
    const size_t values = ig_shape_size(size->shape);
    const ig_result *r = &a->result, *s = &b->result;
    for (size_t k = 0; r->node_counts && k < size->images * size->baselines; k++)
        if (r->node_counts[k] != s->node_counts[k])
            return 0;
    for (size_t i = 0; r->evaluations && i < size->images; i++)
        if (r->evaluations[i] != s->evaluations[i])
            return 0;
    if (r->alphas && !equal_doubles(r->alphas, s->alphas, size->images * size->max_evaluations, 0))
        return 0;
    return equal_floats(r->attributions, s->attributions, cells * values, tolerance) &&
           equal_floats(r->gradients, s->gradients, cells * values, tolerance) &&
           equal_floats(r->error_map, s->error_map, cells * values, tolerance) &&
           equal_floats(r->pixel_error_map, s->pixel_error_map, cells * pixels, tolerance) &&
           equal_doubles(r->scores, s->scores, cells, tolerance) &&
           equal_doubles(r->baseline_scores, s->baseline_scores, cells, tolerance) &&
           equal_doubles(r->sums, s->sums, cells, tolerance) &&
           equal_doubles(r->quadrature_error, s->quadrature_error, cells, tolerance) &&
           equal_doubles(r->baseline_error, s->baseline_error, cells, tolerance) &&
           equal_doubles(r->region_sums, s->region_sums, region_cells(size), tolerance) &&
           equal_floats(r->region_deviations, s->region_deviations, region_cells(size),
                        tolerance) &&
           equal_doubles(r->region_error, s->region_error, cells, tolerance);
}
