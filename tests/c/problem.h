/* problem.h - a request to the engine with buffers of its own, each of exactly its size, so that a
 * sanitizer sees the first byte beyond it.
 *
 *     problem *p = problem_create((problem_size){.images = 2, ...});
 *     ig_status status = problem_solve(p, &model, &error);
 *     ... p->result.attributions ...
 *     problem_free(p);
 *
 * Images and baselines are made from `seed`; targets go round the classes.
 */
#ifndef INTGRAD_TESTS_PROBLEM_H
#define INTGRAD_TESTS_PROBLEM_H

#include "cubic.h"
#include "engine/integrate.h"

typedef struct {
    size_t images, baselines, targets;
    int baselines_are_shared, baselines_are_a_sample;
    ig_shape shape;
    ig_rule rule;
    size_t steps;
    int adaptive; /* then the next two, and neither rule nor steps */
    double tolerance;
    size_t max_evaluations, most_retained;
    int error_map, gradient;
    ig_curve curve;
    /* Draws, if there are: pictures that `seed` makes, and starts, or else ends of paths. */
    size_t draws, draws_per_stratum, draw_rounds;
    int draws_are_starts;
    ig_statistic statistic;
    double draw_tolerance;
    size_t regions; /* of the first image; one fewer of the next and so on, but at least one */
    int by_region;
    size_t batch_size;
    size_t batches_left; /* cancelled after as many, if not 0 */
    unsigned seed;
} problem_size;

typedef struct {
    problem_size size;
    ig_request request;
    ig_adaptive adaptive;
    ig_draws draws;
    ig_result result;
    size_t batches_left;
} problem;

/* NULL when memory is short. */
problem *problem_create(problem_size size);
void problem_free(problem *p);

/* Runs ig_integrate on the cubic model. */
ig_status problem_solve(problem *p, ig_model *model, ig_error *error);

/* Whether two problems of one size were given the same answer: bit for bit, or but for rounding. */
int problem_equal(const problem *a, const problem *b, double relative_tolerance);

#endif
