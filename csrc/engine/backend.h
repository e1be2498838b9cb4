/* backend.h - the only door between the engine and whatever computes gradients.
 *
 * A backend is a table of functions (ig_backend) and an opaque model. The engine knows nothing of
 * torch or Python: it asks for scores and gradients of pictures, in pixel space, and sums them.
 * There are two backends: torch/torch_backend.cpp (TorchScript) and binding/callable_backend.c
 * (any Python callable). Synopsis, for a model with the output kind chosen by the user:
 *
 *     ig_description about;
 *     backend->describe(model, shape, &about, &error);            // runs one black picture
 *     backend->scores(model, pixels, n, shape, IG_SOFTMAX, ret_scores, &error);
 *     ig_pick pick = {.row = 0, .target = 3};
 *     backend->gradients(model, pixels, n, shape, &pick, 1, IG_LOGIT, &value, ret_gradients,
 * &error);
 *
 * Rules of the door:
 *   - Pictures are (n, H, W, C) float32, C contiguous, 0..255. Preprocessing is the backend's.
 *   - Every pointer is borrowed for the duration of the call unless its comment says otherwise.
 *     Results go to buffers named ret_*, which the caller owns and has sized as the comment says.
 *   - Every entry that can fail returns a status and fills `error`; nothing is ever thrown across.
 *   - A call may come from any thread, without the GIL; calls on one model may run side by side.
 *   - New entries are added at the end, and `size` tells which a table has.
 */
#ifndef INTGRAD_BACKEND_H
#define INTGRAD_BACKEND_H

#include <stddef.h>
#include <stdint.h>

#include "status.h"

