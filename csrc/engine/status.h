/* status.h - how every call below the binding reports failure.
 *
 * A function that can fail returns an ig_status and takes an ig_error that the caller owns. On
 * IG_OK the error is untouched; on anything else it holds one line of text for the user, already
 * complete (it names the image, the point, the class, whatever was at fault).
 *
 *     ig_error error;
 *     if (ig_integrate(..., &error) != IG_OK) puts(error.message);
 *
 * A plain C header: it is included by C and by C++.
 */
#ifndef INTGRAD_STATUS_H
#define INTGRAD_STATUS_H

#include <stdarg.h>
#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef enum {
    IG_OK = 0,
    IG_NO_MEMORY, /* host or device memory is short: the engine trims, halves the batch, retries */
    IG_INVALID,   /* an argument that only the layer below could judge */
    IG_OUT_OF_RANGE, /* a target that the model does not have */
    IG_MODEL_FAILED, /* the model raised, or gave the wrong shape, NaN or inf */
    IG_PENDING       /* a Python exception is already set and must propagate unchanged */
} ig_status;

typedef struct {
    ig_status code;
    char message[1024];
} ig_error;

/* Fills `error` and returns `code`, so that a failure is one line: return ig_fail(error, ...). */
#if defined(__GNUC__)
__attribute__((format(printf, 3, 4)))
#endif
static inline ig_status ig_fail(ig_error *error, ig_status code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    error->code = code;
    vsnprintf(error->message, sizeof error->message, format, arguments);
    va_end(arguments);
    return code;
}

#ifdef __cplusplus
}
#endif

#endif
