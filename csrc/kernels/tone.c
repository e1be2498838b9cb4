/* tone.c - from attributions to a map of 0..1: polarity, channel mean, thresholds, linear map. */
#include <float.h>
#include <math.h>
#include <string.h>

#include "clones.h"
#include "kernels.h"

IG_CLONES
int ig_all_within(const double *values, size_t count, double limit, size_t *ret_index)
{
    /* The loop over good values has no branch, so that it is vectorised; NaN compares false. */
    int outside = 0;
    for (size_t i = 0; i < count; i++)
        outside |= !(fabs(values[i]) <= limit);
    if (!outside)
        return 1;
    size_t i = 0;
    while (i + 1 < count && fabs(values[i]) <= limit)
        i++;
    *ret_index = i;
    return 0;
}

/* ---- Polarity and channels ----------------------------------------------------------------- */

static inline float clip_f32(float value, float low, float high)
{
    value = value > low ? value : low;
    return value < high ? value : high;
}

static inline double clip(double value, double low, double high)
{
    value = value > low ? value : low;
    return value < high ? value : high;
}

IG_CLONES
void ig_clip(const double *values, size_t count, double low, double high, double *ret_values)
{
    for (size_t i = 0; i < count; i++)
        ret_values[i] = clip(values[i], low, high);
}

/* One body for both types, which are clipped as what they are; with a constant 3 it is vectorised.
 * Checking on the way saves a pass over what is the largest array of all. */
#define CHANNEL_MEAN(number, magnitude, clip, channels)                                            \
    for (size_t i = 0; i < pixels; i++) {                                                          \
        double sum = 0.0;                                                                          \
        for (size_t c = 0; c < (channels); c++) {                                                  \
            const number value = values[i * (channels) + c];                                       \
            outside |= !(magnitude(value) <= largest);                                             \
            sum += clip(sign * value, 0, limit);                                                   \
        }                                                                                          \
        ret_map[i] = sum / (double)(channels);                                                     \
    }

#define DEFINE_CHANNEL_MEAN(name, number, magnitude, clip)                                         \
    IG_CLONES                                                                                      \
    static int name(const number *values, size_t pixels, size_t channels, number sign,             \
                    number limit, number largest, double *ret_map)                                 \
    {                                                                                              \
        int outside = 0;                                                                           \
        if (channels == 3)                                                                         \
            CHANNEL_MEAN(number, magnitude, clip, 3)                                               \
        else                                                                                       \
            CHANNEL_MEAN(number, magnitude, clip, channels)                                        \
        return !outside;                                                                           \
    }

DEFINE_CHANNEL_MEAN(channel_mean_f32, float, fabsf, clip_f32)
DEFINE_CHANNEL_MEAN(channel_mean_f64, double, fabs, clip)

int ig_channel_mean(const void *values, ig_type type, size_t pixels, size_t channels, double sign,
                    double limit, double largest, double *ret_map)
{
    if (type == IG_FLOAT32)
        return channel_mean_f32(values, pixels, channels, (float)sign, (float)limit,
                                largest < FLT_MAX ? (float)largest : FLT_MAX, ret_map);
    return channel_mean_f64(values, pixels, channels, sign, limit, largest, ret_map);
}

/* ---- Energy thresholds --------------------------------------------------------------------- */

/* The bits of a magnitude order like the magnitude itself, so a radix search finds the threshold:
 * sum the values by their top digit, walk down the digits until the sum is reached, keep the
 * values with that digit, and go on with the next one. */
enum { MAGNITUDE_BITS = 63, DIGIT_BITS = 9, DIGITS = 1 << DIGIT_BITS };

/* Neighbours often share a digit, zeros above all: tables side by side let their additions overlap
 * (measured on zeros: half the time). */
enum { WAYS = 2, TABLE = WAYS * DIGITS };

/* ret_sums[d] = sum of the magnitudes with digit d; TABLE doubles. */
static void sum_digits(const double *values, size_t count, int shift, double *ret_sums)
{
    memset(ret_sums, 0, TABLE * sizeof *ret_sums);
    for (size_t i = 0; i < count; i++) {
        const double magnitude = fabs(values[i]);
        uint64_t bits;
        memcpy(&bits, &magnitude, sizeof bits);
        ret_sums[(bits >> shift & (DIGITS - 1)) * WAYS + i % WAYS] += magnitude;
    }
    for (size_t d = 0; d < DIGITS; d++)
        ret_sums[d] = ret_sums[d * WAYS] + ret_sums[d * WAYS + 1];
}

