/* check.h - how drivers say what went wrong. The file that includes it declares `failures`. */
#ifndef INTGRAD_TESTS_CHECK_H
#define INTGRAD_TESTS_CHECK_H

#include <stdio.h>

#define CHECK(condition)                                                                           \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                 \
            failures++;                                                                            \
        }                                                                                          \
    } while (0)

#endif
