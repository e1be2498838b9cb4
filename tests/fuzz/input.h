/* input.h - numbers, sizes and arrays out of a fuzzer's bytes; zeros when they are used up.
 *
 * Arrays are allocated with exactly their size, so that a sanitizer sees the first byte beyond.
 */
#ifndef INTGRAD_FUZZ_INPUT_H
#define INTGRAD_FUZZ_INPUT_H

#include <float.h>
#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct {
    const uint8_t *data;
    size_t left;
} fuzz_input;

#define FUZZ_REQUIRE(condition)                                                                    \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                        \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

static inline void take(fuzz_input *in, void *ret, size_t size)
{
    const size_t n = size < in->left ? size : in->left;
    memset(ret, 0, size);
    if (n) {
        memcpy(ret, in->data, n);
        in->data += n;
        in->left -= n;
    }
}

static inline uint8_t take_byte(fuzz_input *in)
{
    uint8_t byte;
    take(in, &byte, 1);
    return byte;
}

/* From `least` to `most`, both included. */
static inline size_t take_size(fuzz_input *in, size_t least, size_t most)
{
    return least + take_byte(in) % (most - least + 1);
}

/* Any double at all: small numbers, whose sums are exact; the edges; any bits. */
static inline double take_any(fuzz_input *in)
{
    static const double edges[] = {
        0.0,     -0.0,    NAN,   INFINITY, -INFINITY, DBL_MIN,    DBL_MAX, -DBL_MAX,
        FLT_MAX, FLT_MIN, 1e-45, 5e-324,   255.0,     0.00390625, 1e290,   -1e290,
    };
    const uint8_t kind = take_byte(in);
    double value;
    if (kind < 192)
        return ((double)kind - 96.0) / 8.0;
    if (kind < 240)
        return edges[kind % (sizeof edges / sizeof *edges)];
    take(in, &value, sizeof value);
    return value;
}

/* One with a magnitude of at most `limit`. */
static inline double take_within(fuzz_input *in, double limit)
{
    const double value = take_any(in);
    return fabs(value) <= limit ? value : fmod(isfinite(value) ? value : 1.0, limit);
}

/* Filled with rubbish, so that nothing rests on what was there. */
static inline void *allocate(size_t count, size_t size)
{
    void *block = malloc(count * size);
    if (count && !block)
        abort();
    memset(block, 0xa5, count * size);
    return block;
}

static inline double *take_doubles(fuzz_input *in, size_t count, double limit)
{
    double *values = allocate(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = take_within(in, limit);
    return values;
}

static inline float *take_floats(fuzz_input *in, size_t count, double limit)
{
    float *values = allocate(count, sizeof *values);
    for (size_t i = 0; i < count; i++)
        values[i] = (float)take_within(in, limit);
    return values;
}

static inline unsigned char *take_mask(fuzz_input *in, size_t count)
{
    unsigned char *mask = allocate(count, 1);
    uint8_t bits = 0;
    for (size_t i = 0; i < count; i++) {
        bits = i % 8 ? (uint8_t)(bits >> 1) : take_byte(in);
        mask[i] = bits & 1;
    }
    return mask;
}

#endif
