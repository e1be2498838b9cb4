/* work.h - what the images of one request share: the path store, weights, scratch.
 *
 *     ig_work work;
 *     if (ig_work_set_up(&work, backend, model, &request, &result, &error) == IG_OK) ...
 *     ig_work_tear_down(&work); // in any case
 *
 * It borrows the request, the result and the model, and owns the rest.
 */
#ifndef INTGRAD_WORK_H
#define INTGRAD_WORK_H

#include "integrate.h"

typedef struct {
    const ig_request *request;
    ig_result *result;
    const ig_path_store *store;
    ig_paths *paths;
    size_t size, pixels;                /* values and pixels of a picture */
    size_t path_count;                  /* of an image (and round, where they are drawn) */
    size_t most_regions;                /* that a picture has */
    size_t *region_starts;              /* (N), regions of the images before */
    int with_jumps;                     /* errors are told apart by pixel, channel or region */
    int has_estimate;                   /* there is a T_half */
    int scores_at_start, scores_at_end; /* the first and last nodes of paths give those of result */
    int retain;          /* gradients are kept: the nodes are uneven, so that their jumps matter */
    ig_weights *weights; /* of the given nodes */
    /* Scratch. */
    double *jump_norms;              /* of a path on the given nodes */
    ig_sums sums;                    /* of a path */
    double *pixel_means;             /* twice a value for every pixel */
    double *region_sums;             /* twice a value for every region */
    ig_norms *norms;                 /* (T) */
    const ig_weights **path_weights; /* (M) */
} ig_work;

ig_status ig_work_set_up(ig_work *work, const ig_backend *backend, ig_model *model,
                         const ig_request *request, ig_result *result, ig_error *error);
void ig_work_tear_down(ig_work *work);

static inline const float *ig_image_of(const ig_work *work, size_t image)
{
    return work->request->images + image * work->size;
}

static inline ig_regions ig_regions_of(const ig_work *work, size_t image)
{
    return work->request->regions ? work->request->regions[image] : (ig_regions){NULL, 0};
}

/* Where a path begins; draws from one baseline all begin there. */
static inline const float *ig_baseline_of(const ig_work *work, size_t image, size_t path)
{
    const size_t baseline = work->request->draws ? 0 : path;
    const size_t set = work->request->baselines_are_shared ? 0 : image;
    return work->request->baselines + (set * work->request->baseline_count + baseline) * work->size;
}

#endif
