/* totals.h - what the paths of one image add up to, and its part of the result.
 *
 * Every path that is complete is folded in, in any order; when all are, the attributions, their
 * errors and error maps are written to the result.
 */
#ifndef INTGRAD_TOTALS_H
#define INTGRAD_TOTALS_H

#include "../kernels/kernels.h"
#include "draws.h"
#include "rule.h"
#include "work.h"

typedef struct {
    ig_expectation expected; /* over the paths: what T - T_half says of the error */
    size_t count;            /* paths that were folded in, or groups of drawn ones */
    double weight;           /* of them all; the mean is the total over it */
    /* Each for all targets, one after the other; owned. NULL where not wanted. */
    ig_path_totals values, pixels, regions;
    ig_draw_totals *drawn; /* NULL unless the variance of draws is wanted */
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

/* A path that is to be folded in. */
typedef struct {
    size_t store_index; /* in the path store */
    size_t number;      /* of the image's, from 0 */
    double weight;      /* of its round */
    ig_known_nodes nodes;
} ig_folded_path;

/* Adds the sums of a path. All paths of an image end at it, so that the first gives the gradient
 * there. */
ig_status ig_totals_fold(const ig_work *work, ig_totals *totals, size_t image, ig_folded_path path,
                         ig_error *error);

/* The largest relative standard error over the targets, of draws. */
double ig_totals_standard_error(const ig_work *work, const ig_totals *totals, size_t image);

/* Writes the image's part of the result, but for its scores. IG_MODEL_FAILED where gradients that
 * were all finite add up to more than float32 holds. */
ig_status ig_totals_finish(const ig_work *work, const ig_totals *totals, size_t image,
                           ig_error *error);

#endif
