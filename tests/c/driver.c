/* driver.c - the engine from C alone: an analytic backend, no Python, no torch.
 *
 * Includes every public header first, so that each is shown to stand alone as C. Checks what
 * Python cannot reach: retained paths, memory that runs short, a backend that fails at any call.
 * Prints what went wrong and returns 1, or returns 0.
 */
#include "engine/backend.h"
#include "engine/batches.h"
#include "engine/host_path.h"
#include "engine/integrate.h"
#include "engine/rule.h"
#include "engine/status.h"
#include "kernels/kernels.h"

#include "check.h"
#include "problem.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static int failures;

static int close_to(double a, double b)
{
    return fabs(a - b) <= 1e-5 * fmax(fabs(a), fabs(b)) + 1e-9;
}

static const ig_shape shape = {2, 2, 1};
static const float images[8] = {1.0f, 2.0f, 3.0f, 4.0f, 0.5f, 1.5f, 2.5f, 3.5f};
static const float baselines[8] = {0.0f, 0.0f, 1.0f, 1.0f, 0.5f, 0.0f, 0.0f, 2.0f};
static const int64_t targets[4] = {0, 2, 1, 0};

/* Two members of the same path: twice its attributions, and twice T - T_half. */
static void check_assessment(ig_paths *paths, size_t path, const ig_weights *all, double (*sums)[8])
{
    const size_t members[2] = {path, path};
    const ig_weights *const weights[2] = {all, all};
    ig_norms norms[2], expected[2] = {{0.0, 0.0}, {0.0, 0.0}};
    ig_error error;
    CHECK(ig_host_paths.assess(paths, members, weights, 2, norms, &error) == IG_OK);
    for (size_t k = 0; k < 8; k++) {
        expected[k / 4].square += pow(2.0 * sums[0][k], 2);
        expected[k / 4].difference_square += pow(2.0 * (sums[0][k] - sums[1][k]), 2);
    }
    for (size_t t = 0; t < 2; t++) {
        CHECK(close_to(norms[t].square, expected[t].square));
        CHECK(close_to(norms[t].difference_square, expected[t].difference_square));
    }
}

/* A retained path gives the sums of a streamed one, whatever the order its nodes came in. */
static void test_retained_path(void)
{
    ig_model model = {.largest_batch = 100, .calls_left = -1};
    const ig_paths_config config = {.shape = shape,
                                    .target_count = 2,
                                    .output = IG_LOGIT,
                                    .with_half = 1,
                                    .with_jumps = 1,
                                    .with_region_jumps = 1,
                                    .with_gradient = 1};
    static const int32_t labels[4] = {0, 1, 1, 0};
    const ig_regions regions = {labels, 2};
    const double alphas[5] = {0.0, 0.125, 0.25, 0.5, 1.0};
    const size_t order[5] = {0, 4, 3, 1, 2};
    double weights[5], half[5], values[10], norms[4];
    double sums[2][3][8], pixel_jumps[2][8], region_jumps[2][4];
    float gradients[2][8];
    ig_weights all[5];
    ig_point points[5];
    ig_paths *paths;
    ig_error error;
    size_t path, done, point;
    ig_trapezoid_weights(alphas, 5, weights);
    ig_trapezoid_half_weights(alphas, 5, half);
    for (size_t k = 0; k < 5; k++)
        all[k] = (ig_weights){weights[k], half[k], k ? alphas[k] - alphas[k - 1] : 0.0};
    CHECK(ig_host_paths_create(&cubic, &model, &config, &paths, &error) == IG_OK);
    for (int retain = 0; retain < 2; retain++) {
        const ig_path_store *store = &ig_host_paths;
        CHECK(store->open(paths, images, baselines, targets, regions, retain, &path, &error) ==
              IG_OK);
        for (size_t k = 0; k < 5; k++) {
            const size_t node = retain ? order[k] : k;
            points[k] = (ig_point){path, alphas[node], all[node]};
        }
        CHECK(store->evaluate(paths, points, 2, values, &done, &point, &error) == IG_OK);
        CHECK(store->evaluate(paths, points + 2, 3, values + 4, &done, &point, &error) == IG_OK);
        const ig_sums ret = {sums[retain][0],     sums[retain][1],      sums[retain][2],
                             pixel_jumps[retain], region_jumps[retain], gradients[retain]};
        CHECK(store->read(paths, path, retain ? all : NULL, ret, &error) == IG_OK);
        for (size_t k = 0; k < 8; k++)
            CHECK(close_to(gradients[retain][k],
                           (double)(targets[k / 4] + 1) * images[k % 4] * images[k % 4]));
        if (retain) {
            CHECK(store->jump_norms(paths, path, norms, &error) == IG_OK);
            check_assessment(paths, path, all, sums[1]);
        }
        store->close(paths, path);
    }
    for (size_t k = 0; k < 24; k++)
        CHECK(close_to(sums[0][k / 8][k % 8], sums[1][k / 8][k % 8]));
    for (size_t k = 0; k < 8; k++) { /* there is one channel */
        CHECK(close_to(pixel_jumps[0][k], pixel_jumps[1][k]));
        CHECK(close_to(pixel_jumps[0][k], sums[0][2][k]));
    }
    for (size_t k = 0; k < 4; k++) {
        CHECK(region_jumps[0][k] > 0.0 && close_to(region_jumps[0][k], region_jumps[1][k]));
        double square = 0.0;
        for (size_t i = 0; i < 8; i++) {
            const double scale = (double)(targets[i / 4] + 1);
            const double d = (double)images[i % 4] - baselines[i % 4];
            const double from = baselines[i % 4] + alphas[k] * d;
            const double to = baselines[i % 4] + alphas[k + 1] * d;
            square += pow(scale * (to * to - from * from) * d, 2);
        }
        CHECK(close_to(norms[k], sqrt(square)));
    }
    ig_host_paths.destroy(paths);
}

