/* integrate.h - Integrated Gradients of any number of images, baselines and targets.
 *
 * Sundararajan, Taly, Yan 2017 (arXiv 1703.01365): the attribution of a pixel is
 * (image - baseline) times the mean of F's gradient along the straight path between them. Here is
 * the schedule: which point of which path is evaluated when. The gradients come from a backend
 * (backend.h), the sums are kept by a path store, and the loops over pixels are kernels.
 *
 * The caller owns every buffer, of the request and of the result. On failure nothing is leaked and
 * the result's buffers hold rubbish. Any thread may call, without the GIL. `between` is called
 * after each batch, with the points evaluated so far and their total, which is 0 where nobody knows
 * it yet (batches.h); it may be NULL.
 */
#ifndef INTGRAD_INTEGRATE_H
#define INTGRAD_INTEGRATE_H

#include "batches.h"
#include "rule.h"

/* Instead of given nodes: bisection until every target's quadrature error is at most `tolerance`
 * (refine.h), each image by itself. */
typedef struct {
    double tolerance;
    int by_region;          /* the error is that of the regions' attributions */
    size_t max_evaluations; /* of an image, all baselines together; at least IG_FIRST_NODES each */
    size_t most_retained;   /* gradients kept at a time, over all images; at least as many */
} ig_adaptive;

typedef struct {
    ig_shape shape;
    ig_output output;
    size_t image_count;         /* N */
    size_t first_image;         /* what messages call the first of them */
    size_t baseline_count;      /* M, of each image */
    size_t target_count;        /* T, of each image */
    const float *images;        /* (N, H, W, C) */
    const float *baselines;     /* (N, M, H, W, C), or (M, H, W, C) for all images */
    int baselines_are_shared;   /* the latter */
    int baselines_are_a_sample; /* drawn at random: their spread belongs into the error map */
    const int64_t *targets;     /* (N, T) */
    const ig_regions *regions;  /* (N), or NULL: none */
    ig_nodes nodes;
    const ig_adaptive *adaptive; /* NULL: the nodes are those given; else they are not looked at */
    size_t batch_size;           /* points evaluated together */
} ig_request;

typedef struct {
    float *attributions; /* (N, T, H, W, C) */
    float *gradients;    /* the same, at the images themselves; or NULL. Needs a node at alpha 1. */
    /* Standard deviations, or both NULL; they need an error estimate. */
    float *error_map;       /* (N, T, H, W, C), of each attribution */
    float *pixel_error_map; /* (N, T, H, W), of their mean over the channels */
    /* Of each image with R regions (T, R), one image after the other; or NULL without regions. */
    double *region_sums;      /* their attributions: sums over pixels and channels */
    float *region_deviations; /* their standard deviations; NULL without an error estimate */
    /* Each (N, T). Errors are relative to the norm of the attributions. */
    double *scores;
    double *baseline_scores;  /* mean over the baselines */
    double *sums;             /* of the attributions, before they are rounded to float32 */
    double *quadrature_error; /* NaN without half weights */
    double *baseline_error;   /* NaN with one baseline */
    double *region_error;     /* of the regions' attributions; or NULL without regions */
    /* Where adaptive: the nodes of an image's paths, one path after the other (N, max_evaluations),
     * and how many each path has (N, M). */
    double *alphas;
    int64_t *node_counts;
    size_t batch_size; /* what memory allowed in the end */
} ig_result;

ig_status ig_integrate(const ig_backend *backend, ig_model *model, const ig_request *request,
                       ig_between between, void *context, ig_result *result, ig_error *error);

#endif
