/* integrate.c - the schedule of path integrals.
 *
 * Every image is a job (job.h) that wants points evaluated. Batches are filled from the oldest job
 * first and run on into the next image, so that only the very last is short; where images are kept
 * apart, each one's are as even as can be. A job that is finished is used again. Memory is
 * therefore that of the jobs in one batch, whatever the number of images and nodes, and where
 * gradients are retained, of as many as the request allows.
 */
#include "integrate.h"

#include <stdlib.h>
#include <string.h>

#include "job.h"

typedef struct {
    const ig_backend *backend;
    ig_model *model;
    const ig_request *request;
    ig_result *result;
    ig_work work;
    ig_job **jobs; /* active_count in work, oldest first, then those to be used again */
    size_t job_count, active_count, next_image;
    size_t retained; /* gradients of the jobs in work, where they are adaptive */
    /* The batch; each holds request->batch_size, which is what a batch starts with. */
    ig_point *points;
    ig_origin *origins;
    double *values; /* (batch, T) */
} schedule;

static ig_status no_memory(ig_error *error)
{
    return ig_fail(error, IG_NO_MEMORY, "out of memory for a batch of points");
}

static ig_status set_up(schedule *s, ig_error *error)
{
    const size_t batch_size = s->request->batch_size;
    s->jobs = calloc(batch_size + 1, sizeof *s->jobs);
    s->points = malloc(batch_size * sizeof *s->points);
    s->origins = malloc(batch_size * sizeof *s->origins);
    s->values = malloc(batch_size * s->request->target_count * sizeof *s->values);
    if (!s->jobs || !s->points || !s->origins || !s->values)
        return no_memory(error);
    return ig_work_set_up(&s->work, s->backend, s->model, s->request, s->result, error);
}

static void tear_down(schedule *s)
{
    ig_work_tear_down(&s->work);
    for (size_t j = 0; j < s->job_count; j++)
        ig_job_free(s->jobs[j]);
    free(s->jobs);
    free(s->points);
    free(s->origins);
    free(s->values);
}

/* ---- Filling a batch ----------------------------------------------------------------------- */

/* Takes the next image into work. */
static ig_status start_job(schedule *s, ig_error *error)
{
    if (s->active_count == s->job_count) {
        s->jobs[s->job_count] = ig_job_create(&s->work);
        if (!s->jobs[s->job_count])
            return no_memory(error);
        s->job_count++;
    }
    return ig_job_start(&s->work, s->jobs[s->active_count++], s->next_image++, error);
}

/* Forgets what the youngest job has retained: it starts again when there is room. */
static ig_status evict_youngest(schedule *s, ig_error *error)
{
    size_t j = s->active_count - 1;
    while (s->jobs[j]->issued == 0)
        j--;
    s->retained -= s->jobs[j]->issued;
    ig_job_abandon(&s->work, s->jobs[j]);
    return ig_job_start(&s->work, s->jobs[j], s->jobs[j]->image, error);
}

/* Whether a job may retain another gradient now. The oldest always may, if need be at the cost of
 * the youngest, so that it gets done. A job begins only while half of the memory is free, so that
 * this is rare. */
static int has_room(const schedule *s, size_t j)
{
    if (!s->request->adaptive || j == 0)
        return 1;
    const size_t most = s->request->adaptive->most_retained;
    return s->retained < (s->jobs[j]->issued ? most : most / 2);
}

static ig_status issue_point(schedule *s, size_t j, size_t slot, ig_error *error)
{
    if (s->request->adaptive) {
        if (s->retained == s->request->adaptive->most_retained) {
            const ig_status status = evict_youngest(s, error);
            if (status != IG_OK)
                return status;
        }
        s->retained++;
    }
    return ig_job_issue(&s->work, s->jobs[j], &s->points[slot], &s->origins[slot], error);
}

/* The first of as few batches of at most `limit` as hold all points that a job wants, which are
 * some; they differ by one at most. */
static size_t even_batch(const ig_job *job, size_t limit)
{
    const size_t wanted = job->decided - job->issued, batches = 1 + (wanted - 1) / limit;
    return 1 + (wanted - 1) / batches;
}