enum { MOST_EVALUATIONS = 60 };

/* Two images, two baselines that they share, two targets. */
static problem_size two(ig_rule rule, size_t batch_size)
{
    return (problem_size){.images = 2,
                          .baselines = 2,
                          .targets = 2,
                          .baselines_are_shared = 1,
                          .shape = shape,
                          .rule = rule,
                          .steps = 8,
                          .error_map = rule == IG_TRAPEZOID,
                          .batch_size = batch_size};
}

static problem *create(ig_rule rule, size_t batch_size)
{
    return problem_create(two(rule, batch_size));
}

static problem *create_adaptive(double tolerance, size_t most_retained, size_t batch_size)
{
    problem_size size = two(IG_TRAPEZOID, batch_size);
    size.adaptive = 1;
    size.tolerance = tolerance;
    size.max_evaluations = MOST_EVALUATIONS;
    size.most_retained = most_retained;
    return problem_create(size);
}

/* Memory that allows 3 points at a time: the batch shrinks, nothing is lost or done twice. */
static void test_memory_that_runs_short(void)
{
    for (int rule = IG_TRAPEZOID; rule <= IG_GAUSS_LEGENDRE; rule++) {
        ig_model rich = {.largest_batch = 100, .calls_left = -1};
        ig_model poor = {.largest_batch = 3, .calls_left = -1};
        problem *expected = create((ig_rule)rule, 16), *found = create((ig_rule)rule, 16);
        ig_error error;
        CHECK(problem_solve(expected, &rich, &error) == IG_OK);
        CHECK(expected->result.batch_size == 16 && rich.trims == 0);
        CHECK(problem_solve(found, &poor, &error) == IG_OK);
        CHECK(found->result.batch_size == 2 && poor.trims == 3);
        CHECK(problem_equal(expected, found, 0.0));
        CHECK(poor.evaluations == rich.evaluations);
        problem_free(expected);
        problem_free(found);
    }
}

static void test_memory_for_nothing(void)
{
    ig_model model = {.largest_batch = 0, .calls_left = -1};
    problem *p = create(IG_TRAPEZOID, 16);
    ig_error error;
    CHECK(problem_solve(p, &model, &error) == IG_NO_MEMORY);
    CHECK(strcmp(error.message, "a batch of 1 is too large") == 0);
    problem_free(p);
}

