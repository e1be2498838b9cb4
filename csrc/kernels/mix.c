/* mix.c - pictures of which some pixels are another picture's. */
#include "clones.h"
#include "kernels.h"

/* Of 3 channels by far the most, so that the compiler knows how many. */
static inline void mix(const float *picture, const float *other, const int32_t *order,
                       int64_t taken, size_t pixels, size_t channels, float *restrict ret_picture)
{
    for (size_t p = 0; p < pixels; p++) {
        const float *from = order[p] < taken ? other : picture;
        for (size_t i = p * channels; i < (p + 1) * channels; i++)
            ret_picture[i] = from[i];
    }
}

IG_CLONES
void ig_mix(const float *picture, const float *other, const int32_t *order, int64_t taken,
            size_t pixels, size_t channels, float *restrict ret_picture)
{
    if (channels == 3)
        mix(picture, other, order, taken, pixels, 3, ret_picture);
    else
        mix(picture, other, order, taken, pixels, channels, ret_picture);
}