/* Fills a batch of up to `limit` points from the jobs in work, starting new ones as needed. */
static ig_status fill_batch(schedule *s, size_t limit, size_t *ret_n, ig_error *error)
{
    size_t n = 0;
    ig_status status = IG_OK;
    for (size_t j = 0; status == IG_OK && n < limit; j++) {
        if (j == s->active_count) {
            if (s->next_image == s->request->image_count)
                break;
            status = start_job(s, error);
        }
        if (status == IG_OK && s->request->apart && ig_job_wants(s->jobs[j]))
            limit = even_batch(s->jobs[j], limit);
        while (status == IG_OK && n < limit && ig_job_wants(s->jobs[j]) && has_room(s, j))
            status = issue_point(s, j, n++, error);
        if (status == IG_OK && (s->request->apart || ig_job_wants(s->jobs[j])))
            break;
    }
    *ret_n = n;
    return status;
}

/* ---- Evaluating it ------------------------------------------------------------------------- */

/* Says which image and point of its path a failure belongs to. */
static void locate(const schedule *s, size_t point, ig_error *error)
{
    const ig_origin *from = &s->origins[point];
    const ig_error cause = *error;
    ig_fail(error, cause.code, "image %zu, %s %zu, alpha %.6g: %.900s",
            ig_image_number(s->request, from->job->image), s->request->draws ? "draw" : "baseline",
            from->path, s->points[point].alpha, cause.message);
}

/* Evaluates the batch. Where memory is short it frees what is cached, halves the batch and goes
 * on where it stopped: no gradient is lost or computed twice. */
static ig_status evaluate_batch(schedule *s, size_t n, ig_error *error)
{
    const size_t targets = s->request->target_count;
    size_t *batch_size = &s->result->batch_size;
    for (size_t from = 0; from < n;) {
        const size_t m = n - from < *batch_size ? n - from : *batch_size;
        size_t done, point;
        const ig_status status = s->work.store->evaluate(
            s->work.paths, s->points + from, m, s->values + from * targets, &done, &point, error);
        if (status == IG_OK) {
            from += m;
        } else if (status == IG_NO_MEMORY && ig_halve_batch(s->backend, s->model, m, batch_size)) {
            from += done;
        } else {
            if (point < m)
                locate(s, from + point, error);
            return status;
        }
    }
    return IG_OK;
}

/* Moves finished jobs behind those in work. */
static void retire_jobs(schedule *s)
{
    for (size_t j = s->active_count; j-- > 0;) {
        ig_job *job = s->jobs[j];
        if (!job->finished)
            continue;
        s->retained -= s->request->adaptive ? job->issued : 0;
        s->active_count--;
        memmove(s->jobs + j, s->jobs + j + 1, (s->active_count - j) * sizeof *s->jobs);
        s->jobs[s->active_count] = job;
    }
}

/* 0 where nobody knows it yet. */
static size_t count_points(const schedule *s)
{
    const ig_request *request = s->request;
    if (request->adaptive || (request->draws && request->draws->tolerance > 0.0))
        return 0;
    return request->image_count * s->work.path_count * request->nodes.count;
}

static ig_status run(schedule *s, ig_between between, void *context, ig_error *error)
{
    const ig_request *request = s->request;
    const size_t total = count_points(s);
    for (size_t done = 0; s->active_count || s->next_image < request->image_count;) {
        size_t n;
        ig_status status = fill_batch(s, s->result->batch_size, &n, error);
        if (status == IG_OK)
            status = evaluate_batch(s, n, error);
        for (size_t k = 0; status == IG_OK && k < n; k++)
            status = ig_job_settle(&s->work, &s->origins[k], &s->points[k],
                                   s->values + k * request->target_count, error);
        if (status != IG_OK)
            return status;
        retire_jobs(s);
        done += n;
        if (between && between(context, done, total))
            return IG_PENDING;
    }
    return IG_OK;
}

/* ---- End points ---------------------------------------------------------------------------- */

/* Some pictures whose F is wanted at the targets of the images they belong to. */
typedef struct {
    const float *pixels;
    size_t count;
    size_t per_image; /* picture k belongs to image k / per_image, ... */
    int for_all;      /* ... or to every image */
    double weight;
    double *ret_scores; /* (N, T), added to */
    const char *what;   /* what messages call the first of them */
    size_t first;
} end_points;

