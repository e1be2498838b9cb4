/* threads.c - many threads in the engine at once, on shared pictures; run it under a sanitizer for
 * threads. Prints what went wrong and returns 1, or returns 0.
 */
#include "check.h"
#include "problem.h"

#include <pthread.h>

enum { THREADS = 4, ROUNDS = 20 };

static int failures;

typedef struct {
    const problem *expected;
    int differs;
} job;

static void *work(void *context)
{
    job *mine = context;
    for (int round = 0; round < ROUNDS; round++) {
        ig_model model = {.largest_batch = 100, .calls_left = -1};
        problem *p = problem_create(mine->expected->size);
        ig_error error;
        const ig_request own = p->request;
        p->request = mine->expected->request; /* the same pictures, nodes and targets */
        const ig_status status = problem_solve(p, &model, &error);
        mine->differs |= status != IG_OK || !problem_equal(mine->expected, p, 0.0);
        p->request = own;
        problem_free(p);
    }
    return NULL;
}

static void check_threads(problem_size size)
{
    ig_model model = {.largest_batch = 100, .calls_left = -1};
    problem *expected = problem_create(size);
    pthread_t threads[THREADS];
    job jobs[THREADS];
    ig_error error;
    CHECK(problem_solve(expected, &model, &error) == IG_OK);
    for (int t = 0; t < THREADS; t++) {
        jobs[t] = (job){expected, 0};
        CHECK(pthread_create(&threads[t], NULL, work, &jobs[t]) == 0);
    }
    for (int t = 0; t < THREADS; t++) {
        pthread_join(threads[t], NULL);
        CHECK(!jobs[t].differs);
    }
    problem_free(expected);
}

int main(void)
{
    problem_size size = {.images = 3,
                         .baselines = 2,
                         .targets = 2,
                         .shape = {4, 5, 3},
                         .rule = IG_TRAPEZOID,
                         .steps = 12,
                         .error_map = 1,
                         .gradient = 1,
                         .batch_size = 5,
                         .seed = 7};
    check_threads(size);
    size.adaptive = 1;
    size.tolerance = 1e-3;
    size.max_evaluations = 80;
    size.most_retained = 100;
    check_threads(size);
    size.curve = (ig_curve){.kind = IG_BLUR, .sigma = 2.0};
    check_threads(size);
    size.adaptive = 0;
    size.targets = 1;
    size.curve =
        (ig_curve){.kind = IG_GUIDED, .steps = size.steps, .fraction = 0.3, .max_distance = 0.1};
    check_threads(size);
    size.curve.kind = IG_STRAIGHT;
    size.baselines = 1;
    size.gradient = 0;
    size.draws = 6;
    check_threads(size);
    return failures != 0;
}
