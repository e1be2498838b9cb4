/* fuzz_engine.c - the schedule: any number of images, baselines, targets and nodes, any batch size,
 * fixed nodes or a tolerance, and a model that fails at any call in any way, or is cancelled.
 *
 * What comes out well is what one point at a time gives, and adds up to what is known of the cubic
 * model; what does not says why.
 */
#include "c/problem.h"
#include "input.h"

static problem_size take_problem(fuzz_input *in)
{
    problem_size size = {
        .images = take_size(in, 1, 4),
        .baselines = take_size(in, 1, 3),
        .targets = take_size(in, 1, 3),
        .baselines_are_shared = take_byte(in) & 1,
        .baselines_are_a_sample = take_byte(in) & 1,
        .shape = {take_size(in, 1, 3), take_size(in, 1, 3), take_size(in, 1, 4)},
        .rule = (ig_rule)take_size(in, IG_TRAPEZOID, IG_GAUSS_LEGENDRE),
        .steps = take_size(in, 1, 12),
        .adaptive = take_byte(in) & 1,
        .gradient = take_byte(in) & 1,
        .error_map = take_byte(in) & 1,
        .batch_size = take_size(in, 1, 20),
        .seed = take_byte(in),
    };
    if (size.adaptive) {
        size.rule = IG_TRAPEZOID;
        size.steps = 2;
        size.tolerance = pow(10.0, -(double)take_size(in, 0, 9));
        size.max_evaluations = 9 * size.baselines + take_byte(in);
        size.most_retained = size.max_evaluations + take_byte(in);
    } else if (size.rule != IG_TRAPEZOID) {
        size.error_map = 0;
        size.gradient &= size.rule == IG_RIGHT;
    }
    size.error_map &= size.adaptive || size.steps >= 2;
    return size;
}

/* A path that is not straight, where the rest allows it. */
static void take_curve(fuzz_input *in, problem_size *size)
{
    const int left = size->rule == IG_LEFT || size->rule == IG_RIGHT;
    size->curve = (ig_curve){.kind = take_byte(in) & 1 ? IG_BLUR : IG_GUIDED,
                             .steps = size->steps,
                             .sigma = fabs(take_within(in, 20.0)),
                             .fraction = fabs(take_within(in, 1.0)),
                             .max_distance = fabs(take_within(in, 1.0))};
    if (left) {
        size->curve.is_left = 1;
        size->rule = size->curve.kind == IG_BLUR ? IG_RIGHT : IG_LEFT;
        size->gradient &= size->curve.kind == IG_BLUR;
    } else if (size->rule != IG_TRAPEZOID || (size->adaptive && size->curve.kind == IG_GUIDED)) {
        size->curve.kind = IG_STRAIGHT;
    }
    if (size->curve.kind == IG_GUIDED) /* each target has a path of its own */
        size->targets = 1;
}

/* Drawn paths from one baseline, from drawn ones, or none: gradients of drawn pictures. */
static void take_draws(fuzz_input *in, problem_size *size)
{
    static const double tolerances[] = {0.0, 1e-9, 0.1, 1.0};
    const uint8_t kind = take_byte(in) % 3;
    size->adaptive = 0;
    size->gradient = 0;
    size->baselines = 1;
    size->baselines_are_a_sample = 1;
    size->error_map = take_byte(in) & 1;
    size->draw_tolerance = tolerances[take_byte(in) % 4];
    size->draws = take_size(in, 1, 30);
    if (kind == 0) {
        size->draws_are_starts = 1;
        size->draws_per_stratum = take_byte(in) & 1 ? take_size(in, 2, 4) : 0;
        if (size->draws_per_stratum)
            size->draws = size->draws_per_stratum * take_size(in, 1, 5);
        size->draw_rounds = size->draws_per_stratum ? take_size(in, 1, 6) : 1;
        return;
    }
    size->statistic = (ig_statistic)(take_byte(in) % 3);
    if (size->statistic == IG_VARIANCE)
        size->draws += 3;
    if (kind == 1) {
        size->curve.kind = IG_STAY;
        size->rule = IG_RIGHT;
        size->steps = 1;
    }
}

