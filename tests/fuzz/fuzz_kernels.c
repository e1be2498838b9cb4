/* fuzz_kernels.c - every kernel, on any shape and any values that the binding lets through.
 *
 * What is cheap to say in another way is compared with that; the rest has to keep its promises, and
 * all of it its bounds.
 */
#include "input.h"
#include "kernels/kernels.h"

/* What the binding lets through: finite floats along the path, LARGEST in maps. */
static const double MAP = 1e290, PIXEL = 255.0, GRADIENT = 1e30;

/* ---- path.c -------------------------------------------------------------------------------- */

static void fuzz_interpolation(fuzz_input *in)
{
    const size_t count = take_size(in, 0, 20);
    float *image = take_floats(in, count, FLT_MAX), *baseline = take_floats(in, count, FLT_MAX);
    float *point = allocate(count, sizeof *point);
    const double alphas[] = {0.0, 1.0, fabs(take_within(in, 1.0))};
    for (size_t k = 0; k < 3; k++) {
        ig_path_interpolate(image, baseline, alphas[k], count, point);
        for (size_t i = 0; i < count; i++) {
            const float least = fminf(image[i], baseline[i]), most = fmaxf(image[i], baseline[i]);
            FUZZ_REQUIRE(k != 0 || point[i] == baseline[i]);
            FUZZ_REQUIRE(k != 1 || point[i] == image[i]);
            FUZZ_REQUIRE(point[i] >= least && point[i] <= most);
        }
    }
    free(image);
    free(baseline);
    free(point);
}

/* Two nodes of one path, all the way to attributions and their deviations. */
static void fuzz_path(fuzz_input *in)
{
    const size_t pixels = take_size(in, 1, 6), channels = take_size(in, 1, 4);
    const size_t count = pixels * channels, baselines = take_size(in, 1, 3);
    float *image = take_floats(in, count, PIXEL), *baseline = take_floats(in, count, PIXEL);
    float *before = take_floats(in, count, GRADIENT), *after = take_floats(in, count, GRADIENT);
    double *sums[9], *pixel_sums[1];
    for (size_t k = 0; k < 9; k++)
        memset(sums[k] = allocate(count, sizeof(double)), 0, count * sizeof(double));
    memset(pixel_sums[0] = allocate(pixels, sizeof(double)), 0, pixels * sizeof(double));
    float *attributions = allocate(count, sizeof *attributions);
    const double weight = fabs(take_within(in, 1.0));
    ig_path_accumulate(before, weight, count, sums[0]);
    ig_path_accumulate_both(after, 1.0 - weight, 0.5, count, sums[0], sums[1]);
    ig_path_accumulate_jump(after, before, weight, count, sums[2]);
    ig_path_accumulate_pixel_jump(after, before, image, baseline, weight, pixels, channels,
                                  pixel_sums[0]);
    FUZZ_REQUIRE(ig_path_jump_square(after, before, image, baseline, count) >= 0.0);
    const ig_path_totals totals = {sums[3], sums[4], sums[5], sums[6],
                                   take_byte(in) & 1 ? sums[7] : NULL};
    const ig_path_part part = {sums[0], sums[1], sums[2]};
    ig_path_attribute(image, baseline, count, sums[0], sums[1], sums[2]);
    for (size_t k = 0; k < baselines; k++)
        ig_path_fold(part, k + 1, count, totals);
    const double paths = (double)baselines, scale = fabs(take_within(in, 2.0));
    const ig_path_summary summary = ig_path_summarise(totals, paths, scale, count);
    FUZZ_REQUIRE(summary.square >= 0.0 && summary.difference_square >= 0.0);
    FUZZ_REQUIRE(summary.variance >= 0.0 && summary.spread_square >= 0.0);
    ig_path_mean(totals.total, paths, count, attributions);
    for (size_t i = 0; i < count; i++)
        FUZZ_REQUIRE(image[i] != baseline[i] || attributions[i] == 0.0f);
    ig_path_deviations(totals.variance, weight, totals.spread, scale, count, attributions);
    for (size_t i = 0; i < count; i++)
        FUZZ_REQUIRE(attributions[i] >= 0.0f); /* and not NaN */
    const ig_chord chord = {image, baseline, after, before};
    ig_chord_accumulate(chord, count, sums[8]);
    ig_chord_accumulate_jump(chord, weight, count, sums[5]);
    ig_path_accumulate_moved(before, sums[3], count, sums[8]);
    ig_path_channel_mean(totals.total, pixels, channels, pixel_sums[0]);
    ig_path_square(count, sums[8]);
    ig_path_scale(weight, count, sums[8]);
    FUZZ_REQUIRE(ig_path_square_sum(totals.total, count) >= 0.0);
    for (size_t k = 0; k < 9; k++)
        free(sums[k]);
    free(pixel_sums[0]);
    free(image);
    free(baseline);
    free(before);
    free(after);
    free(attributions);
}

