/* torch_backend.h - loading a TorchScript archive as a backend (engine/backend.h).
 *
 *     ig_torch_options options = {.archive = bytes, .archive_size = n, .device = "cpu"};
 *     const ig_backend *backend = ig_torch_backend(0);
 *     ig_model *model;
 *     if (ig_torch_load(&options, &model, &error) == IG_OK)
 *         ... backend->scores(model, ...), backend->destroy(model);
 *
 * A plain C header. No tensor and no exception crosses it.
 */
#ifndef INTGRAD_TORCH_BACKEND_H
#define INTGRAD_TORCH_BACKEND_H

#include "../engine/backend.h"

#ifdef __cplusplus
extern "C" {
#endif

/* What float32 is computed in. On CUDA torch decides between IEEE and TF32 by switches of the whole
 * process: they are as the model wants them while one of its calls runs, and then again what they
 * were. Calls of models that want them otherwise wait so long, and other users of torch in the
 * process see them change. On a CPU nothing is switched, and TF32 is the same as IEEE. */
typedef enum {
    IG_IEEE,    /* float32 throughout */
    IG_TF32,    /* products of 10-bit mantissas, on CUDA */
    IG_BFLOAT16 /* weights and activations in bfloat16, gradients back in float32 */
} ig_precision;

/* The layout of pictures and activations. Channels last is what the caller's buffers are in, so
 * that nothing is copied, and what convolutions are quickest in; but a graph that flattens
 * activations with `view`, or reads their memory, wants them as it was written for: channels first.
 */
typedef enum { IG_CHANNELS_LAST, IG_CHANNELS_FIRST } ig_layout;

typedef struct {
    /* The archive, borrowed for the call. It is code: load only what you trust. */
    const void *archive;
    size_t archive_size;
    const char *device; /* "cpu", "cuda", "cuda:1" */
    /* pixels * scale + offset, done before the graph; each holds affine_count (1 or C) floats.
     * affine_count 0: the graph does its own preprocessing. */
    const float *scale, *offset;
    size_t affine_count;
    int gives_probabilities; /* the graph ends in a softmax or sigmoids */
    ig_precision precision;
    ig_layout layout;
    /* A single picture is run beside itself: torch 2.13's batch norm gives a wrong gradient on a
     * CPU for a batch of one, channels first, whose gradient comes transposed. */
    int pairs_single;
    /* Where the scores are in what the graph returns: "" for a tensor, else a key of a dict, the
     * name of a field or the index of an element of a tuple or list ("logits", "0"). */
    const char *scores_at;
} ig_torch_options;

/* A new model, owned by the caller until `destroy`. */
ig_status ig_torch_load(const ig_torch_options *options, ig_model **ret_model, ig_error *error);

/* The functions of these models. With device_paths, gradients and their sums stay on the model's
 * device until they are read; without, they are summed in host memory. Either works anywhere: the
 * first is for devices whose memory is far, as a GPU's. */
const ig_backend *ig_torch_backend(int device_paths);

#ifdef __cplusplus
}
#endif

#endif
