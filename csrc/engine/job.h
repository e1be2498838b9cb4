/* job.h - one image in work: which points it wants, and what its finished paths add up to.
 *
 * The schedule (integrate.c) takes points from its jobs, evaluates them in batches that mix images,
 * and hands them back:
 *
 *     ig_job *job = ig_job_create(&work);
 *     ig_job_start(&work, job, image, &error);
 *     while (!job->finished) {
 *         while (ig_job_wants(job)) ig_job_issue(&work, job, &point, &origin, &error);
 *         ... evaluate the points, then with the values (T) of each:
 *         ig_job_settle(&work, &origin, &point, values, &error);
 *     }
 *
 * With given nodes a path is streamed: it is folded into the job's totals and closed as soon as
 * its last point is settled. Of guided paths, whose pictures depend on the gradients before, the
 * job wants a point each at a time; of draws to a tolerance a round. With bisection all paths of
 * the job are retained, and are folded when they are exact enough. A finished job has written its
 * part of the result; it may be started again with another image.
 */
#ifndef INTGRAD_JOB_H
#define INTGRAD_JOB_H

#include "draws.h"
#include "refine.h"
#include "totals.h"
#include "work.h"

typedef struct {
    size_t image;
    size_t issued, settled; /* points */
    size_t decided;         /* points that are wanted as far as is known */
    int finished;
    /* Paths are numbered in the order they are opened and closed in: open are those from `closed`
     * on and before `opened`. Path k is at k % path_count. */
    size_t path_count;
    size_t *paths;    /* numbers in the store */
    float **pictures; /* drawn for open paths, owned; NULL where none are */
    size_t opened, closed;
    ig_round round;            /* of draws */
    ig_refinement *refinement; /* NULL: the nodes are given */
    ig_totals totals;
} ig_job;

/* Where a point came from. */
typedef struct {
    ig_job *job;
    size_t path;
    int ends_path; /* the last of the given nodes */
} ig_origin;

/* NULL may be freed. */
ig_job *ig_job_create(const ig_work *work); /* NULL when memory is short */
void ig_job_free(ig_job *job);

ig_status ig_job_start(const ig_work *work, ig_job *job, size_t image, ig_error *error);

static inline int ig_job_wants(const ig_job *job)
{
    return job->issued < job->decided;
}

ig_status ig_job_issue(const ig_work *work, ig_job *job, ig_point *ret_point, ig_origin *ret_origin,
                       ig_error *error);
ig_status ig_job_settle(const ig_work *work, const ig_origin *origin, const ig_point *point,
                        const double *values, ig_error *error);

/* Closes its paths, so that the gradients they retain are freed. To be started again. */
void ig_job_abandon(const ig_work *work, ig_job *job);

#endif
