/* rule.c - nodes and weights of the quadrature rules. */
#include "rule.h"

#include <math.h>

static const double pi = 3.14159265358979323846;

size_t ig_rule_count(ig_rule rule, size_t steps)
{
    return rule == IG_TRAPEZOID ? steps + 1 : steps;
}

/* Equal weights at (k + offset) / steps. */
static void equal_nodes(size_t steps, double offset, double *ret_alphas, double *ret_weights)
{
    for (size_t k = 0; k < steps; k++) {
        ret_alphas[k] = ((double)k + offset) / (double)steps;
        ret_weights[k] = 1.0 / (double)steps;
    }
}

/* Value and derivative of the Legendre polynomial of degree n at x, by the three-term recurrence
 * (Abramowitz & Stegun 22.7.10 and 22.8.5). */
static void legendre(size_t n, double x, double *ret_value, double *ret_derivative)
{
    double before = 0.0, value = 1.0;
    for (size_t k = 1; k <= n; k++) {
        const double degree = (double)k;
        const double next = ((2.0 * degree - 1.0) * x * value - (degree - 1.0) * before) / degree;
        before = value;
        value = next;
    }
    *ret_value = value;
    *ret_derivative = (double)n * (before - x * value) / (1.0 - x * x);
}

/* Newton's method from Tricomi's estimate of the k-th root (A&S 22.16.6). Roots lie symmetric
 * about 0, so each gives two nodes; [-1, 1] is mapped to [0, 1]. */
static void gauss_legendre(size_t n, double *ret_alphas, double *ret_weights)
{
    for (size_t k = 0; k < (n + 1) / 2; k++) {
        double x = cos(pi * ((double)k + 0.75) / ((double)n + 0.5));
        double value, derivative;
        /* Quadratic from a start that is right to O(n^-4): the bound is never what ends it. */
        for (int round = 0; round < 20; round++) {
            legendre(n, x, &value, &derivative);
            const double step = value / derivative;
            x -= step;
            if (fabs(step) < 1e-15)
                break;
        }
        legendre(n, x, &value, &derivative);
        const double weight = 1.0 / ((1.0 - x * x) * derivative * derivative);
        ret_alphas[k] = (1.0 - x) / 2.0;
        ret_alphas[n - 1 - k] = (1.0 + x) / 2.0;
        ret_weights[k] = ret_weights[n - 1 - k] = weight;
    }
}

void ig_rule_nodes(ig_rule rule, size_t steps, double *ret_alphas, double *ret_weights)
{
    switch (rule) {
    case IG_TRAPEZOID:
        for (size_t k = 0; k <= steps; k++)
            ret_alphas[k] = (double)k / (double)steps;
        ig_trapezoid_weights(ret_alphas, steps + 1, ret_weights);
        break;
    case IG_MIDPOINT:
        equal_nodes(steps, 0.5, ret_alphas, ret_weights);
        break;
    case IG_LEFT:
        equal_nodes(steps, 0.0, ret_alphas, ret_weights);
        break;
    case IG_RIGHT:
        equal_nodes(steps, 1.0, ret_alphas, ret_weights);
        break;
    case IG_GAUSS_LEGENDRE:
        gauss_legendre(steps, ret_alphas, ret_weights);
        break;
    }
}

/* The trapezoid on every `stride`-th node and the last one. */
static void trapezoid(const double *alphas, size_t count, size_t stride, double *ret_weights)
{
    for (size_t k = 0; k < count; k++)
        ret_weights[k] = 0.0;
    for (size_t from = 0; from + 1 < count;) {
        const size_t to = from + stride < count ? from + stride : count - 1;
        const double half_width = (alphas[to] - alphas[from]) / 2.0;
        ret_weights[from] += half_width;
        ret_weights[to] += half_width;
        from = to;
    }
}

void ig_trapezoid_weights(const double *alphas, size_t count, double *ret_weights)
{
    trapezoid(alphas, count, 1, ret_weights);
}

void ig_trapezoid_half_weights(const double *alphas, size_t count, double *ret_half_weights)
{
    trapezoid(alphas, count, 2, ret_half_weights);
}

void ig_sum_weights(const ig_nodes *nodes, ig_weights *ret_weights)
{
    for (size_t k = 0; k < nodes->count; k++) {
        const double width = k ? nodes->alphas[k] - nodes->alphas[k - 1] : 0.0;
        ret_weights[k] = (ig_weights){
            .weight = nodes->weights[k],
            .half_weight = nodes->half_weights ? nodes->half_weights[k] : 0.0,
            /* The variance of a Brownian bridge's integral over a width h, by its jump. */
            .jump_weight = width * width / 12.0,
        };
    }
}

ig_expectation ig_trapezoid_expectation(const double *alphas, size_t count,
                                        const double *jump_norms)
{
    ig_expectation sum = {0.0, 0.0, 0.0};
    for (size_t k = 0; k + 2 < count; k += 2) {
        const double a = alphas[k + 1] - alphas[k], b = alphas[k + 2] - alphas[k + 1];
        const double jump_a = jump_norms ? jump_norms[k] : 1.0;
        const double jump_b = jump_norms ? jump_norms[k + 1] : 1.0;
        sum.error += (a * a * jump_a * jump_a + b * b * jump_b * jump_b) / 12.0;
        sum.difference += (b * b * jump_a * jump_a + a * a * jump_b * jump_b) / 4.0;
    }
    if (jump_norms && count % 2 == 0) {
        const double side = (alphas[count - 1] - alphas[count - 2]) * jump_norms[count - 2];
        sum.odd = side * side / 12.0;
    }
    return sum;
}