/* Run under a leak checker this shows that nothing is lost on the way out. */
static void test_failure_at_any_call(void)
{
    for (int rule = IG_TRAPEZOID; rule <= IG_GAUSS_LEGENDRE; rule++) {
        problem *p = create((ig_rule)rule, 5);
        for (long calls = 0;; calls++) {
            ig_model model = {.largest_batch = 100, .calls_left = calls};
            ig_error error = {IG_OK, ""};
            const ig_status status = problem_solve(p, &model, &error);
            if (status == IG_OK)
                break;
            CHECK(status == IG_MODEL_FAILED && error.code == status);
            CHECK(strcmp(error.message, "the model failed on purpose") == 0);
            CHECK(calls < 20);
        }
        problem_free(p);
    }
}

/* The two images together take up to 120 gradients. With room for fewer they are done one after the
 * other, or the younger starts again; what comes out is the same, and no more is kept than asked.
 */
static void test_gradients_that_may_not_all_be_kept(void)
{
    const double tolerances[2] = {2e-3, 1e-9}; /* that is reached, and that is not */
    for (size_t k = 0; k < 2; k++) {
        const size_t most[4] = {1000, 110, 80, MOST_EVALUATIONS};
        problem *expected = NULL;
        for (size_t m = 0; m < 4; m++) {
            ig_model model = {.largest_batch = 100, .calls_left = -1};
            problem *found = create_adaptive(tolerances[k], most[m], 16);
            const int64_t *counts = found->result.node_counts;
            ig_error error;
            CHECK(problem_solve(found, &model, &error) == IG_OK);
            if (m == 0) {
                expected = found;
                CHECK(model.evaluations == (size_t)(counts[0] + counts[1] + counts[2] + counts[3]));
            } else {
                CHECK(problem_equal(expected, found, 0.0));
                problem_free(found);
            }
        }
        for (size_t cell = 0; cell < 4; cell++)
            CHECK((expected->result.quadrature_error[cell] <= tolerances[k]) == (k == 0));
        problem_free(expected);
    }
}

static void test_refinement_when_anything_fails(void)
{
    problem *p = create_adaptive(1e-9, 80, 5);
    for (long calls = 0;; calls++) {
        ig_model model = {.largest_batch = 3, .calls_left = calls};
        ig_error error = {IG_OK, ""};
        const ig_status status = problem_solve(p, &model, &error);
        if (status == IG_OK)
            break;
        CHECK(status == IG_MODEL_FAILED && calls < 200);
    }
    problem_free(p);
}

/* Paths of every other kind: curves, then draws. */
static problem_size other(size_t kind, size_t batch_size)
{
    problem_size size = two(IG_TRAPEZOID, batch_size);
    size.targets = 1;
    size.curve =
        (ig_curve){.steps = size.steps, .sigma = 0.8, .fraction = 0.3, .max_distance = 0.1};
    if (kind < 4) {
        size.curve.kind = kind < 2 ? IG_BLUR : IG_GUIDED;
        size.curve.is_left = kind % 2 == 1;
        size.error_map = kind % 2 == 0;
        size.rule = kind == 1 ? IG_RIGHT : kind == 3 ? IG_LEFT : IG_TRAPEZOID;
        return size;
    }
    size.baselines = size.baselines_are_a_sample = 1;
    size.draws = 6;
    if (kind == 4) {
        size.draws_are_starts = 1;
        size.draws_per_stratum = 2;
        size.draw_rounds = 4;
        size.draw_tolerance = 1e-3;
    } else if (kind == 5) {
        size.curve.kind = IG_STAY;
        size.rule = IG_RIGHT;
        size.steps = 1;
        size.statistic = IG_VARIANCE;
    }
    return size; /* and paths to drawn ends */
}

