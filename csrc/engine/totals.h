/* totals.h - what the paths of one image add up to, and its part of the result.
 *
 * Every path that is complete is folded in, in any order; when all are, the attributions, their
 * errors and error maps are written to the result.
 */
#ifndef INTGRAD_TOTALS_H
#define INTGRAD_TOTALS_H

#include "../kernels/kernels.h"
#include "rule.h"
#include "work.h"

typedef struct {
    ig_expectation expected; /* over the paths: what T - T_half says of the error */
    ig_path_totals sums;     /* each for all targets, one after the other; owned */
    /* (T, most_regions) each, owned; NULL where not wanted. */
    double *region_variance; /* jump variance of the regions' attributions */
    double *region_square;   /* their squares, of each baseline */
} ig_totals;

/* The nodes of a path that is complete. */
typedef struct {
    size_t count;
    const double *alphas;
    const double *jump_norms;  /* NULL where it was streamed: over even nodes they do not matter */
    const ig_weights *weights; /* NULL where it was streamed: the store has used them */
} ig_known_nodes;

/* 0 when memory is short; to be freed in any case. */
int ig_totals_create(const ig_work *work, ig_totals *totals);
void ig_totals_free(ig_totals *totals);

/* For a new image. */
void ig_totals_clear(const ig_work *work, ig_totals *totals);

/* Adds the sums of a path, `path` in the store. All paths of an image end at it, so that the first
 * baseline's gives the gradient there. */
ig_status ig_totals_fold(const ig_work *work, ig_totals *totals, size_t image, size_t baseline,
                         size_t path, ig_known_nodes nodes, ig_error *error);

/* Writes the image's part of the result, but for its scores. IG_MODEL_FAILED where gradients that
 * were all finite add up to more than float32 holds. */
ig_status ig_totals_finish(const ig_work *work, const ig_totals *totals, size_t image,
                           ig_error *error);

#endif
