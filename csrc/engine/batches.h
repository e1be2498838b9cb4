/* batches.h - scores and gradients of many pictures, a batch at a time.
 *
 * Where memory is short the batch is halved, for the rest of the work too: *batch_size goes in as
 * what to try and comes out as what was possible. `between` may be NULL.
 */
#ifndef INTGRAD_BATCHES_H
#define INTGRAD_BATCHES_H

#include "backend.h"

/* Called after each batch, with the pictures or points done so far; anything but 0 cancels the
 * work, which then returns IG_PENDING. */
typedef int (*ig_between)(void *context, size_t done, size_t total);

typedef struct {
    const ig_backend *backend;
    ig_model *model;
    ig_shape shape;
    ig_output output;
    ig_between between;
    void *context;
    const char *what; /* what messages call the pictures: "image" ... */
    size_t first;     /* ... and the number of the first of them */
} ig_batches;

/* ret_scores (count, num_classes). */
ig_status ig_scores(const ig_batches *work, const float *pictures, size_t count, size_t num_classes,
                    size_t *batch_size, float *ret_scores, ig_error *error);

/* A picture of which some pixels are another's: where its order is less than `taken`. */
typedef struct {
    int64_t picture, other, order, taken;
} ig_mix_of;

/* Pictures that are mixed from others a batch at a time, so that memory does not grow with their
 * number. All borrowed: pictures (P, H, W, C), orders (R, H, W), and which of them each takes. */
typedef struct {
    const float *pictures;
    const int32_t *orders;
    const ig_mix_of *each;
} ig_mixes;

/* ret_scores (count, num_classes). */
ig_status ig_mixed_scores(const ig_batches *work, const ig_mixes *mixes, size_t count,
                          size_t num_classes, size_t *batch_size, float *ret_scores,
                          ig_error *error);

/* Gradients at the pictures themselves: targets (count, target_count), ret_gradients
 * (count, target_count, H, W, C). */
ig_status ig_gradients(const ig_batches *work, const float *pictures, size_t count,
                       const int64_t *targets, size_t target_count, size_t *batch_size,
                       float *ret_gradients, ig_error *error);

/* What to do about IG_NO_MEMORY in a batch of n: frees what is cached and halves *batch_size, or
 * returns 0 if n is 1 and nothing can be done. */
int ig_halve_batch(const ig_backend *backend, ig_model *model, size_t n, size_t *batch_size);

/* The largest batch that a device's memory holds, with a margin, but at most `limit`; 0 where the
 * device does not tell. Runs one batch of 1 and one of 2: memory grows by the same for each. */
ig_status ig_fitting_batch(const ig_backend *backend, ig_model *model, ig_shape shape, size_t limit,
                           size_t *ret_batch_size, ig_error *error);

#endif
