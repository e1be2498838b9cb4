/* batches.c - the loops over pictures that need no path. */
#include "batches.h"

#include <stdlib.h>

#include "../kernels/kernels.h"
#include "numbers.h"

int ig_halve_batch(const ig_backend *backend, ig_model *model, size_t n, size_t *batch_size)
{
    if (n < 2)
        return 0;
    backend->trim(model);
    *batch_size = n / 2;
    return 1;
}

ig_status ig_fitting_batch(const ig_backend *backend, ig_model *model, ig_shape shape, size_t limit,
                           size_t *ret_batch_size, ig_error *error)
{
    size_t one = 0, two = 0, free_bytes = 0;
    *ret_batch_size = 0;
    if (!backend->memory)
        return IG_OK;
    ig_status status = backend->memory(model, shape, 1, &one, &free_bytes, error);
    if (status != IG_OK || !one)
        return status;
    status = backend->memory(model, shape, 2, &two, &free_bytes, error);
    if (status == IG_NO_MEMORY) {
        backend->trim(model);
        *ret_batch_size = 1;
        return IG_OK;
    }
    if (status != IG_OK)
        return status;
    /* A fifth is left for fragments, and for convolutions that take more scratch in other sizes. */
    const size_t budget = free_bytes / 5 * 4, each = two > one ? two - one : one;
    const size_t more = budget > one ? (budget - one) / each : 0;
    *ret_batch_size = ig_smaller(1 + more, limit);
    return IG_OK;
}

/* Reports progress; nonzero if the work is to stop. */
static int cancelled(const ig_batches *work, size_t done, size_t total)
{
    return work->between && work->between(work->context, done, total);
}

/* Returns the pictures from .. from + n - 1, which the context owns. */
typedef const float *(*some_pictures)(void *context, size_t from, size_t n);

static ig_status score(const ig_batches *work, some_pictures some, void *context, size_t count,
                       size_t num_classes, size_t *batch_size, float *ret_scores, ig_error *error)
{
    for (size_t from = 0; from < count;) {
        const size_t n = ig_smaller(count - from, *batch_size);
        float *scores = ret_scores + from * num_classes;
        const ig_status status = work->backend->scores(work->model, some(context, from, n), n,
                                                       work->shape, work->output, scores, error);
        if (status == IG_NO_MEMORY && ig_halve_batch(work->backend, work->model, n, batch_size))
            continue;
        if (status != IG_OK)
            return status;
        size_t at;
        if (!ig_all_finite(scores, n * num_classes, &at))
            return ig_fail(error, IG_MODEL_FAILED, "%s %zu: the model's score of class %zu is %g",
                           work->what, work->first + from + at / num_classes, at % num_classes,
                           (double)scores[at]);
        from += n;
        if (cancelled(work, from, count))
            return IG_PENDING;
    }
    return IG_OK;
}

typedef struct {
    const float *pictures;
    size_t size;
} given;

static const float *some_given(void *context, size_t from, size_t n)
{
    (void)n;
    const given *all = context;
    return all->pictures + from * all->size;
}

ig_status ig_scores(const ig_batches *work, const float *pictures, size_t count, size_t num_classes,
                    size_t *batch_size, float *ret_scores, ig_error *error)
{
    given all = {pictures, ig_shape_size(work->shape)};
    return score(work, some_given, &all, count, num_classes, batch_size, ret_scores, error);
}

typedef struct {
    const ig_mixes *mixes;
    ig_shape shape;
    float *batch;
} mixed;

static const float *some_mixed(void *context, size_t from, size_t n)
{
    const mixed *all = context;
    const ig_mixes *mixes = all->mixes;
    const size_t pixels = all->shape.height * all->shape.width;
    const size_t size = pixels * all->shape.channels;
    for (size_t k = 0; k < n; k++) {
        const ig_mix_of mix = mixes->each[from + k];
        ig_mix(mixes->pictures + (size_t)mix.picture * size,
               mixes->pictures + (size_t)mix.other * size,
               mixes->orders + (size_t)mix.order * pixels, mix.taken, pixels, all->shape.channels,
               all->batch + k * size);
    }
    return all->batch;
}

ig_status ig_mixed_scores(const ig_batches *work, const ig_mixes *mixes, size_t count,
                          size_t num_classes, size_t *batch_size, float *ret_scores,
                          ig_error *error)
{
    mixed all = {mixes, work->shape, NULL};
    const size_t batch = ig_smaller(count, *batch_size);
    all.batch = malloc((batch ? batch : 1) * ig_shape_size(work->shape) * sizeof *all.batch);
    if (!all.batch)
        return ig_fail(error, IG_NO_MEMORY, "out of memory for a batch of %zu pictures", batch);
    const ig_status status =
        score(work, some_mixed, &all, count, num_classes, batch_size, ret_scores, error);
    free(all.batch);
    return status;
}

ig_status ig_gradients(const ig_batches *work, const float *pictures, size_t count,
                       const int64_t *targets, size_t target_count, size_t *batch_size,
                       float *ret_gradients, ig_error *error)
{
    const size_t size = ig_shape_size(work->shape);
    const size_t pick_limit = ig_smaller(count, *batch_size) * target_count;
    ig_status status = IG_OK;
    ig_pick *picks = malloc(pick_limit * sizeof *picks);
    float *values = malloc(pick_limit * sizeof *values);
    if (!picks || !values)
        status = ig_fail(error, IG_NO_MEMORY, "out of memory for %zu targets", pick_limit);
    for (size_t from = 0; status == IG_OK && from < count;) {
        const size_t n = ig_smaller(count - from, *batch_size);
        const size_t m = n * target_count;
        for (size_t j = 0; j < m; j++)
            picks[j] = (ig_pick){j / target_count, targets[from * target_count + j]};
        float *gradients = ret_gradients + from * target_count * size;
        status = work->backend->gradients(work->model, pictures + from * size, n, work->shape,
                                          picks, m, work->output, values, gradients, error);
        if (status == IG_NO_MEMORY && ig_halve_batch(work->backend, work->model, n, batch_size)) {
            status = IG_OK;
            continue;
        }
        size_t at;
        if (status == IG_OK && !ig_all_finite(gradients, m * size, &at))
            status =
                ig_fail(error, IG_MODEL_FAILED, "%s %zu: the model's gradient holds %g", work->what,
                        work->first + from + at / (target_count * size), (double)gradients[at]);
        from += n;
        if (status == IG_OK && cancelled(work, from, count))
            status = IG_PENDING;
    }
    free(picks);
    free(values);
    return status;
}
