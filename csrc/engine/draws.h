/* draws.h - paths that are drawn at random: what is made of them, and how many more it takes.
 *
 * Squares are those of each path. The variance is that of all of them, and its error the spread of
 * the variances of groups of paths, which are folded into the totals in their place.
 */
#ifndef INTGRAD_DRAWS_H
#define INTGRAD_DRAWS_H

#include "../kernels/kernels.h"
#include "work.h"

typedef struct {
    size_t count, group_size, in_group; /* paths so far, of a group, and of the last one so far */
    ig_path_totals all, group;          /* total and spread; owned */
} ig_draw_totals;

/* NULL when memory is short; owned by the caller until freed. NULL may be freed. */
ig_draw_totals *ig_draw_totals_create(const ig_work *work);
void ig_draw_totals_free(ig_draw_totals *drawn);
void ig_draw_totals_clear(const ig_work *work, ig_draw_totals *drawn);

/* Takes the sums of a path, of all targets; 1 if they have become those of a group, to be folded
 * in. */
int ig_draw_totals_take(const ig_work *work, ig_draw_totals *drawn, double *sum);

/* The variance of all paths, which there are two of at least. */
void ig_draw_totals_variance(const ig_work *work, const ig_draw_totals *drawn, size_t target,
                             double *ret_variance);

/* The squared error of the variance of all paths over that of the mean of their groups' variances,
 * where draws are normal: it falls with the degrees of freedom, which groups have fewer of. */
double ig_draw_totals_share(const ig_draw_totals *drawn, size_t groups);

/* What an image draws together. */
typedef struct {
    size_t index;      /* 0, 1, ... */
    size_t first, end; /* its paths, counted over all rounds */
    size_t node_count; /* of each of them */
    double weight;     /* of each of them in the mean */
    double precision;  /* of this round and those before, where the first one's is 1 */
} ig_round;

static inline size_t ig_round_points(const ig_round *round)
{
    return (round->end - round->first) * round->node_count;
}

ig_round ig_first_round(const ig_work *work);

/* The next round to a tolerance, after `evaluations` came to a relative standard error; 0 where
 * there is none. */
int ig_next_round(const ig_work *work, double error, size_t evaluations, ig_round *round);

/* Node `k` of a path whose nodes are all of one weight. */
static inline double ig_drawn_alpha(const ig_work *work, const ig_round *round, size_t path,
                                    size_t k)
{
    return ((double)k + work->request->draws->starts[path]) / (double)round->node_count;
}

#endif
