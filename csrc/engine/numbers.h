/* numbers.h - arithmetic that several files of the engine need. */
#ifndef INTGRAD_NUMBERS_H
#define INTGRAD_NUMBERS_H

#include <stddef.h>

static inline size_t ig_smaller(size_t a, size_t b)
{
    return a < b ? a : b;
}

#endif
