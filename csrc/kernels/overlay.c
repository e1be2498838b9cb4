/* overlay.c - colouring a map and blending it with its image. */
#include "clones.h"
#include "kernels.h"

/* Weight of the coloured map over the image, which keeps its own. */
static const double strength = 0.8;

static inline double to_pixel(double value)
{
    value = value > 0.0 ? value : 0.0;
    return value < 255.0 ? value : 255.0;
}

void ig_colour(const double *map, size_t pixels, const double *colour, size_t channels,
               double *ret_pixels)
{
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < channels; c++)
            ret_pixels[i * channels + c] = map[i] * colour[c];
}

void ig_colour_mask(const unsigned char *mask, size_t pixels, const int64_t *colour,
                    size_t channels, int64_t *ret_pixels)
{
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < channels; c++)
            ret_pixels[i * channels + c] = mask[i] ? colour[c] : 0;
}

/* One body for all element types; with constants it is vectorised. */
#define OVERLAY(image_channels, step, channels)                                                    \
    for (size_t i = 0; i < pixels; i++)                                                            \
        for (size_t c = 0; c < (channels); c++)                                                    \
            ret_pixels[i * (channels) + c] = to_pixel((double)map[i] * colour[c] * strength +      \
                                                      image[i * (image_channels) + c * (step)]);

#define DEFINE_OVERLAY(name, image_type, map_type)                                                 \
    IG_CLONES                                                                                      \
    static void name(const image_type *image, size_t image_channels, const map_type *map,          \
                     size_t pixels, const double *colour, size_t channels, double *ret_pixels)     \
    {                                                                                              \
        if (image_channels == 3 && channels == 3)                                                  \
            OVERLAY(3, 1, 3)                                                                       \
        else if (image_channels == 1)                                                              \
            OVERLAY(1, 0, channels)                                                                \
        else                                                                                       \
            OVERLAY(channels, 1, channels)                                                         \
    }

DEFINE_OVERLAY(overlay_u8, unsigned char, double)
DEFINE_OVERLAY(overlay_f32, float, double)
DEFINE_OVERLAY(overlay_f64, double, double)
DEFINE_OVERLAY(overlay_mask_u8, unsigned char, unsigned char)
DEFINE_OVERLAY(overlay_mask_f32, float, unsigned char)
DEFINE_OVERLAY(overlay_mask_f64, double, unsigned char)

void ig_overlay(const void *image, ig_type image_type, size_t image_channels, const void *map,
                ig_type map_type, size_t pixels, const double *colour, size_t channels,
                double *ret_pixels)
{
    const int is_mask = map_type == IG_UINT8;
#define CALL(name) (name)(image, image_channels, map, pixels, colour, channels, ret_pixels)
    if (image_type == IG_UINT8)
        is_mask ? CALL(overlay_mask_u8) : CALL(overlay_u8);
    else if (image_type == IG_FLOAT32)
        is_mask ? CALL(overlay_mask_f32) : CALL(overlay_f32);
    else
        is_mask ? CALL(overlay_mask_f64) : CALL(overlay_f64);
#undef CALL
}
