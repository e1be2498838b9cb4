/* torch_backend.h - loading a TorchScript archive as a backend (engine/backend.h).
 *
 *     ig_torch_options options = {.archive = bytes, .archive_size = n, .device = "cpu"};
 *     ig_model *model;
 *     if (ig_torch_load(&options, &model, &error) == IG_OK)
 *         ... ig_torch_backend()->scores(model, ...), ig_torch_backend()->destroy(model);
 *
 * A plain C header. No tensor and no exception crosses it.
 */
#ifndef INTGRAD_TORCH_BACKEND_H
#define INTGRAD_TORCH_BACKEND_H

#include "../engine/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct {
    /* The archive, borrowed for the call. It is code: load only what you trust. */
    const void *archive;
    size_t archive_size;
    const char *device; /* "cpu", "cuda", "cuda:1" */
    /* pixels * scale + offset, done before the graph; each holds affine_count (1 or C) floats.
     * affine_count 0: the graph does its own preprocessing. */
    const float *scale, *offset;
    size_t affine_count;
    int gives_probabilities; /* the graph ends in a softmax */
    int bfloat16;            /* weights and activations in bfloat16, gradients back in float32 */
} ig_torch_options;

/* A new model, owned by the caller until ig_torch_backend()->destroy. */
ig_status ig_torch_load(const ig_torch_options *options, ig_model **ret_model, ig_error *error);

const ig_backend *ig_torch_backend(void);

#ifdef __cplusplus
}
#endif

#endif