/* ---- regions.c ----------------------------------------------------------------------------- */

/* What all regions together come to is what the picture does, whatever the labels. */
static void fuzz_regions(fuzz_input *in)
{
    const size_t pixels = take_size(in, 1, 6), channels = take_size(in, 1, 4);
    const size_t count = pixels * channels, regions = take_size(in, 1, pixels);
    float *image = take_floats(in, count, PIXEL), *baseline = take_floats(in, count, PIXEL);
    float *before = take_floats(in, count, GRADIENT), *after = take_floats(in, count, GRADIENT);
    double *sum = take_doubles(in, count, GRADIENT), *found = allocate(regions, sizeof *found);
    double *squares = allocate(regions, sizeof *squares);
    int32_t *labels = allocate(pixels, sizeof *labels);
    double largest = 0.0, total = 0.0;
    for (size_t p = 0; p < pixels; p++)
        labels[p] = (int32_t)(take_byte(in) % regions);
    for (size_t i = 0; i < count; i++) {
        largest = fmax(largest, fabs(sum[i]));
        total += sum[i];
    }
    ig_region_sums(sum, labels, pixels, channels, regions, found);
    for (size_t r = 0; r < regions; r++)
        total -= found[r];
    FUZZ_REQUIRE(fabs(total) <= 1e-12 * (double)count * largest);
    ig_region_jumps(after, before, image, baseline, labels, pixels, channels, regions, found);
    memset(squares, 0, regions * sizeof *squares);
    ig_region_add_squares(found, fabs(take_within(in, 1.0)), regions, squares);
    for (size_t r = 0; r < regions; r++)
        FUZZ_REQUIRE(squares[r] >= 0.0);
    free(image);
    free(baseline);
    free(before);
    free(after);
    free(sum);
    free(found);
    free(squares);
    free(labels);
}

/* ---- blur.c, guided.c ---------------------------------------------------------------------- */

/* Weights of a blurred pixel are shares of 1, so that no picture gets brighter or darker. */
static void fuzz_blur(fuzz_input *in)
{
    const size_t height = take_size(in, 1, 9), width = take_size(in, 1, 9);
    const size_t channels = take_size(in, 1, 3), count = height * width * channels;
    float *picture = take_floats(in, count, PIXEL);
    const double sigma = fabs(take_within(in, 40.0));
    double *scratch = allocate(ig_blur_scratch(height, width, channels), sizeof *scratch);
    double *blurred = allocate(count, sizeof *blurred);
    ig_blur(picture, height, width, channels, sigma, scratch, blurred);
    double least = PIXEL, most = -PIXEL;
    for (size_t i = 0; i < count; i++) {
        least = fmin(least, (double)picture[i]);
        most = fmax(most, (double)picture[i]);
    }
    for (size_t i = 0; i < count; i++)
        FUZZ_REQUIRE(blurred[i] >= least - 1e-9 && blurred[i] <= most + 1e-9);
    free(picture);
    free(scratch);
    free(blurred);
}