static ig_status add_scores(const schedule *s, const end_points *ends, size_t picture,
                            const float *scores, size_t num_classes, ig_error *error)
{
    const size_t targets = s->request->target_count;
    const size_t first = ends->for_all ? 0 : picture / ends->per_image;
    const size_t last = ends->for_all ? s->request->image_count : first + 1;
    for (size_t cell = first * targets; cell < last * targets; cell++) {
        const int64_t target = s->request->targets[cell];
        if (target < 0 || (uint64_t)target >= num_classes)
            return ig_fail(error, IG_OUT_OF_RANGE, "target %lld is out of range: %zu classes",
                           (long long)target, num_classes);
        ends->ret_scores[cell] += ends->weight * (double)scores[target];
    }
    return IG_OK;
}

/* Every gradient has been computed when end points are: for them the total stays as it was. */
typedef struct {
    ig_between between;
    void *context;
    size_t total;
} all_done;

static int between_ends(void *context, size_t done, size_t total)
{
    const all_done *points = context;
    (void)done;
    (void)total;
    return points->between(points->context, points->total, points->total);
}

static ig_status score_pictures(schedule *s, const end_points *ends, all_done *points,
                                ig_error *error)
{
    const ig_batches work = {.backend = s->backend,
                             .model = s->model,
                             .shape = s->request->shape,
                             .output = s->request->output,
                             .between = points->between ? between_ends : NULL,
                             .context = points,
                             .what = ends->what,
                             .first = ends->first};
    ig_description about;
    ig_status status = s->backend->describe(s->model, work.shape, &about, error);
    if (status != IG_OK)
        return status;
    float *scores = malloc(ends->count * about.num_classes * sizeof *scores);
    if (!scores)
        return no_memory(error);
    size_t one = 1;
    status = ig_scores(&work, ends->pixels, ends->count, about.num_classes,
                       s->request->apart ? &one : &s->result->batch_size, scores, error);
    for (size_t k = 0; status == IG_OK && k < ends->count; k++)
        status = add_scores(s, ends, k, scores + k * about.num_classes, about.num_classes, error);
    free(scores);
    return status;
}

/* F at the ends of the paths, where the rule has no node there that gave it for free. */
static ig_status score_ends(schedule *s, ig_between between, void *context, ig_error *error)
{
    const ig_request *request = s->request;
    const size_t m = request->baseline_count, n = request->image_count;
    const end_points images = {request->images,     n, 1, 0, 1.0, s->result->scores, "image",
                               request->first_image};
    const end_points baselines = {request->baselines,
                                  request->baselines_are_shared ? m : m * n,
                                  m,
                                  request->baselines_are_shared,
                                  1.0 / (double)m,
                                  s->result->baseline_scores,
                                  "baseline",
                                  0};
    all_done points = {between, context, count_points(s)};
    ig_status status = IG_OK;
    if (request->adaptive)
        return IG_OK;
    if (!s->work.scores_at_end || request->nodes.alphas[request->nodes.count - 1] != 1.0)
        status = score_pictures(s, &images, &points, error);
    if (status == IG_OK && request->baselines &&
        (!s->work.scores_at_start || request->nodes.alphas[0] != 0.0))
        status = score_pictures(s, &baselines, &points, error);
    return status;
}

/* ---- The door ------------------------------------------------------------------------------ */

ig_status ig_integrate(const ig_backend *backend, ig_model *model, const ig_request *request,
                       ig_between between, void *context, ig_result *result, ig_error *error)
{
    schedule s = {.backend = backend, .model = model, .request = request, .result = result};
    const size_t cells = request->image_count * request->target_count;
    memset(result->scores, 0, cells * sizeof *result->scores);
    memset(result->baseline_scores, 0, cells * sizeof *result->baseline_scores);
    result->batch_size = request->batch_size;
    ig_status status = set_up(&s, error);
    if (status == IG_OK)
        status = run(&s, between, context, error);
    if (status == IG_OK)
        status = score_ends(&s, between, context, error);
    tear_down(&s);
    return status;
}