/* Along a path the gradient is quadratic in alpha: Gauss-Legendre with two nodes is exact, and so
 * is a trapezoid of n intervals but for (g'(1) - g'(0)) / (12 n^2), by Euler and Maclaurin. */
static void require_known_integrals(const problem *p)
{
    const problem_size *size = &p->size;
    const size_t values = ig_shape_size(size->shape), m = size->baselines;
    const double n = (double)size->steps;
    for (size_t cell = 0; cell < size->images * size->targets; cell++) {
        const size_t image = cell / size->targets;
        const int64_t target = p->request.targets[cell];
        const float *x = p->request.images + image * values;
        const float *stack =
            p->request.baselines + (size->baselines_are_shared ? 0 : image * m * values);
        double at_baselines = 0.0, third = 0.0;
        for (size_t k = 0; k < m * values; k++)
            third += pow((double)x[k % values] - (double)stack[k], 3.0) / (double)m;
        for (size_t k = 0; k < m; k++)
            at_baselines += cubic_score(stack + k * values, values, target) / (double)m;
        const double score = cubic_score(x, values, target);
        const double limit = 1e-4 * (1.0 + fabs(score) + fabs(at_baselines));
        FUZZ_REQUIRE(fabs(p->result.scores[cell] - score) < limit);
        FUZZ_REQUIRE(fabs(p->result.baseline_scores[cell] - at_baselines) < limit);
        const double gap = p->result.sums[cell] - (score - at_baselines);
        if (!size->adaptive && size->rule == IG_TRAPEZOID)
            FUZZ_REQUIRE(fabs(gap - (double)(target + 1) * third / (6.0 * n * n)) < limit);
        if (!size->adaptive && size->rule == IG_GAUSS_LEGENDRE && size->steps >= 2)
            FUZZ_REQUIRE(fabs(gap) < limit);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t length)
{
    fuzz_input in = {data, length};
    problem_size size = take_problem(&in);
    ig_model model = {.largest_batch = take_size(&in, 0, 20), .calls_left = -1};
    const uint8_t call = take_byte(&in);
    if (call >= 128) {
        model.calls_left = call - 128;
        model.failure = (cubic_failure)take_size(&in, CUBIC_FAILS, CUBIC_GIVES_NAN);
    }
    const uint8_t batches = take_byte(&in);
    size.batches_left = batches >= 192 ? batches - 191u : 0;
    const uint8_t sort = take_byte(&in) % 4;
    if (sort == 1)
        take_curve(&in, &size);
    if (sort == 2)
        take_draws(&in, &size);
    const int has_tolerance = size.adaptive || size.draw_tolerance > 0.0;
    size.regions = take_size(&in, 0, size.shape.height * size.shape.width);
    size.by_region = has_tolerance && size.regions && take_byte(&in) & 1;
    problem *found = problem_create(size);
    ig_error error = {IG_OK, ""};
    const ig_status status = problem_solve(found, &model, &error);
    if (status == IG_OK) {
        ig_model careful = {.largest_batch = 1, .calls_left = -1};
        size.batches_left = 0;
        size.batch_size = 1;
        problem *expected = problem_create(size);
        FUZZ_REQUIRE(problem_solve(expected, &careful, &error) == IG_OK);
        FUZZ_REQUIRE(problem_equal(expected, found, 1e-5));
        FUZZ_REQUIRE(found->result.batch_size <= found->size.batch_size);
        if (!size.draws && size.curve.kind == IG_STRAIGHT)
            require_known_integrals(found);
        problem_free(expected);
    } else if (status == IG_PENDING) {
        FUZZ_REQUIRE(found->size.batches_left);
    } else {
        FUZZ_REQUIRE(status == error.code && error.message[0]);
        FUZZ_REQUIRE(status == IG_MODEL_FAILED || status == IG_NO_MEMORY);
        FUZZ_REQUIRE(call >= 128 || model.largest_batch == 0);
    }
    problem_free(found);
    return 0;
}
