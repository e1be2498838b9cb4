/* refine.h - where the paths of one image are evaluated next, until it is exact enough.
 *
 * Every path, one for each baseline, starts with 9 even nodes. In each round the intervals that
 * contribute most to the error, by width * ||jump||, are halved, over all paths of the image
 * together: an eighth as many as there are nodes, but at least 4. Nodes are nested, so that every
 * gradient is used again. What is chosen depends on the image's own gradients alone, never on what
 * shares a batch with them.
 *
 *     ig_refinement *r = ig_refinement_create(path_count);
 *     int enough_memory = ig_refinement_start(r);
 *     while (...) {
 *         // evaluate r->wishes[0 .. wish_count), then for each path
 *         store->jump_norms(paths, path, r->meshes[k].jump_norms, &error);
 *         ig_refinement_weigh(r); // for an estimate of the error
 *         enough_memory = ig_refinement_split(r, most);
 *     }
 *     ig_refinement_free(r);
 */
#ifndef INTGRAD_REFINE_H
#define INTGRAD_REFINE_H

#include "backend.h"
#include "rule.h"

enum {
    IG_FIRST_NODES = 9, /* that a path starts with */
    IG_LEAST_NODES = 17 /* a path, on average, before an estimate is believed */
};

/* The nodes of a path, by ascending alpha. */
typedef struct {
    size_t count, capacity;
    double *alphas, *weights, *half_weights;
    double *jump_norms; /* of the interval that begins at the node; written by the caller */
    ig_weights *summed; /* what a path store is given */
} ig_mesh;

typedef struct {
    size_t path; /* 0, 1, ...: which of the image's */
    double alpha;
} ig_wish;

typedef struct {
    size_t path_count, node_count; /* the latter of all paths together */
    ig_mesh *meshes;
    ig_wish *wishes; /* the points of this round; they are in the meshes already */
    size_t wish_count, wish_capacity;
} ig_refinement;

/* NULL when memory is short. Owned by the caller until freed; NULL may be freed. */
ig_refinement *ig_refinement_create(size_t path_count);
void ig_refinement_free(ig_refinement *refinement);

/* The first round, of a new image; 0 when memory is short, and so below. */
int ig_refinement_start(ig_refinement *refinement);

/* The next round, of at most `most` points; none where no interval can be halved any more. */
int ig_refinement_split(ig_refinement *refinement, size_t most);

/* Writes the trapezoid's weights of every mesh. */
void ig_refinement_weigh(ig_refinement *refinement);

#endif