/* A guided path stays between its ends, and gets there in time. */
static void fuzz_guided(fuzz_input *in)
{
    const size_t count = take_size(in, 1, 40), steps = take_size(in, 1, 5);
    float *image = take_floats(in, count, PIXEL), *baseline = take_floats(in, count, PIXEL);
    float *scratch = allocate(ig_guided_scratch(count), sizeof *scratch);
    double *position = allocate(count, sizeof *position);
    const double fraction = fabs(take_within(in, 1.0)), distance = fabs(take_within(in, 1.0));
    double left = 0.0, all = 0.0;
    for (size_t i = 0; i < count; i++)
        position[i] = baseline[i];
    for (size_t step = 0; step < steps; step++) {
        float *gradient = take_floats(in, count, GRADIENT);
        ig_guided_step(gradient, image, baseline, count, step, steps, fraction, distance, scratch,
                       position);
        free(gradient);
    }
    for (size_t i = 0; i < count; i++) {
        const double least = fmin((double)image[i], (double)baseline[i]);
        const double most = fmax((double)image[i], (double)baseline[i]);
        FUZZ_REQUIRE(position[i] >= least - 1e-9 && position[i] <= most + 1e-9);
        left += fabs(position[i] - image[i]);
        all += fabs((double)image[i] - baseline[i]);
    }
    FUZZ_REQUIRE(left <= 1e-8 * (1.0 + all));
    free(image);
    free(baseline);
    free(scratch);
    free(position);
}

/* ---- xrai.c -------------------------------------------------------------------------------- */

/* The mean over what is left of a mask, and its number of pixels. */
static double mean_left(const double *values, const unsigned char *mask, const int32_t *labels,
                        size_t pixels, size_t *ret_area)
{
    double sum = 0.0;
    *ret_area = 0;
    for (size_t p = 0; p < pixels; p++)
        if (mask[p] && labels[p] < 0) {
            sum += values[p];
            ++*ret_area;
        }
    return sum / (double)(*ret_area ? *ret_area : 1);
}

/* As the paper defines it, for values whose sums are exact. */
static size_t rank(const double *values, const unsigned char *masks, size_t pixels, size_t count,
                   size_t least, double most_covered, int is_fast, int32_t *labels,
                   int32_t *segments, double *densities)
{
    size_t regions = 0, covered = 0, area;
    double first[8];
    memset(labels, 0xff, pixels * sizeof *labels);
    for (size_t k = 0; k < count; k++)
        first[k] = mean_left(values, masks + k * pixels, labels, pixels, &area);
    while ((double)covered / (double)pixels <= most_covered) {
        double best_gain = -INFINITY;
        size_t best = count;
        for (size_t k = 0; k < count; k++) {
            const double gain = mean_left(values, masks + k * pixels, labels, pixels, &area);
            if (area >= least && (is_fast ? first[k] : gain) > best_gain) {
                best_gain = is_fast ? first[k] : gain;
                best = k;
            }
        }
        if (best == count)
            break;
        densities[regions] = mean_left(values, masks + best * pixels, labels, pixels, &area);
        segments[regions] = (int32_t)best;
        covered += area;
        for (size_t p = 0; p < pixels; p++)
            if (masks[best * pixels + p] && labels[p] < 0)
                labels[p] = (int32_t)regions;
        regions++;
    }
    return regions;
}