static void test_other_paths(void)
{
    for (size_t kind = 0; kind < 7; kind++) {
        ig_model rich = {.largest_batch = 100, .calls_left = -1};
        ig_model poor = {.largest_batch = 3, .calls_left = -1};
        problem *expected = problem_create(other(kind, 16));
        problem *found = problem_create(other(kind, 16));
        ig_error error;
        CHECK(problem_solve(expected, &rich, &error) == IG_OK);
        CHECK(problem_solve(found, &poor, &error) == IG_OK);
        CHECK(problem_equal(expected, found, 0.0));
        CHECK(poor.evaluations == rich.evaluations);
        ig_status status = IG_MODEL_FAILED;
        for (long calls = 0; status != IG_OK; calls += 1 + calls / 8) {
            ig_model failing = {.largest_batch = 100, .calls_left = calls};
            status = problem_solve(found, &failing, &error);
            CHECK(status == IG_OK || status == IG_MODEL_FAILED);
            CHECK(calls < 5000);
        }
        CHECK(problem_equal(expected, found, 0.0));
        problem_free(expected);
        problem_free(found);
    }
}

/* What an ig_model says of its memory. */
static ig_status cubic_memory(ig_model *model, ig_shape picture, size_t n, size_t *ret_peak,
                              size_t *ret_free, ig_error *error)
{
    (void)picture;
    *ret_peak = 100 + 50 * n;
    *ret_free = 1000;
    return n > model->largest_batch ? ig_fail(error, IG_NO_MEMORY, "too large") : IG_OK;
}

static void test_batch_that_fits(void)
{
    ig_model model = {.largest_batch = 100, .calls_left = -1};
    ig_backend backend = cubic;
    size_t n = 7;
    ig_error error;
    CHECK(ig_fitting_batch(&backend, &model, shape, 64, &n, &error) == IG_OK && n == 0);
    backend.memory = cubic_memory;
    CHECK(ig_fitting_batch(&backend, &model, shape, 64, &n, &error) == IG_OK && n == 14);
    CHECK(ig_fitting_batch(&backend, &model, shape, 8, &n, &error) == IG_OK && n == 8);
    model.largest_batch = 1;
    CHECK(ig_fitting_batch(&backend, &model, shape, 64, &n, &error) == IG_OK && n == 1);
}

/* Mixed a batch at a time, whatever fits; stopped by whatever fails. */
static void test_mixed_scores(void)
{
    static const int32_t orders[8] = {0, 1, 2, 3, 3, 0, 2, 1};
    static const ig_mix_of each[5] = {
        {0, 1, 0, 0}, {0, 1, 0, 3}, {1, 0, 1, 2}, {0, 1, 1, 4}, {1, 0, 0, -1}};
    const ig_mixes mixes = {images, orders, each};
    float scores[5 * CUBIC_CLASSES], picture[4];
    ig_error error;
    for (size_t most = 0; most <= 5; most++) {
        ig_model model = {.largest_batch = most, .calls_left = -1};
        const ig_batches work = {
            .backend = &cubic, .model = &model, .shape = shape, .output = IG_LOGIT, .what = "mix"};
        size_t batch_size = 5;
        const ig_status status =
            ig_mixed_scores(&work, &mixes, 5, CUBIC_CLASSES, &batch_size, scores, &error);
        CHECK(status == (most ? IG_OK : IG_NO_MEMORY));
        for (size_t k = 0; most && k < 5; k++) {
            for (size_t i = 0; i < 4; i++) {
                const int is_other = orders[each[k].order * 4 + (int64_t)i] < each[k].taken;
                picture[i] = images[4 * (is_other ? each[k].other : each[k].picture) + (int64_t)i];
            }
            for (int64_t c = 0; c < CUBIC_CLASSES; c++)
                CHECK(scores[k * CUBIC_CLASSES + (size_t)c] == (float)cubic_score(picture, 4, c));
        }
        model = (ig_model){.largest_batch = 2, .calls_left = 1, .failure = CUBIC_GIVES_NAN};
        batch_size = 2;
        CHECK(ig_mixed_scores(&work, &mixes, 5, CUBIC_CLASSES, &batch_size, scores, &error) ==
              IG_MODEL_FAILED);
        CHECK(strncmp(error.message, "mix 2: the model's score of class 0", 35) == 0);
    }
}

int main(void)
{
    test_mixed_scores();
    test_retained_path();
    test_memory_that_runs_short();
    test_memory_for_nothing();
    test_failure_at_any_call();
    test_gradients_that_may_not_all_be_kept();
    test_refinement_when_anything_fails();
    test_other_paths();
    test_batch_that_fits();
    return failures != 0;
}
