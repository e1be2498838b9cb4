#include "cubic.h"

#include <math.h>

static ig_status cubic_describe(ig_model *model, ig_shape shape, ig_description *ret,
                                ig_error *error)
{
    (void)model;
    (void)shape;
    (void)error;
    *ret = (ig_description){CUBIC_CLASSES, "test"};
    return IG_OK;
}

/* *ret_factor is what the results are to be multiplied with: 1 or NaN. */
static ig_status may_run(ig_model *model, size_t n, float *ret_factor, ig_error *error)
{
    *ret_factor = 1.0f;
    if (n > model->largest_batch)
        return ig_fail(error, IG_NO_MEMORY, "a batch of %zu is too large", n);
    if (model->calls_left-- != 0)
        return IG_OK;
    if (model->failure == CUBIC_HAS_NO_MEMORY)
        return ig_fail(error, IG_NO_MEMORY, "the model had no memory on purpose");
    if (model->failure == CUBIC_FAILS)
        return ig_fail(error, IG_MODEL_FAILED, "the model failed on purpose");
    *ret_factor = NAN;
    return IG_OK;
}

double cubic_score(const float *picture, size_t size, int64_t target)
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
    float factor;
    const ig_status status = may_run(model, n, &factor, error);
    for (size_t k = 0; status == IG_OK && k < CUBIC_CLASSES * n; k++)
        ret_scores[k] = factor * (float)cubic_score(pixels + k / CUBIC_CLASSES * size, size,
                                                    (int64_t)(k % CUBIC_CLASSES));
    return status;
}

static ig_status cubic_gradients(ig_model *model, const float *pixels, size_t n, ig_shape shape,
                                 const ig_pick *picks, size_t m, ig_output output,
                                 float *ret_values, float *ret_gradients, ig_error *error)
{
    (void)output;
    const size_t size = ig_shape_size(shape);
    float factor;
    const ig_status status = may_run(model, n, &factor, error);
    if (status != IG_OK)
        return status;
    model->evaluations += n;
    for (size_t j = 0; j < m; j++) {
        const float *picture = pixels + picks[j].row * size;
        ret_values[j] = (float)cubic_score(picture, size, picks[j].target);
        for (size_t i = 0; i < size; i++)
            ret_gradients[j * size + i] =
                factor * (float)(picks[j].target + 1) * picture[i] * picture[i];
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

const ig_backend cubic = {
    .abi_version = IG_ABI_VERSION,
    .size = sizeof(ig_backend),
    .describe = cubic_describe,
    .scores = cubic_scores,
    .gradients = cubic_gradients,
    .trim = cubic_trim,
    .destroy = cubic_destroy,
};
