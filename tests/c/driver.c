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
#include "cubic.h"

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
        const double d = 2.0 * ((double)images[k % 4] - baselines[k % 4]);
        expected[k / 4].square += pow(d * sums[0][k], 2);
        expected[k / 4].difference_square += pow(d * (sums[0][k] - sums[1][k]), 2);
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
    const ig_paths_config config = {shape, 2, IG_LOGIT, 1, 1, 1};
    const double alphas[5] = {0.0, 0.125, 0.25, 0.5, 1.0};
    const size_t order[5] = {0, 4, 3, 1, 2};
    double weights[5], half[5], values[10], norms[4];
    double sums[2][3][8], pixel_jumps[2][8];
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
        CHECK(store->open(paths, images, baselines, targets, retain, &path, &error) == IG_OK);
        for (size_t k = 0; k < 5; k++) {
            const size_t node = retain ? order[k] : k;
            points[k] = (ig_point){path, alphas[node], all[node]};
        }
        CHECK(store->evaluate(paths, points, 2, values, &done, &point, &error) == IG_OK);
        CHECK(store->evaluate(paths, points + 2, 3, values + 4, &done, &point, &error) == IG_OK);
        const ig_sums ret = {sums[retain][0], sums[retain][1], sums[retain][2], pixel_jumps[retain],
                             gradients[retain]};
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
    for (size_t k = 0; k < 8; k++) { /* of one channel: its jump, in attribution units */
        const double d = (double)images[k % 4] - baselines[k % 4];
        CHECK(close_to(pixel_jumps[0][k], pixel_jumps[1][k]));
        CHECK(close_to(pixel_jumps[0][k], d * d * sums[0][2][k]));
    }
    for (size_t k = 0; k < 4; k++) {
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

typedef struct {
    float attributions[16], error_map[16], pixel_error_map[16];
    double scores[4], baseline_scores[4], sums[4], quadrature_error[4], baseline_error[4];
    double alphas[2 * MOST_EVALUATIONS];
    int64_t node_counts[4];
} results;

/* `adaptive` is NULL, or overrides the rule. */
static ig_status integrate(ig_model *model, ig_rule rule, const ig_adaptive *adaptive,
                           size_t batch_size, results *r, size_t *ret_batch_size, ig_error *error)
{
    double alphas[9], weights[9], half[9];
    const size_t count = ig_rule_count(rule, 8);
    ig_rule_nodes(rule, 8, alphas, weights);
    if (rule == IG_TRAPEZOID)
        ig_trapezoid_half_weights(alphas, count, half);
    const ig_request request = {
        .shape = shape,
        .output = IG_LOGIT,
        .image_count = 2,
        .baseline_count = 2,
        .target_count = 2,
        .images = images,
        .baselines = baselines,
        .baselines_are_shared = 1,
        .targets = targets,
        .nodes = {count, alphas, weights, rule == IG_TRAPEZOID ? half : NULL},
        .adaptive = adaptive,
        .batch_size = batch_size,
    };
    ig_result result = {
        .attributions = r->attributions,
        .error_map = rule == IG_TRAPEZOID ? r->error_map : NULL,
        .pixel_error_map = rule == IG_TRAPEZOID ? r->pixel_error_map : NULL,
        .scores = r->scores,
        .baseline_scores = r->baseline_scores,
        .sums = r->sums,
        .quadrature_error = r->quadrature_error,
        .baseline_error = r->baseline_error,
        .alphas = r->alphas,
        .node_counts = r->node_counts,
    };
    const ig_status status = ig_integrate(&cubic, model, &request, NULL, NULL, &result, error);
    *ret_batch_size = result.batch_size;
    return status;
}

/* Memory that allows 3 points at a time: the batch shrinks, nothing is lost or done twice. */
static void test_memory_that_runs_short(void)
{
    for (int rule = IG_TRAPEZOID; rule <= IG_GAUSS_LEGENDRE; rule++) {
        ig_model rich = {.largest_batch = 100, .calls_left = -1};
        ig_model poor = {.largest_batch = 3, .calls_left = -1};
        results expected, found;
        size_t batch_size;
        ig_error error;
        CHECK(integrate(&rich, (ig_rule)rule, NULL, 16, &expected, &batch_size, &error) == IG_OK);
        CHECK(batch_size == 16 && rich.trims == 0);
        CHECK(integrate(&poor, (ig_rule)rule, NULL, 16, &found, &batch_size, &error) == IG_OK);
        CHECK(batch_size == 2 && poor.trims == 3);
        CHECK(memcmp(expected.attributions, found.attributions, sizeof found.attributions) == 0);
        CHECK(memcmp(expected.sums, found.sums, sizeof found.sums) == 0);
        CHECK(memcmp(expected.scores, found.scores, sizeof found.scores) == 0);
        CHECK(poor.evaluations == rich.evaluations);
    }
}

static void test_memory_for_nothing(void)
{
    ig_model model = {.largest_batch = 0, .calls_left = -1};
    results found;
    size_t batch_size;
    ig_error error;
    CHECK(integrate(&model, IG_TRAPEZOID, NULL, 16, &found, &batch_size, &error) == IG_NO_MEMORY);
    CHECK(strcmp(error.message, "a batch of 1 is too large") == 0);
}

/* Run under a leak checker this shows that nothing is lost on the way out. */
static void test_failure_at_any_call(void)
{
    for (int rule = IG_TRAPEZOID; rule <= IG_GAUSS_LEGENDRE; rule++) {
        for (long calls = 0;; calls++) {
            ig_model model = {.largest_batch = 100, .calls_left = calls};
            results found;
            size_t batch_size;
            ig_error error = {IG_OK, ""};
            const ig_status status =
                integrate(&model, (ig_rule)rule, NULL, 5, &found, &batch_size, &error);
            if (status == IG_OK)
                break;
            CHECK(status == IG_MODEL_FAILED && error.code == status);
            CHECK(strcmp(error.message, "the model failed on purpose") == 0);
            CHECK(calls < 20);
        }
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
        results expected;
        for (size_t m = 0; m < 4; m++) {
            const ig_adaptive adaptive = {tolerances[k], MOST_EVALUATIONS, most[m]};
            ig_model model = {.largest_batch = 100, .calls_left = -1};
            results found = {0};
            size_t batch_size;
            ig_error error;
            CHECK(integrate(&model, IG_TRAPEZOID, &adaptive, 16, &found, &batch_size, &error) ==
                  IG_OK);
            if (m == 0) {
                expected = found;
                CHECK(model.evaluations == (size_t)(found.node_counts[0] + found.node_counts[1] +
                                                    found.node_counts[2] + found.node_counts[3]));
            }
            CHECK(memcmp(&expected, &found, sizeof found) == 0);
        }
        for (size_t cell = 0; cell < 4; cell++)
            CHECK((expected.quadrature_error[cell] <= tolerances[k]) == (k == 0));
    }
}

static void test_refinement_when_anything_fails(void)
{
    const ig_adaptive adaptive = {1e-9, MOST_EVALUATIONS, 80};
    for (long calls = 0;; calls++) {
        ig_model model = {.largest_batch = 3, .calls_left = calls};
        results found;
        size_t batch_size;
        ig_error error = {IG_OK, ""};
        const ig_status status =
            integrate(&model, IG_TRAPEZOID, &adaptive, 5, &found, &batch_size, &error);
        if (status == IG_OK)
            break;
        CHECK(status == IG_MODEL_FAILED && calls < 200);
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

int main(void)
{
    test_retained_path();
    test_memory_that_runs_short();
    test_memory_for_nothing();
    test_failure_at_any_call();
    test_gradients_that_may_not_all_be_kept();
    test_refinement_when_anything_fails();
    test_batch_that_fits();
    return failures != 0;
}
