/* refine.c - nested bisection of an image's paths. */
#include "refine.h"

#include <stdlib.h>
#include <string.h>

#include "numbers.h"

/* An interval that might be halved. */
typedef struct {
    double error; /* width * ||jump||, what it contributes at the most */
    size_t path, index;
} interval;

/* Below this width a midpoint is no longer told from the ends after rounding to float32 pixels. */
static const double narrowest = 1e-9;

ig_refinement *ig_refinement_create(size_t path_count)
{
    ig_refinement *r = calloc(1, sizeof *r);
    if (!r)
        return NULL;
    r->path_count = path_count;
    r->meshes = calloc(path_count, sizeof *r->meshes);
    if (!r->meshes) {
        free(r);
        return NULL;
    }
    return r;
}

void ig_refinement_free(ig_refinement *r)
{
    if (!r)
        return;
    for (size_t k = 0; k < r->path_count; k++) {
        free(r->meshes[k].alphas);
        free(r->meshes[k].weights);
        free(r->meshes[k].half_weights);
        free(r->meshes[k].jump_norms);
        free(r->meshes[k].summed);
    }
    free(r->meshes);
    free(r->wishes);
    free(r);
}

/* Makes *array hold `count` items of `size`; 0 when memory is short. */
static int grow(void *array, size_t count, size_t size)
{
    void *grown, *old;
    memcpy(&old, array, sizeof old);
    grown = realloc(old, count * size);
    if (grown)
        memcpy(array, &grown, sizeof grown);
    return grown != NULL;
}

static int reserve_nodes(ig_mesh *mesh, size_t count)
{
    if (count <= mesh->capacity)
        return 1;
    const size_t capacity = 2 * count;
    if (!grow(&mesh->alphas, capacity, sizeof *mesh->alphas) ||
        !grow(&mesh->weights, capacity, sizeof *mesh->weights) ||
        !grow(&mesh->half_weights, capacity, sizeof *mesh->half_weights) ||
        !grow(&mesh->jump_norms, capacity, sizeof *mesh->jump_norms) ||
        !grow(&mesh->summed, capacity, sizeof *mesh->summed))
        return 0;
    mesh->capacity = capacity;
    return 1;
}

static int reserve_wishes(ig_refinement *r, size_t count)
{
    if (count <= r->wish_capacity)
        return 1;
    if (!grow(&r->wishes, count, sizeof *r->wishes))
        return 0;
    r->wish_capacity = count;
    return 1;
}

int ig_refinement_start(ig_refinement *r)
{
    r->wish_count = 0;
    r->node_count = r->path_count * IG_FIRST_NODES;
    if (!reserve_wishes(r, r->node_count))
        return 0;
    for (size_t k = 0; k < r->path_count; k++) {
        ig_mesh *mesh = &r->meshes[k];
        if (!reserve_nodes(mesh, IG_FIRST_NODES))
            return 0;
        mesh->count = IG_FIRST_NODES;
        ig_rule_nodes(IG_TRAPEZOID, IG_FIRST_NODES - 1, mesh->alphas, mesh->weights);
        for (size_t node = 0; node < IG_FIRST_NODES; node++)
            r->wishes[r->wish_count++] = (ig_wish){k, mesh->alphas[node]};
    }
    return 1;
}

/* Largest error first; ties by position. */
static int by_error(const void *a, const void *b)
{
    const interval *x = a, *y = b;
    if (x->error != y->error)
        return x->error < y->error ? 1 : -1;
    if (x->path != y->path)
        return x->path < y->path ? -1 : 1;
    return x->index < y->index ? -1 : 1;
}

/* Last position first, so that a halved interval moves none that is still to be halved. */
static int from_the_end(const void *a, const void *b)
{
    const interval *x = a, *y = b;
    if (x->path != y->path)
        return x->path < y->path ? 1 : -1;
    return x->index < y->index ? 1 : -1;
}

static size_t list_intervals(const ig_refinement *r, interval *ret_intervals)
{
    size_t count = 0;
    for (size_t path = 0; path < r->path_count; path++) {
        const ig_mesh *mesh = &r->meshes[path];
        for (size_t k = 0; k + 1 < mesh->count; k++) {
            const double width = mesh->alphas[k + 1] - mesh->alphas[k];
            if (width > narrowest)
                ret_intervals[count++] = (interval){width * mesh->jump_norms[k], path, k};
        }
    }
    return count;
}

static double halve(ig_mesh *mesh, size_t index)
{
    const double middle = (mesh->alphas[index] + mesh->alphas[index + 1]) / 2.0;
    memmove(mesh->alphas + index + 2, mesh->alphas + index + 1,
            (mesh->count - index - 1) * sizeof *mesh->alphas);
    mesh->alphas[index + 1] = middle;
    mesh->count++;
    return middle;
}

int ig_refinement_split(ig_refinement *r, size_t most)
{
    const size_t round = r->node_count / 8 > 4 ? r->node_count / 8 : 4;
    interval *intervals = malloc(r->node_count * sizeof *intervals);
    int enough = intervals && reserve_wishes(r, round);
    for (size_t k = 0; enough && k < r->path_count; k++)
        enough = reserve_nodes(&r->meshes[k], r->meshes[k].count + round);
    if (enough) {
        const size_t count = list_intervals(r, intervals);
        qsort(intervals, count, sizeof *intervals, by_error);
        r->wish_count = ig_smaller(ig_smaller(round, most), count);
        qsort(intervals, r->wish_count, sizeof *intervals, from_the_end);
        for (size_t k = 0; k < r->wish_count; k++)
            r->wishes[k] = (ig_wish){intervals[k].path,
                                     halve(&r->meshes[intervals[k].path], intervals[k].index)};
        r->node_count += r->wish_count;
    }
    free(intervals);
    return enough;
}

void ig_refinement_weigh(ig_refinement *r)
{
    for (size_t k = 0; k < r->path_count; k++) {
        ig_mesh *mesh = &r->meshes[k];
        ig_trapezoid_weights(mesh->alphas, mesh->count, mesh->weights);
        ig_trapezoid_half_weights(mesh->alphas, mesh->count, mesh->half_weights);
        const ig_nodes nodes = {mesh->count, mesh->alphas, mesh->weights, mesh->half_weights};
        ig_sum_weights(&nodes, mesh->summed);
    }
}
