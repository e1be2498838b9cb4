/* cubic.h - a backend whose integrals are known, and that fails when it is told to.
 *
 * F[k](x) = (k + 1) * sum x^3 / 3, whose gradient is (k + 1) * x^2.
 */
#ifndef INTGRAD_TESTS_CUBIC_H
#define INTGRAD_TESTS_CUBIC_H

#include "engine/backend.h"

enum { CUBIC_CLASSES = 3 };

typedef enum { CUBIC_FAILS, CUBIC_HAS_NO_MEMORY, CUBIC_GIVES_NAN } cubic_failure;

struct ig_model {
    size_t largest_batch;  /* more is IG_NO_MEMORY */
    long calls_left;       /* it fails when this reaches 0, once; negative: never */
    cubic_failure failure; /* how */
    size_t trims, evaluations;
};

extern const ig_backend cubic;

double cubic_score(const float *picture, size_t size, int64_t target);

#endif
