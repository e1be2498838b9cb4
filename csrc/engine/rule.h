/* rule.h - quadrature on [0, 1]: where the gradient is evaluated and how the values are weighted.
 *
 *     size_t count = ig_rule_count(IG_TRAPEZOID, 50);              // 51
 *     double alphas[51], weights[51], half[51];
 *     ig_rule_nodes(IG_TRAPEZOID, 50, alphas, weights);
 *     ig_trapezoid_half_weights(alphas, count, half);
 *
 * Weights always sum to 1. Nothing here allocates or fails; `steps` is at least 1.
 */
#ifndef INTGRAD_RULE_H
#define INTGRAD_RULE_H

#include <stddef.h>

#include "backend.h"

typedef enum { IG_TRAPEZOID, IG_MIDPOINT, IG_LEFT, IG_RIGHT, IG_GAUSS_LEGENDRE } ig_rule;

/* How many nodes a rule of `steps` intervals has: steps + 1 for the trapezoid, else steps. */
size_t ig_rule_count(ig_rule rule, size_t steps);

/* Writes ig_rule_count() nodes, ascending, and their weights. */
void ig_rule_nodes(ig_rule rule, size_t steps, double *ret_alphas, double *ret_weights);

/* Weights of the trapezoid on any ascending nodes, count at least 2. */
void ig_trapezoid_weights(const double *alphas, size_t count, double *ret_weights);

/* Weights of T_half, the trapezoid on every other node, 0 for the nodes it leaves out. Both ends
 * are kept: with an odd number of intervals the last is kept as it is. Count at least 3. */
void ig_trapezoid_half_weights(const double *alphas, size_t count, double *ret_half_weights);

/* Given nodes, which the caller owns. */
typedef struct {
    size_t count;
    const double *alphas; /* ascending */
    const double *weights;
    const double *half_weights; /* NULL: the rule has no error estimate */
} ig_nodes;

/* What each node of a path contributes to its sums, ret_weights (count). */
void ig_sum_weights(const ig_nodes *nodes, ig_weights *ret_weights);

/* What the squares of T's error and of T - T_half are expected to be.
 *
 * Along the path the gradient of a ReLU network moves like Brownian motion (measured), so that
 * jumps J over intervals are independent and T's error has the mean square sum h^2 |J|^2 / 12,
 * that of a bridge. On a pair of intervals a, b the difference is (b J_a - a J_b) / 2. Therefore
 *
 *     estimate of |error|^2 = |T - T_half|^2 * error / difference,
 *
 * which on equal intervals is |T - T_half|^2 / 3, whatever the jumps. T_half keeps an odd interval
 * out as it is, so that it is in neither; what is expected of it alone is `odd`, to be added.
 * `jump_norms` (count - 1) are those measured, or NULL for all equal, which leaves an odd interval
 * unseen. */
typedef struct {
    double error, difference, odd;
} ig_expectation;

/* part / of, where nothing over nothing is nothing. */
static inline double ig_relative(double part, double of)
{
    return part == 0.0 ? 0.0 : part / of;
}

static inline ig_expectation ig_expectation_sum(ig_expectation a, ig_expectation b)
{
    return (ig_expectation){a.error + b.error, a.difference + b.difference, a.odd + b.odd};
}

/* The estimate of |error|^2 of a mean over `paths`, from its |T - T_half|^2. */
static inline double ig_estimate_square(ig_expectation sum, double difference_square, size_t paths)
{
    return ig_relative(sum.error, sum.difference) * difference_square +
           sum.odd / ((double)paths * (double)paths);
}

ig_expectation ig_trapezoid_expectation(const double *alphas, size_t count,
                                        const double *jump_norms);

#endif