static void fuzz_xrai(fuzz_input *in)
{
    const size_t pixels = take_size(in, 1, 40), count = take_size(in, 1, 8);
    const size_t least = take_size(in, 1, 5);
    const int is_fast = take_byte(in) & 1;
    const double most_covered = take_byte(in) / 255.0;
    double *values = allocate(pixels, sizeof *values);
    for (size_t p = 0; p < pixels; p++)
        values[p] = ldexp(take_byte(in) - 128.0, take_byte(in) & 1 ? -3 : 30);
    unsigned char *masks = take_mask(in, count * pixels);
    int64_t starts[9] = {0};
    ig_run *runs = allocate(count * pixels, sizeof *runs);
    size_t n = 0;
    for (size_t k = 0; k < count; k++) {
        for (size_t p = 0; p < pixels; p++) {
            const int goes_on = n > (size_t)starts[k] && runs[n - 1].end == (int32_t)p;
            if (masks[k * pixels + p] && goes_on && (p % 7)) /* some runs meet */
                runs[n - 1].end++;
            else if (masks[k * pixels + p])
                runs[n++] = (ig_run){(int32_t)p, (int32_t)p + 1};
        }
        starts[k + 1] = (int64_t)n;
    }
    const ig_segments segments = {starts, runs, count};
    void *scratch = allocate(ig_xrai_scratch(pixels, segments), 1);
    int32_t *labels[2], *order[2];
    double *densities[2];
    for (size_t k = 0; k < 2; k++) {
        labels[k] = allocate(pixels, sizeof **labels);
        order[k] = allocate(count, sizeof **order);
        densities[k] = allocate(count, sizeof **densities);
    }
    const size_t regions = ig_xrai(values, pixels, segments, least, most_covered, is_fast, scratch,
                                   labels[0], order[0], densities[0]);
    FUZZ_REQUIRE(regions == rank(values, masks, pixels, count, least, most_covered, is_fast,
                                 labels[1], order[1], densities[1]));
    FUZZ_REQUIRE(memcmp(labels[0], labels[1], pixels * sizeof **labels) == 0);
    FUZZ_REQUIRE(memcmp(order[0], order[1], regions * sizeof **order) == 0);
    for (size_t k = 0; k < regions; k++)
        FUZZ_REQUIRE(densities[0][k] == densities[1][k]);
    for (size_t k = 0; k < 2; k++) {
        free(labels[k]);
        free(order[k]);
        free(densities[k]);
    }
    free(values);
    free(masks);
    free(runs);
    free(scratch);
}

/* ---- tone.c -------------------------------------------------------------------------------- */

static void fuzz_checks(fuzz_input *in)
{
    const size_t count = take_size(in, 0, 70);
    double *values = allocate(count, sizeof *values);
    float *floats = allocate(count, sizeof *floats);
    size_t wrong = count, at = 0;
    const double limit = fabs(take_within(in, DBL_MAX));
    for (size_t i = count; i-- > 0;) {
        floats[i] = (float)(values[i] = take_any(in));
        wrong = isfinite(floats[i]) ? wrong : i;
    }
    FUZZ_REQUIRE(ig_all_finite(floats, count, &at) == (wrong == count));
    FUZZ_REQUIRE(wrong == count || at == wrong);
    for (size_t i = wrong = count; i-- > 0;)
        wrong = fabs(values[i]) <= limit ? wrong : i;
    FUZZ_REQUIRE(ig_all_within(values, count, limit, &at) == (wrong == count));
    FUZZ_REQUIRE(wrong == count || at == wrong);
    ig_clip(values, count, -limit, limit, values);
    for (size_t i = 0; i < count; i++)
        FUZZ_REQUIRE(fabs(values[i]) <= limit); /* and not NaN */
    free(values);
    free(floats);
}

static void fuzz_channel_mean(fuzz_input *in)
{
    const size_t pixels = take_size(in, 0, 12), channels = take_size(in, 1, 5);
    const size_t count = pixels * channels;
    const int is_float = take_byte(in) & 1;
    const double sign = take_byte(in) & 1 ? 1.0 : -1.0;
    const double limit = take_byte(in) & 1 ? INFINITY : fabs(take_within(in, 10.0));
    double *values = allocate(count, sizeof *values), *map = allocate(pixels, sizeof *map);
    float *floats = allocate(count, sizeof *floats);
    int good = 1;
    for (size_t i = 0; i < count; i++) {
        floats[i] = (float)(values[i] = take_any(in));
        good &= is_float ? isfinite(floats[i]) : fabs(values[i]) <= MAP;
    }
    const int said =
        ig_channel_mean(is_float ? (void *)floats : values, is_float ? IG_FLOAT32 : IG_FLOAT64,
                        pixels, channels, sign, limit, MAP, map);
    FUZZ_REQUIRE(said == good);
    const double most = (is_float ? (double)(float)limit : limit) * (1 + 1e-12) + DBL_MIN;
    for (size_t i = 0; good && i < pixels; i++)
        FUZZ_REQUIRE(map[i] >= 0.0 && isfinite(map[i]) && map[i] <= most);
    free(values);
    free(floats);
    free(map);
}

