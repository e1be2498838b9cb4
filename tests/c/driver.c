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

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* F[k](x) = (k + 1) * sum x^3 / 3, whose gradient is (k + 1) * x^2. */
struct ig_model {
    size_t largest_batch; /* more is IG_NO_MEMORY */
    long calls_left;      /* fails when it reaches 0; negative: never */
    size_t trims, evaluations;
};

static int failures;

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                 \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

static int close_to(double a, double b)
{
    return fabs(a - b) <= 1e-5 * fmax(fabs(a), fabs(b)) + 1e-9;
}

static ig_status cubic_describe(ig_model *model, ig_shape shape, ig_description *ret,
                                ig_error *error)
{
    (void)model;
    (void)shape;
    (void)error;
    *ret = (ig_description){3, "test"};
    return IG_OK;
}

static ig_status may_run(ig_model *model, size_t n, ig_error *error)
{
    if (n > model->largest_batch)
        return ig_fail(error, IG_NO_MEMORY, "a batch of %zu is too large", n);
    if (model->calls_left == 0)
        return ig_fail(error, IG_MODEL_FAILED, "the model failed on purpose");
    model->calls_left--;
    return IG_OK;
}

static double cubic_score(const float *picture, size_t size, int64_t target)
{
    double sum = 0.0;
    for (size_t i = 0; i < size; i++)
        sum += (double)picture[i] * picture[i] * picture[i] / 3.0;
    return sum * (double)(target + 1);
}

static ig_status cubic_scores(ig_model *model, const float *pixels, size_t n, ig_shape shape,
                              ig_output output, float *ret_scores, ig_error *error)
{
    (void)output;
    const size_t size = ig_shape_size(shape);
    const ig_status status = may_run(model, n, error);
    for (size_t k = 0; status == IG_OK && k < 3 * n; k++)
        ret_scores[k] = (float)cubic_score(pixels + k / 3 * size, size, (int64_t)(k % 3));
    return status;
}

static ig_status cubic_gradients(ig_model *model, const float *pixels, size_t n, ig_shape shape,
                                 const ig_pick *picks, size_t m, ig_output output,
                                 float *ret_values, float *ret_gradients, ig_error *error)
{
    (void)output;
    const size_t size = ig_shape_size(shape);
    const ig_status status = may_run(model, n, error);
    if (status != IG_OK)
        return status;
    model->evaluations += n;
    for (size_t j = 0; j < m; j++) {
        const float *picture = pixels + picks[j].row * size;
        ret_values[j] = (float)cubic_score(picture, size, picks[j].target);
        for (size_t i = 0; i < size; i++)
            ret_gradients[j * size + i] = (float)(picks[j].target + 1) * picture[i] * picture[i];
    }
    return IG_OK;
}

static void cubic_trim(ig_model *model)
{
    model->trims++;
}

static void cubic_destroy(ig_model *model)
{
    (void)model;
}

static const ig_backend cubic = {
    .abi_version = IG_ABI_VERSION,
    .size = sizeof(ig_backend),
    .describe = cubic_describe,
    .scores = cubic_scores,
    .gradients = cubic_gradients,
    .trim = cubic_trim,
    .destroy = cubic_destroy,
};

static const ig_shape shape = {2, 2, 1};
static const float images[8] = {1.0f, 2.0f, 3.0f, 4.0f, 0.5f, 1.5f, 2.5f, 3.5f};
static const float baselines[8] = {0.0f, 0.0f, 1.0f, 1.0f, 0.5f, 0.0f, 0.0f, 2.0f};
static const int64_t targets[4] = {0, 2, 1, 0};

/* A retained path gives the sums of a streamed one, whatever the order its nodes came in. */
static void test_retained_path(void)
{
    ig_model model = {.largest_batch = 100, .calls_left = -1};
    const ig_paths_config config = {shape, 2, IG_LOGIT, 1, 1, 0};
    const double alphas[5] = {0.0, 0.125, 0.25, 0.5, 1.0};
    const size_t order[5] = {0, 4, 3, 1, 2};
    double weights[5], half[5], values[10], norms[4];
    double sums[2][3][8], pixel_jumps[2][8];
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
                             NULL};
        CHECK(store->read(paths, path, retain ? all : NULL, ret, &error) == IG_OK);
        if (retain)
            CHECK(store->jump_norms(paths, path, norms, &error) == IG_OK);
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

typedef struct {
    float attributions[16], error_map[16], pixel_error_map[16];
    double scores[4], baseline_scores[4], sums[4], quadrature_error[4], baseline_error[4];
} results;

static ig_status integrate(ig_model *model, ig_rule rule, size_t batch_size, results *r,
                           size_t *ret_batch_size, ig_error *error)
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
        CHECK(integrate(&rich, (ig_rule)rule, 16, &expected, &batch_size, &error) == IG_OK);
        CHECK(batch_size == 16 && rich.trims == 0);
        CHECK(integrate(&poor, (ig_rule)rule, 16, &found, &batch_size, &error) == IG_OK);
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
    CHECK(integrate(&model, IG_TRAPEZOID, 16, &found, &batch_size, &error) == IG_NO_MEMORY);
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
                integrate(&model, (ig_rule)rule, 5, &found, &batch_size, &error);
            if (status == IG_OK)
                break;
            CHECK(status == IG_MODEL_FAILED && error.code == status);
            CHECK(strcmp(error.message, "the model failed on purpose") == 0);
            CHECK(calls < 20);
        }
    }
}

int main(void)
{
    test_retained_path();
    test_memory_that_runs_short();
    test_memory_for_nothing();
    test_failure_at_any_call();
    return failures != 0;
}
