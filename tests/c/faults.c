/* faults.c - memory that runs out at any allocation: a clean error, nothing lost, nothing leaked.
 *
 * Linked with -Wl,--wrap=malloc,--wrap=calloc,--wrap=realloc, so that the engine's own calls come
 * by here; run it under a leak checker. Prints what went wrong and returns 1, or returns 0.
 */
#include "check.h"
#include "problem.h"

#include <string.h>

static int failures;

/* How many allocations are granted before one is refused, or all from there on; negative: all. */
static long granted = -1;
static int refuses_all_after;
static size_t refused;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *block, size_t size);

static int is_refused(void)
{
    if (granted < 0)
        return 0;
    if (granted > 0) {
        granted--;
        return 0;
    }
    if (!refuses_all_after)
        granted = -1;
    refused++;
    return 1;
}

void *__wrap_malloc(size_t size)
{
    return is_refused() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return is_refused() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *block, size_t size)
{
    return is_refused() ? NULL : __real_realloc(block, size);
}

/* Refuses every allocation in turn. The work ends with IG_NO_MEMORY, or goes on with a smaller
 * batch to the same end. Returns how many allocations there are. */
static long check_every_allocation(problem_size size)
{
    ig_model rich = {.largest_batch = 100, .calls_left = -1};
    problem *expected = problem_create(size), *found = problem_create(size);
    ig_error error;
    CHECK(problem_solve(expected, &rich, &error) == IG_OK);
    long k = 0;
    for (refused = 1; refused; k++) {
        ig_model model = {.largest_batch = 100, .calls_left = -1};
        refused = 0;
        granted = k;
        const ig_status status = problem_solve(found, &model, &error);
        granted = -1;
        if (status == IG_OK)
            CHECK(problem_equal(expected, found, 1e-6));
        else
            CHECK(status == IG_NO_MEMORY && error.code == status && error.message[0]);
    }
    problem_free(expected);
    problem_free(found);
    return k - 1;
}

/* The loops that need no path. */
static void check_batches(void)
{
    static const float pictures[12] = {1.0f, 2.0f, 3.0f};
    static const int64_t targets[6] = {0, 1, 2, 0, 1, 2};
    const ig_shape shape = {2, 1, 2};
    float gradients[24];
    for (long k = 0; k < 2; k++) {
        ig_model model = {.largest_batch = 100, .calls_left = -1};
        const ig_batches work = {.backend = &cubic,
                                 .model = &model,
                                 .shape = shape,
                                 .output = IG_LOGIT,
                                 .what = "image"};
        size_t batch_size = 2;
        ig_error error;
        granted = k;
        const ig_status status =
            ig_gradients(&work, pictures, 3, targets, 2, &batch_size, gradients, &error);
        granted = -1;
        CHECK(status == IG_NO_MEMORY && error.message[0]);
        static const int32_t order[2] = {0, 1};
        static const ig_mix_of each[2] = {{0, 1, 0, 1}, {1, 0, 0, 2}};
        const ig_mixes mixes = {pictures, order, each};
        float scores[2 * CUBIC_CLASSES];
        granted = 0;
        CHECK(ig_mixed_scores(&work, &mixes, 2, CUBIC_CLASSES, &batch_size, scores, &error) ==
              IG_NO_MEMORY);
        granted = -1;
    }
}

int main(void)
{
    const problem_size fixed = {.images = 3,
                                .baselines = 2,
                                .targets = 2,
                                .baselines_are_shared = 1,
                                .baselines_are_a_sample = 1,
                                .shape = {2, 3, 2},
                                .rule = IG_TRAPEZOID,
                                .steps = 4,
                                .error_map = 1,
                                .gradient = 1,
                                .regions = 4,
                                .batch_size = 4,
                                .seed = 1};
    problem_size midpoint = fixed, adaptive = fixed;
    midpoint.rule = IG_MIDPOINT;
    midpoint.error_map = midpoint.gradient = 0;
    adaptive.adaptive = adaptive.by_region = 1;
    adaptive.tolerance = 1e-3;
    adaptive.max_evaluations = 60;
    adaptive.most_retained = 90;
    problem_size blur = fixed, refined_blur = adaptive, guided = fixed, expected = fixed;
    blur.curve = (ig_curve){.kind = IG_BLUR, .sigma = 1.5};
    refined_blur.curve = blur.curve;
    guided.curve =
        (ig_curve){.kind = IG_GUIDED, .steps = fixed.steps, .fraction = 0.3, .max_distance = 0.1};
    guided.targets = 1;
    expected.baselines = 1;
    expected.gradient = 0;
    expected.draws = 6;
    problem_size smooth = expected;
    expected.draws_are_starts = 1;
    expected.draws_per_stratum = 2;
    expected.draw_rounds = 3;
    expected.draw_tolerance = 1e-9;
    smooth.curve.kind = IG_STAY;
    smooth.rule = IG_RIGHT;
    smooth.steps = 1;
    smooth.statistic = IG_VARIANCE;
    const problem_size *const all[] = {&fixed,        &midpoint, &adaptive, &blur,
                                       &refined_blur, &guided,   &expected, &smooth};
    long allocations = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (refuses_all_after = 0; refuses_all_after < 2; refuses_all_after++)
            allocations += check_every_allocation(*all[i]);
    check_batches();
    printf("%ld allocations refused\n", allocations);
    return failures != 0;
}