static void fuzz_thresholds(fuzz_input *in)
{
    const size_t count = take_size(in, 1, 150);
    double *map = take_doubles(in, count, MAP);
    double *scratch = allocate(ig_energy_scratch(count), sizeof *scratch);
    const double percentages[2] = {fabs(take_within(in, 100.0)), 100.0};
    double thresholds[2];
    ig_energy_thresholds(map, count, percentages, 2, scratch, thresholds);
    for (size_t k = 0; k < 2; k++) {
        int found = 0;
        for (size_t i = 0; i < count; i++)
            found |= thresholds[k] == fabs(map[i]) || thresholds[k] == map[i];
        FUZZ_REQUIRE(found);
    }
    free(map);
    free(scratch);
}

static void fuzz_line(fuzz_input *in)
{
    const size_t count = take_size(in, 0, 40);
    double *map = take_doubles(in, count, MAP);
    unsigned char *mask = allocate(count, 1);
    const double low = fabs(take_within(in, MAP)), high = fabs(take_within(in, MAP));
    const double lower_end = fabs(take_within(in, 1.0));
    ig_binarize(map, count, low, mask);
    for (size_t i = 0; i < count; i++)
        FUZZ_REQUIRE(mask[i] == (map[i] > low));
    ig_linear_transform(map, count, fmax(low, high), fmin(low, high), lower_end, map);
    for (size_t i = 0; i < count; i++)
        FUZZ_REQUIRE(map[i] >= 0.0 && map[i] <= 1.0);
    free(map);
    free(mask);
}

/* ---- morphology.c -------------------------------------------------------------------------- */

/* Where the mirror image that continues a line of `length` takes its value from. */
static size_t reflect(ptrdiff_t i, size_t length)
{
    const ptrdiff_t n = (ptrdiff_t)length, period = 2 * n;
    i = ((i % period) + period) % period;
    return (size_t)(i < n ? i : period - 1 - i);
}

/* As SciPy defines it; `sign` 1 dilates, -1 erodes. */
static double brute(const double *map, size_t height, size_t width, ig_structure s, size_t y,
                    size_t x, double sign)
{
    double best = -INFINITY;
    for (size_t r = 0; r < s.rows; r++)
        for (size_t c = 0; c < s.columns; c++) {
            /* A dilation looks through the mirrored structure, whose centre lies the other way. */
            const ptrdiff_t dy = (ptrdiff_t)r - (ptrdiff_t)(s.rows / 2);
            const ptrdiff_t dx = (ptrdiff_t)c - (ptrdiff_t)(s.columns / 2);
            const size_t from_y = reflect((ptrdiff_t)y - (ptrdiff_t)sign * dy, height);
            const size_t from_x = reflect((ptrdiff_t)x - (ptrdiff_t)sign * dx, width);
            best = fmax(best, sign * map[from_y * width + from_x] + s.values[r * s.columns + c]);
        }
    return sign * best;
}

static void fuzz_morphology(fuzz_input *in)
{
    const size_t height = take_size(in, 1, 9), width = take_size(in, 1, 9);
    const size_t rows = take_size(in, 1, 12), columns = take_size(in, 1, 12);
    double *map = take_doubles(in, height * width, MAP);
    double *values = allocate(rows * columns, sizeof *values);
    const int is_flat = take_byte(in) & 1;
    for (size_t i = 0; i < rows * columns; i++)
        values[i] = is_flat && i ? values[0] : take_within(in, MAP);
    const ig_structure s = {values, rows, columns};
    double *scratch = allocate(ig_morphology_scratch(height, width, s), sizeof *scratch);
    double *found = allocate(height * width, sizeof *found);
    for (int sign = 1; sign >= -1; sign -= 2) {
        (sign > 0 ? ig_dilate : ig_erode)(map, height, width, s, scratch, found);
        for (size_t i = 0; i < height * width; i++)
            FUZZ_REQUIRE(found[i] == brute(map, height, width, s, i / width, i % width, sign));
    }
    free(map);
    free(values);
    free(scratch);
    free(found);
}

/* ---- components.c -------------------------------------------------------------------------- */

