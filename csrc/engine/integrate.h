/* integrate.h - Integrated Gradients of any number of images, baselines and targets.
 *
 * Sundararajan, Taly, Yan 2017 (arXiv 1703.01365): the attribution of a pixel is
 * (image - baseline) times the mean of F's gradient along the straight path between them. Here is
 * the schedule: which point of which path is evaluated when. The gradients come from a backend
 * (backend.h), the sums are kept by a path store, and the loops over pixels are kernels.
 *
 * The caller owns every buffer, of the request and of the result. On failure nothing is leaked and
 * the result's buffers hold rubbish. Any thread may call, without the GIL. `between` is called
 * after each batch, with the points evaluated so far (batches.h); it may be NULL.
 */
#ifndef INTGRAD_INTEGRATE_H
#define INTGRAD_INTEGRATE_H

#include "batches.h"

typedef struct {
    size_t count;
    const double *alphas; /* ascending */
    const double *weights;
    const double *half_weights; /* NULL: the rule has no error estimate */
} ig_nodes;

typedef struct {
    ig_shape shape;
    ig_output output;
    size_t image_count;         /* N */
    size_t baseline_count;      /* M, of each image */
    size_t target_count;        /* T, of each image */
    const float *images;        /* (N, H, W, C) */
    const float *baselines;     /* (N, M, H, W, C), or (M, H, W, C) for all images */
    int baselines_are_shared;   /* the latter */
    int baselines_are_a_sample; /* drawn at random: their spread belongs into the error map */
    const int64_t *targets;     /* (N, T) */
    ig_nodes nodes;
    size_t batch_size; /* points evaluated together */
} ig_request;

typedef struct {
    float *attributions; /* (N, T, H, W, C) */
    /* Standard deviations, or both NULL; they need half weights. */
    float *error_map;       /* (N, T, H, W, C), of each attribution */
    float *pixel_error_map; /* (N, T, H, W), of their mean over the channels */
    /* Each (N, T). Errors are relative to the norm of the attributions. */
    double *scores;
    double *baseline_scores;  /* mean over the baselines */
    double *sums;             /* of the attributions, before they are rounded to float32 */
    double *quadrature_error; /* NaN without half weights */
    double *baseline_error;   /* NaN with one baseline */
    size_t batch_size;        /* what memory allowed in the end */
} ig_result;

ig_status ig_integrate(const ig_backend *backend, ig_model *model, const ig_request *request,
                       ig_between between, void *context, ig_result *result, ig_error *error);

#endif
