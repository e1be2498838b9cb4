/* integrate.h - path integrals of the gradient, of any number of images, paths and targets.
 *
 * Sundararajan, Taly, Yan 2017 (arXiv 1703.01365): the attribution of a pixel is
 * (image - baseline) times the mean of F's gradient along the straight path between them. Curves
 * (backend.h) integrate along others, and draws average over paths that are drawn at random. Here
 * is the schedule: which point of which path is evaluated when. The gradients come from a backend
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

/* Writes drawn picture `number` of an image, which any status but IG_OK fails. */
typedef ig_status (*ig_draw_picture)(void *context, size_t image, size_t number, float *ret_picture,
                                     ig_error *error);

/* What is made of the paths: their mean, that of their squares, or their variance. */
typedef enum { IG_MEAN, IG_SQUARE, IG_VARIANCE } ig_statistic;

/* Instead of a path from each baseline: paths that are drawn at random, whose spread is the error.
 *
 * Adjacent paths may be strata, such as those of one reference: only what differs within a stratum
 * is error. A tolerance then draws all strata again, with more nodes, until it is reached; else
 * further paths. */
typedef struct {
    size_t count;         /* D, paths of an image and a round, at most */
    int is_stratified;    /* else they are one stratum */
    size_t per_stratum;   /* where there are several; at least 2, and D a multiple of it */
    ig_draw_picture draw; /* where paths end, or begin if `starts` are not NULL: one picture for a
                             path, or for each stratum */
    void *context;
    const double *starts; /* (rounds, D) in [0, 1): the nodes of a path are (k + start) / count, of
                             equal weight, and not the request's */
    size_t rounds;        /* that there are starts for */
    ig_statistic statistic; /* but IG_MEAN only of one stratum */
    double tolerance;       /* relative standard error; 0: all D paths, once */
    int by_region;          /* the error is that of the regions */
    size_t max_evaluations; /* of an image; with a tolerance */
} ig_draws;

typedef struct {
    ig_shape shape;
    ig_output output;
    ig_curve curve;
    size_t image_count;         /* N */
    size_t first_image;         /* what messages call the first of them */
    size_t per_image;           /* how many of them messages count as one */
    size_t baseline_count;      /* M, of each image */
    size_t target_count;        /* T, of each image */
    const float *images;        /* (N, H, W, C) */
    const float *baselines;     /* (N, M, H, W, C), or (M, H, W, C) for all images. Draws begin at
                                   the first, or have none where those are drawn */
    int baselines_are_shared;   /* the latter */
    int baselines_are_a_sample; /* drawn at random: their spread belongs into the error map */
    const int64_t *targets;     /* (N, T) */
    const ig_regions *regions;  /* (N), or NULL: none */
    ig_nodes nodes;
    const ig_adaptive *adaptive; /* NULL: the nodes are those given; else they are not looked at */
    const ig_draws *draws;       /* NULL: a path from each baseline */
    size_t batch_size;           /* points evaluated together */
    int apart; /* each image has batches of its own, for in a larger one a network's kernels may
                  round otherwise: its bits are then the same whatever is beside it */
} ig_request;

typedef struct {
    float *attributions; /* (N, T, H, W, C) */
    float *gradients;    /* the same, at the images themselves; or NULL. Needs a node at alpha 1. */
    /* Standard deviations, or both NULL; they need an error estimate, or draws. */
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
    double *baseline_error;   /* standard error over the paths; NaN with one */
    double *region_error;     /* of the regions' attributions; or NULL without regions */
    /* Where adaptive: the nodes of an image's paths, one path after the other (N, max_evaluations),
     * and how many each path has (N, M). */
    double *alphas;
    int64_t *node_counts;
    int64_t *evaluations; /* (N), gradients of draws; or NULL */
    size_t batch_size;    /* what memory allowed in the end */
} ig_result;

/* What messages call an image. */
static inline size_t ig_image_number(const ig_request *request, size_t image)
{
    return request->first_image + image / request->per_image;
}

ig_status ig_integrate(const ig_backend *backend, ig_model *model, const ig_request *request,
                       ig_between between, void *context, ig_result *result, ig_error *error);

#endif