/* Labels a component by hand: everything that is linked to `start`. */
static void flood(const unsigned char *mask, size_t height, size_t width, unsigned links,
                  size_t start, int32_t label, int32_t *labels, size_t *stack)
{
    static const int steps[4][2] = {{0, -1}, {-1, -1}, {-1, 0}, {-1, 1}};
    size_t depth = 0;
    labels[start] = label;
    stack[depth++] = start;
    while (depth) {
        const size_t at = stack[--depth];
        for (unsigned k = 0; k < 8; k++) {
            const int sign = k < 4 ? 1 : -1;
            const ptrdiff_t y = (ptrdiff_t)(at / width) + sign * steps[k % 4][0];
            const ptrdiff_t x = (ptrdiff_t)(at % width) + sign * steps[k % 4][1];
            if (!(links >> k % 4 & 1) || y < 0 || x < 0 || y >= (ptrdiff_t)height ||
                x >= (ptrdiff_t)width)
                continue;
            const size_t next = (size_t)y * width + (size_t)x;
            if (mask[next] && !labels[next]) {
                labels[next] = label;
                stack[depth++] = next;
            }
        }
    }
}

static void fuzz_components(fuzz_input *in)
{
    const size_t height = take_size(in, 1, 20), width = take_size(in, 1, 20);
    const size_t pixels = height * width;
    const unsigned links = (unsigned)take_size(in, 0, 15);
    unsigned char *mask = take_mask(in, pixels), *filled = allocate(pixels, 1);
    unsigned char *border = allocate(pixels, 1), *scratch = allocate(2 * width, 1);
    int32_t *labels = allocate(pixels, sizeof *labels), *own = allocate(pixels, sizeof *own);
    size_t *stack = allocate(pixels, sizeof *stack);
    memset(own, 0, pixels * sizeof *own);
    const size_t n = ig_label(mask, height, width, links, labels);
    size_t count = 0;
    for (size_t i = 0; i < pixels; i++)
        if (mask[i] && !own[i])
            flood(mask, height, width, links, i, (int32_t)++count, own, stack);
    FUZZ_REQUIRE(n == count && memcmp(labels, own, pixels * sizeof *own) == 0);

    double *sums = allocate(n, sizeof *sums), total = 0.0;
    ig_component_sums(labels, NULL, pixels, n, sums);
    for (size_t k = 0; k < n; k++)
        total += sums[k];
    for (size_t i = 0; i < pixels; i++)
        total -= mask[i];
    FUZZ_REQUIRE(total == 0.0);
    int32_t kept[IG_MOST_COMPONENTS];
    const size_t most = ig_largest_components(sums, n, fabs(take_within(in, 100.0)), kept);
    FUZZ_REQUIRE(most <= n && most <= IG_MOST_COMPONENTS);
    ig_outline(labels, height, width, kept, most, scratch, border);
    for (size_t i = 0; i < pixels; i++)
        FUZZ_REQUIRE(!border[i] || mask[i]);
    ig_fill_holes(mask, height, width, own, filled);
    for (size_t i = 0; i < pixels; i++)
        FUZZ_REQUIRE(filled[i] >= mask[i]);
    free(mask);
    free(filled);
    free(border);
    free(scratch);
    free(labels);
    free(own);
    free(stack);
    free(sums);
}

/* ---- overlay.c ----------------------------------------------------------------------------- */