static double from_bits(uint64_t bits)
{
    double value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

/* The magnitudes in [low, high), in order; may be in place. Whole blocks are passed over, because
 * they are often rare and looking for them is vectorised. */
IG_CLONES
static size_t keep_between(const double *values, size_t count, double low, double high,
                           double *ret_values)
{
    enum { BLOCK = 16 };
    size_t kept = 0;
    for (size_t start = 0; start < count; start += BLOCK) {
        const size_t end = start + BLOCK < count ? start + BLOCK : count;
        int found = 0;
        for (size_t i = start; i < end; i++)
            found |= (fabs(values[i]) >= low) & (fabs(values[i]) < high);
        for (size_t i = start; found && i < end; i++) {
            const double magnitude = fabs(values[i]);
            ret_values[kept] = magnitude;
            kept += (magnitude >= low) & (magnitude < high);
        }
    }
    return kept;
}

/* Sums and minima run in lanes side by side, else each step would wait for the one before. */
enum { LANES = 8 };

/* Sum of the magnitudes from `low` up. */
IG_CLONES
static double sum_from(const double *values, size_t count, double low)
{
    double lanes[LANES] = {0.0}, sum = 0.0;
    for (size_t i = 0; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += fabs(values[i + lane]) >= low ? fabs(values[i + lane]) : 0.0;
    for (size_t i = count - count % LANES; i < count; i++)
        sum += fabs(values[i]) >= low ? fabs(values[i]) : 0.0;
    for (size_t lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

IG_CLONES
static double sum_values(const double *values, size_t count)
{
    double lanes[LANES] = {0.0}, sum = 0.0;
    for (size_t i = 0; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] += values[i + lane];
    for (size_t i = count - count % LANES; i < count; i++)
        sum += values[i];
    for (size_t lane = 0; lane < LANES; lane++)
        sum += lanes[lane];
    return sum;
}

IG_CLONES
static double smallest_value(const double *values, size_t count)
{
    double lanes[LANES], smallest = values[0];
    for (size_t lane = 0; lane < LANES; lane++)
        lanes[lane] = smallest;
    for (size_t i = 0; i + LANES <= count; i += LANES)
        for (size_t lane = 0; lane < LANES; lane++)
            lanes[lane] = values[i + lane] < lanes[lane] ? values[i + lane] : lanes[lane];
    for (size_t i = count - count % LANES; i < count; i++)
        smallest = values[i] < smallest ? values[i] : smallest;
    for (size_t lane = 0; lane < LANES; lane++)
        smallest = lanes[lane] < smallest ? lanes[lane] : smallest;
    return smallest;
}

/* What is sought: the magnitude at which the sum reaches a percentage of the total. */
typedef struct {
    double percentage, total;
} goal;

/* In the seed's order of operations, so that exact ties fall alike. */
static int is_reached(goal g, double sum)
{
    return g.total <= 0.0 || 100.0 * sum / g.total >= g.percentage;
}

/* The digit at which `*sum` reaches the goal, *sum being what lies above it; DIGITS if none does.
 */
static size_t find_digit(const double *sums, goal g, double *sum)
{
    for (size_t d = DIGITS; d-- > 0;) {
        if (sums[d] == 0.0)
            continue;
        if (is_reached(g, *sum + sums[d]))
            return d;
        *sum += sums[d];
    }
    return DIGITS;
}

/* Searches the values below those that make `sum`. `kept` may be `values`. */
static double search(const double *values, size_t count, goal g, double sum, double *sums,
                     double *kept)
{
    uint64_t bits = 0;
    for (int shift = MAGNITUDE_BITS - DIGIT_BITS;; shift -= DIGIT_BITS) {
        sum_digits(values, count, shift, sums);
        const size_t digit = find_digit(sums, g, &sum);
        if (digit == DIGITS) {
            double smallest = INFINITY;
            for (size_t i = 0; i < count; i++)
                smallest = fabs(values[i]) < smallest ? fabs(values[i]) : smallest;
            return smallest;
        }
        bits |= (uint64_t)digit << shift;
        if (shift == 0)
            return from_bits(bits);
        const double high = from_bits(bits + (UINT64_C(1) << shift));
        count = keep_between(values, count, from_bits(bits), high, kept);
        if (count == 1)
            return kept[0];
        values = kept;
    }
}

enum { SAMPLE_STEP = 32 };

size_t ig_energy_scratch(size_t count)
{
    return TABLE + count;
}

/* As Floyd and Rivest do to select ("Expected time bounds for selection", CACM 18, 1975): a sample
 * says about where the threshold lies, and mostly only the values around are searched (measured:
 * half the time). */
static double energy_threshold(const double *map, size_t count, goal g, double *scratch)
{
    double *sums = scratch, *kept = sums + TABLE;
    size_t taken = 0;
    for (size_t i = 0; i < count; i += SAMPLE_STEP)
        kept[taken++] = map[i];
    const goal of_sample = {g.percentage, sum_values(kept, taken)};
    const double guess = search(kept, taken, of_sample, 0.0, sums, kept);
    const double low = guess / 1.5, high = guess * 1.5;
    const double above = sum_from(map, count, high);
    if (!is_reached(g, above)) {
        const size_t around = keep_between(map, count, low, high, kept);
        if (around && is_reached(g, above + sum_values(kept, around)))
            return search(kept, around, g, above, sums, kept);
    }
    return search(map, count, g, 0.0, sums, kept);
}

void ig_energy_thresholds(const double *map, size_t count, const double *percentages, size_t n,
                          double *scratch, double *ret_thresholds)
{
    const double total = sum_values(map, count);
    for (size_t k = 0; k < n; k++)
        ret_thresholds[k] =
            percentages[k] == 100.0
                ? smallest_value(map, count)
                : energy_threshold(map, count, (goal){percentages[k], total}, scratch);
}

/* ---- Linear map ---------------------------------------------------------------------------- */

/* What is left of a value on the line: its sign, the part at or above lower_end, 0..1. */
static inline double finish(double line, double value, double lower_end)
{
    line = value < 0.0 ? -line : line;
    line = value == 0.0 ? 0.0 : line;
    return line >= lower_end ? clip(line, 0.0, 1.0) : 0.0;
}

IG_CLONES
void ig_linear_transform(const double *map, size_t count, double high, double low, double lower_end,
                         double *ret_map)
{
    if (high == low) {
        for (size_t i = 0; i < count; i++)
            ret_map[i] = finish(fabs(map[i]) < low ? -INFINITY : INFINITY, map[i], lower_end);
        return;
    }
    const double slope = 1.0 - lower_end, width = high - low;
    for (size_t i = 0; i < count; i++)
        ret_map[i] = finish(slope * (fabs(map[i]) - low) / width + lower_end, map[i], lower_end);
}

IG_CLONES
void ig_binarize(const double *map, size_t count, double threshold, unsigned char *ret_mask)
{
    for (size_t i = 0; i < count; i++)
        ret_mask[i] = map[i] > threshold;
}