#ifdef __cplusplus
extern "C" {
#endif

#define IG_ABI_VERSION 3

/* Opaque: only the backend that made it knows what it is. */
typedef struct ig_model ig_model;

/* F, the function that is differentiated, as seen from the logits. */
typedef enum { IG_SOFTMAX, IG_LOG_SOFTMAX, IG_LOGIT, IG_SIGMOID } ig_output;

/* One picture. */
typedef struct {
    size_t height, width, channels;
} ig_shape;

static inline size_t ig_shape_size(ig_shape shape)
{
    return shape.height * shape.width * shape.channels;
}

/* Parts of a picture; they hold every pixel once. */
typedef struct {
    const int32_t *labels; /* (H, W), 0 .. count - 1 */
    size_t count;          /* 0: there are none */
} ig_regions;

typedef struct {
    size_t num_classes;
    char device[64]; /* "cpu", "cuda:0" */
} ig_description;

/* One gradient to compute: of F[row, target] with respect to picture `row`. */
typedef struct {
    size_t row;
    int64_t target;
} ig_pick;

/* ---- Path store -----------------------------------------------------------------------------
 *
 * A path runs from a baseline (alpha 0) to an image (alpha 1) and belongs to T targets, which
 * share its forward passes. The store makes its pictures, asks for gradients and keeps their
 * weighted sums, wherever that is cheapest: engine/host_path.c does it in host memory over
 * `gradients`; a backend whose gradients are born on a device may keep everything there and
 * override it.
 *
 * A path is a polyline of pictures x_0 .. x_n with gradients g_k. Attributions are the integral
 * along it by the trapezoid, sum_k (x[k+1] - x[k]) * (g[k] + g[k+1]) / 2, value by value. On a
 * straight line the distances are all one, (image - baseline), so that it is enough to sum up
 * weighted gradients, by any rule.
 *
 * A path is either streamed (the final weights are known when a point is evaluated, nothing is
 * kept but the sums) or retained (every gradient is kept until the path is closed, weights are
 * given when the sums are read, so that nodes can be added where the gradient jumps).
 */
typedef struct ig_paths ig_paths; /* opaque: a store, with its paths numbered from 0 */

/* What pictures a path goes through. */
typedef enum {
    IG_STRAIGHT, /* baseline + alpha * (image - baseline) */
    IG_BLUR,     /* the image blurred, by less and less: Xu et al. 2020, arXiv 2004.03383 */
    IG_GUIDED,   /* each moves the pixels of least gradient: kernels.h, ig_guided_step */
    IG_STAY      /* the image itself: attributions are the gradient, of no path */
} ig_curve_kind;

typedef struct {
    ig_curve_kind kind;
    /* The authors' sums for IG_BLUR and IG_GUIDED: sum_k of what the picture moves by at node k
     * times g_k. Blurring then goes linearly with alpha, not with its square, and moves by a finite
     * difference of 0.01 in sigma. */
    int is_left;
    size_t steps; /* of IG_GUIDED and where is_left: nodes are at multiples of 1 / steps */
    double sigma; /* IG_BLUR: standard deviation at alpha 0, in pixels */
    double fraction, max_distance; /* IG_GUIDED */
} ig_curve;

/* The step of sigma by which the authors' code finds how a blurred picture moves. */
#define IG_BLUR_DIFFERENCE 0.01

/* Whether the pictures are not simply between those at the ends. */
static inline int ig_is_curve(const ig_curve *curve)
{
    return curve->kind == IG_BLUR || curve->kind == IG_GUIDED;
}

/* Of IG_BLUR at a node. */
static inline double ig_curve_sigma(const ig_curve *curve, double alpha)
{
    const double away = 1.0 - alpha;
    return curve->sigma * (curve->is_left ? away : away * away);
}

/* Which of the steps begins at a node. */
static inline size_t ig_curve_step(const ig_curve *curve, double alpha)
{
    return (size_t)(alpha * (double)curve->steps + 0.5);
}

/* What a node contributes to each of a path's sums. On a curve only which of them are 0 matters:
 * a half_weight where T_half leaves the node out, a jump_weight at the first node. */
typedef struct {
    double weight;      /* to T, the rule's own estimate of the mean gradient */
    double half_weight; /* to T_half, the same rule on every other node */
    double jump_weight; /* of the squared jump since the node before, in the jump variance */
} ig_weights;

typedef struct {
    size_t path;
    double alpha;
    ig_weights weights; /* unused where the path is retained */
} ig_point;

/* What the sums of a path are written to, owned by the caller: each (T, H, W, C) but pixel_jumps,
 * which is (T, H, W), and region_jumps, (T, regions of the path). All but `sum` are NULL where the
 * store was created without them. All but `gradient` are attributions: with J the gradient less
 * that at the node before, times what the picture moved by: */
typedef struct {
    double *sum;          /* T */
    double *half;         /* T_half */
    double *jumps;        /* sum of h^2 J^2 / 12, the variance of T where J is Brownian */
    double *pixel_jumps;  /* the same of the channel means of h J */
    double *region_jumps; /* the same of their sums over regions */
    float *gradient;      /* the gradient at the node of alpha 1, which the path must have */
} ig_sums;

/* Squared norms of the attributions that retained paths add up to, for one target. */
typedef struct {
    double square;            /* ||T||^2 */
    double difference_square; /* ||T - T_half||^2 */
} ig_norms;

/* What a store on a device needs of kernels.h, whose functions no backend links. */
typedef struct {
    void (*blur_weights)(double sigma, size_t length, double *ret_weights);
    size_t (*guided_scratch)(size_t count);
    void (*guided_step)(const float *gradient, const float *image, const float *baseline,
                        size_t count, size_t step, size_t steps, double fraction,
                        double max_distance, float *scratch, double *position);
} ig_curve_kernels;

typedef struct {
    ig_shape shape;
    size_t target_count; /* T, at least 1 */
    ig_output output;
    ig_curve curve; /* of all paths */
    const ig_curve_kernels *kernels;
    int with_half;
    int with_jumps;
    int with_region_jumps;
    int with_gradient;
    int by_region; /* jump_norms and assess go by the sums of regions, which all paths have */
} ig_paths_config;

typedef struct {
    /* A new store, owned by the caller until `destroy`. `model` must outlive it. */
    ig_status (*create)(ig_model *model, const ig_paths_config *config, ig_paths **ret_paths,
                        ig_error *error);
    /* A new path. `image` and `baseline` (H, W, C), `targets` (T) and the labels of `regions` stay
     * borrowed until `close`. Numbers of closed paths are used again. */
    ig_status (*open)(ig_paths *paths, const float *image, const float *baseline,
                      const int64_t *targets, ig_regions regions, int retain, size_t *ret_path,
                      ig_error *error);
    /* Evaluates n points, which may belong to any open paths; the points of a streamed path must
     * come in the order of their alphas, and one at a time where it is IG_GUIDED. ret_values (n, T)
     * receives F at each point. On failure *ret_point is the point at fault, or n where it was no
     * single one's. IG_NO_MEMORY leaves *ret_done points evaluated (0 on any other failure: the
     * work is over): go on after them. */
    ig_status (*evaluate)(ig_paths *paths, const ig_point *points, size_t n, double *ret_values,
                          size_t *ret_done, size_t *ret_point, ig_error *error);
    /* ||(g[k+1] - g[k]) * (x[k+1] - x[k])|| / (alpha[k+1] - alpha[k]) over all targets, between the
     * retained nodes in the order of their alphas: one double fewer than the path has nodes. By
     * region, the norm is that of the regions' sums, here and in what `assess` gives. */
    ig_status (*jump_norms)(ig_paths *paths, size_t path, double *ret_norms, ig_error *error);
    /* What the n retained paths of one image come to together: ret_norms (T). weights[k] are those
     * of path k, one for each of its nodes in the order of their alphas. */
    ig_status (*assess)(ig_paths *paths, const size_t *members, const ig_weights *const *weights,
                        size_t n, ig_norms *ret_norms, ig_error *error);
    /* The sums of a path. `weights`, one for each node in the order of alphas, where the path is
     * retained; NULL where it was streamed. */
    ig_status (*read)(ig_paths *paths, size_t path, const ig_weights *weights, ig_sums ret_sums,
                      ig_error *error);
    void (*close)(ig_paths *paths, size_t path);
    void (*destroy)(ig_paths *paths);
} ig_path_store;

/* ---- Backend ---------------------------------------------------------------------------------*/

typedef struct {
    uint32_t abi_version; /* IG_ABI_VERSION */
    size_t size;          /* sizeof(ig_backend) when the backend was compiled */

    /* What the model gives, found by running one black picture of `shape` if it has not run yet. It
     * gives the same number of classes ever after, or fails. */
    ig_status (*describe)(ig_model *model, ig_shape shape, ig_description *ret_description,
                          ig_error *error);
    /* Forward only: ret_scores (n, num_classes). */
    ig_status (*scores)(ig_model *model, const float *pixels, size_t n, ig_shape shape,
                        ig_output output, float *ret_scores, ig_error *error);
    /* Forward and backward: for each of the m picks, in ascending order of row, F[row, target] to
     * ret_values (m) and its gradient to ret_gradients (m, H, W, C). Picks of a row share its
     * forward pass. */
    ig_status (*gradients)(ig_model *model, const float *pixels, size_t n, ig_shape shape,
                           const ig_pick *picks, size_t m, ig_output output, float *ret_values,
                           float *ret_gradients, ig_error *error);
    /* Frees what is only cached; called after IG_NO_MEMORY, before a retry. */
    void (*trim)(ig_model *model);
    /* Frees the model. The last call; NULL where Python does that, as it does with callables. */
    void (*destroy)(ig_model *model);
    /* NULL: the engine's host store over `gradients` is used. */
    const ig_path_store *paths;
    /* Runs `gradients` on n black pictures: *ret_peak is how many bytes of the device's memory it
     * took at the most beyond what was held before, *ret_free how many could be had now. Both are
     * 0, or the entry is NULL, where the device does not tell, as a CPU. */
    ig_status (*memory)(ig_model *model, ig_shape shape, size_t n, size_t *ret_peak,
                        size_t *ret_free, ig_error *error);
} ig_backend;

#ifdef __cplusplus
}
#endif

#endif