static void fuzz_overlay(fuzz_input *in)
{
    const size_t pixels = take_size(in, 0, 12), channels = take_size(in, 1, 4);
    const size_t image_channels = take_byte(in) & 1 ? channels : 1;
    const ig_type type = (ig_type)take_size(in, IG_UINT8, IG_FLOAT64);
    static const size_t sizes[] = {1, sizeof(float), sizeof(double)};
    const size_t count = pixels * image_channels;
    unsigned char *mask = take_mask(in, pixels), *image = allocate(count, sizes[type]);
    for (size_t i = 0; i < count; i++) {
        const float single = (float)take_within(in, FLT_MAX);
        const double value = (double)single;
        if (type == IG_UINT8)
            image[i] = take_byte(in);
        else
            memcpy(image + i * sizes[type], type == IG_FLOAT32 ? (void *)&single : (void *)&value,
                   sizes[type]);
    }
    double *map = take_doubles(in, pixels, MAP), *colour = take_doubles(in, channels, PIXEL);
    double *painted = allocate(pixels * channels, sizeof *painted);
    int64_t *whole = allocate(pixels * channels, sizeof *whole), colours[4] = {0, 255, 7, 1};
    ig_colour(map, pixels, colour, channels, painted);
    ig_colour_mask(mask, pixels, colours, channels, whole);
    for (size_t i = 0; i < pixels * channels; i++)
        FUZZ_REQUIRE(whole[i] == (mask[i / channels] ? colours[i % channels] : 0));
    for (int masked = 0; masked < 2; masked++) {
        ig_overlay(image, type, image_channels, masked ? (void *)mask : map,
                   masked ? IG_UINT8 : IG_FLOAT64, pixels, colour, channels, painted);
        for (size_t i = 0; i < pixels * channels; i++)
            FUZZ_REQUIRE(painted[i] >= 0.0 && painted[i] <= 255.0);
    }
    free(mask);
    free(image);
    free(map);
    free(colour);
    free(painted);
    free(whole);
}

/* ---- mix.c, impute.c ----------------------------------------------------------------------- */

static void fuzz_mix(fuzz_input *in)
{
    const size_t pixels = take_size(in, 0, 20), channels = take_size(in, 1, 4);
    float *picture = take_floats(in, pixels * channels, PIXEL);
    float *other = take_floats(in, pixels * channels, PIXEL);
    float *mixed = allocate(pixels * channels, sizeof *mixed);
    int32_t *order = allocate(pixels, sizeof *order);
    for (size_t i = 0; i < pixels; i++)
        order[i] = (int32_t)take_size(in, 0, 20);
    const int64_t taken = (int64_t)take_size(in, 0, 22) - 1;
    ig_mix(picture, other, order, taken, pixels, channels, mixed);
    for (size_t i = 0; i < pixels * channels; i++)
        FUZZ_REQUIRE(mixed[i] == (order[i / channels] < taken ? other : picture)[i]);
    free(picture);
    free(other);
    free(mixed);
    free(order);
}

/* What is imputed lies between what it is imputed from. */
static void fuzz_impute(fuzz_input *in)
{
    const size_t height = take_size(in, 1, 12), width = take_size(in, 1, 12);
    const size_t channels = take_size(in, 1, 3), pixels = height * width;
    float *picture = take_floats(in, pixels * channels, PIXEL);
    float *imputed = allocate(pixels * channels, sizeof *imputed);
    unsigned char *missing = take_mask(in, pixels);
    double *scratch = allocate(ig_impute_scratch(height, width), sizeof *scratch);
    missing[take_size(in, 0, pixels - 1)] = 0;
    for (size_t c = 0; c < channels; c++)
        ig_impute(picture, missing, height, width, channels, c, scratch, imputed);
    for (size_t c = 0; c < channels; c++) {
        double low = INFINITY, high = -INFINITY;
        for (size_t p = 0; p < pixels; p++)
            if (!missing[p]) {
                low = fmin(low, (double)picture[p * channels + c]);
                high = fmax(high, (double)picture[p * channels + c]);
            }
        const double slack = 1e-3 * fmax(fabs(low), fabs(high));
        for (size_t p = 0; p < pixels; p++) {
            const double value = (double)imputed[p * channels + c];
            FUZZ_REQUIRE(missing[p] ? value >= low - slack && value <= high + slack
                                    : imputed[p * channels + c] == picture[p * channels + c]);
        }
    }
    free(picture);
    free(imputed);
    free(missing);
    free(scratch);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static void (*const kernels[])(fuzz_input *) = {
        fuzz_interpolation, fuzz_path,       fuzz_checks,     fuzz_channel_mean, fuzz_thresholds,
        fuzz_line,          fuzz_morphology, fuzz_components, fuzz_overlay,      fuzz_regions,
        fuzz_blur,          fuzz_guided,     fuzz_xrai,       fuzz_mix,          fuzz_impute,
    };
    fuzz_input in = {data, size};
    kernels[take_byte(&in) % (sizeof kernels / sizeof *kernels)](&in);
    return 0;
}
