/* draws.c - statistics and rounds of drawn paths. */
#include "draws.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "numbers.h"

enum {
    GROUP = 5,       /* paths whose variance is one value ... */
    SMALL_GROUP = 2, /* ... and where there are few */
    FEW = 4 * GROUP,
    FIRST_DRAWS = 16, /* before a standard error is believed */
    LEAST_MORE = 8
};

/* ---- Variances ----------------------------------------------------------------------------- */

static size_t count_values(const ig_work *w)
{
    return w->size * w->request->target_count;
}

ig_draw_totals *ig_draw_totals_create(const ig_work *w)
{
    ig_draw_totals *drawn = calloc(1, sizeof *drawn);
    const size_t bytes = count_values(w) * sizeof(double);
    if (!drawn)
        return NULL;
    drawn->group_size = w->request->draws->count < FEW ? SMALL_GROUP : GROUP;
    drawn->all = (ig_path_totals){.total = malloc(bytes), .spread = malloc(bytes)};
    drawn->group = (ig_path_totals){.total = malloc(bytes), .spread = malloc(bytes)};
    if (drawn->all.total && drawn->all.spread && drawn->group.total && drawn->group.spread)
        return drawn;
    ig_draw_totals_free(drawn);
    return NULL;
}

void ig_draw_totals_free(ig_draw_totals *drawn)
{
    if (!drawn)
        return;
    free(drawn->all.total);
    free(drawn->all.spread);
    free(drawn->group.total);
    free(drawn->group.spread);
    free(drawn);
}

static void clear(const ig_work *w, ig_path_totals totals)
{
    memset(totals.total, 0, count_values(w) * sizeof *totals.total);
    memset(totals.spread, 0, count_values(w) * sizeof *totals.spread);
}

void ig_draw_totals_clear(const ig_work *w, ig_draw_totals *drawn)
{
    drawn->count = drawn->in_group = 0;
    clear(w, drawn->all);
    clear(w, drawn->group);
}

/* The variance of so many paths, from their squared deviations; may be in place. */
static void find_variance(const double *spread, size_t paths, size_t count, double *ret_variance)
{
    for (size_t i = 0; i < count; i++)
        ret_variance[i] = spread[i] / (double)(paths - 1);
}

int ig_draw_totals_take(const ig_work *w, ig_draw_totals *drawn, double *sum)
{
    const size_t count = count_values(w);
    const ig_path_part part = {.sum = sum};
    ig_path_fold(part, ++drawn->count, count, drawn->all);
    ig_path_fold(part, ++drawn->in_group, count, drawn->group);
    if (drawn->in_group < drawn->group_size)
        return 0;
    find_variance(drawn->group.spread, drawn->group_size, count, sum);
    drawn->in_group = 0;
    clear(w, drawn->group);
    return 1;
}

void ig_draw_totals_variance(const ig_work *w, const ig_draw_totals *drawn, size_t target,
                             double *ret_variance)
{
    find_variance(drawn->all.spread + target * w->size, drawn->count, w->size, ret_variance);
}

double ig_draw_totals_share(const ig_draw_totals *drawn, size_t groups)
{
    return (double)((drawn->group_size - 1) * groups) / (double)(drawn->count - 1);
}

/* ---- Rounds -------------------------------------------------------------------------------- */

ig_round ig_first_round(const ig_work *w)
{
    const ig_draws *draws = w->request->draws;
    const int is_all = draws->tolerance == 0.0 || draws->is_stratified;
    return (ig_round){.end = is_all ? draws->count : ig_smaller(FIRST_DRAWS, draws->count),
                      .node_count = w->request->nodes.count,
                      .weight = 1.0,
                      .precision = 1.0};
}

/* `wanted` as a whole number from `least` to `most`; NaN and inf are `most`. */
static size_t bounded(double wanted, size_t least, size_t most)
{
    if (!(wanted < (double)most))
        return most;
    return wanted > (double)least ? (size_t)ceil(wanted) : ig_smaller(least, most);
}

/* Further draws: the squared error falls with their number. At most as many again, because the
 * estimate is one too. */
static int draw_more(const ig_draws *draws, double error, size_t evaluations, ig_round *round)
{
    const size_t done = round->end,
                 room = (draws->max_evaluations - evaluations) / round->node_count;
    const double wanted = 1.05 * (double)done * pow(error / draws->tolerance, 2) - (double)done;
    const size_t most = ig_smaller(ig_smaller(done, draws->count - done), room);
    round->first = done;
    round->end += bounded(wanted, LEAST_MORE, most);
    round->index++;
    return round->end > done;
}

/* All strata again: with n nodes a path the error of a round falls as 1 / n, so that rounds are
 * weighted with n^2, and one of them is most of what is wanted. */
static int draw_all_again(const ig_draws *draws, double error, size_t evaluations, size_t first,
                          ig_round *round)
{
    const size_t room = (draws->max_evaluations - evaluations) / draws->count;
    const double missing = round->precision * (pow(error / draws->tolerance, 2) - 1.0);
    const double wanted = 1.1 * (double)first * sqrt(fmax(missing, 0.0));
    const size_t nodes =
        bounded(wanted, round->node_count, ig_smaller(4 * round->node_count, room));
    if (nodes == 0 || round->index + 1 == draws->rounds)
        return 0;
    const double ratio = (double)nodes / (double)first;
    *round = (ig_round){.index = round->index + 1,
                        .first = round->end,
                        .end = round->end + draws->count,
                        .node_count = nodes,
                        .weight = ratio * ratio,
                        .precision = round->precision + ratio * ratio};
    return 1;
}

int ig_next_round(const ig_work *w, double error, size_t evaluations, ig_round *round)
{
    const ig_draws *draws = w->request->draws;
    if (error <= draws->tolerance)
        return 0;
    return draws->is_stratified
               ? draw_all_again(draws, error, evaluations, w->request->nodes.count, round)
               : draw_more(draws, error, evaluations, round);
}
