/* impute.c - pixels that are missing, as the weighted means of their neighbours: ROAD (Rong et al.
 * 2022, arXiv 2202.00449). That is a system of linear equations, a missing pixel each, symmetric
 * and positive definite, and solved by conjugate gradients (Hestenes and Stiefel 1952). */
#include <string.h>

#include "clones.h"
#include "kernels.h"

/* The authors': 1/6 for those that share an edge, 1/12 for those that share a corner. */
static const double EDGE = 1.0 / 6.0, CORNER = 1.0 / 12.0;
static const double PRECISION = 1e-6; /* of the residual, relative to the right-hand side */

/* Grids have a border of one cell on each side, which is 0 for good, as is what is not missing. */
typedef struct {
    size_t height, width; /* of the picture */
    size_t stride, cells; /* of a grid */
} grid;

static grid grid_of(size_t height, size_t width)
{
    return (grid){height, width, width + 2, (height + 2) * (width + 2)};
}

static inline double around(const double *at, size_t stride)
{
    return EDGE * (at[-1] + at[1] + *(at - stride) + at[stride]) +
           CORNER * (*(at - stride - 1) + *(at - stride + 1) + at[stride - 1] + at[stride + 1]);
}

/* ret_product = diagonal * values - the sum of neighbours, where the diagonal is not 0; returns
 * values times ret_product. */
IG_CLONES
static double multiply(grid g, const double *diagonal, const double *values,
                       double *restrict ret_product)
{
    double dot = 0.0;
    for (size_t y = 1; y <= g.height; y++) {
        const size_t row = y * g.stride;
        double sum = 0.0;
        for (size_t i = row + 1; i <= row + g.width; i++) {
            const double product = diagonal[i] * values[i] - around(values + i, g.stride);
            ret_product[i] = diagonal[i] != 0.0 ? product : 0.0;
            sum += values[i] * ret_product[i];
        }
        dot += sum;
    }
    return dot;
}

/* One step: moves the solution and the residual; returns the residual's new size. */
IG_CLONES
static double step(size_t cells, double length, const double *inverse, const double *direction,
                   const double *product, double *restrict solution, double *restrict residual)
{
    double size = 0.0;
    for (size_t i = 0; i < cells; i++) {
        solution[i] += length * direction[i];
        residual[i] -= length * product[i];
        size += residual[i] * residual[i] * inverse[i];
    }
    return size;
}

/* Cells of the grid for each missing pixel: what the weights of its neighbours add up to, of those
 * that are in the picture. */
static void fill_diagonal(grid g, const unsigned char *missing, double *ret_diagonal)
{
    memset(ret_diagonal, 0, g.cells * sizeof *ret_diagonal);
    for (size_t y = 0; y < g.height; y++)
        for (size_t x = 0; x < g.width; x++) {
            if (!missing[y * g.width + x])
                continue;
            const double rows = (y > 0) + (y + 1 < g.height);
            const double columns = (x > 0) + (x + 1 < g.width);
            ret_diagonal[(y + 1) * g.stride + x + 1] =
                EDGE * (rows + columns) + CORNER * rows * columns;
        }
}

/* What a channel's known pixels add to the equations of those that are missing. */
static double fill_right_side(grid g, const float *channel, size_t channels, const double *diagonal,
                              double *known, double *ret_side)
{
    memset(known, 0, g.cells * sizeof *known);
    for (size_t y = 0; y < g.height; y++)
        for (size_t x = 0; x < g.width; x++) {
            const size_t i = (y + 1) * g.stride + x + 1;
            known[i] = diagonal[i] != 0.0 ? 0.0 : channel[(y * g.width + x) * channels];
        }
    double size = 0.0;
    memset(ret_side, 0, g.cells * sizeof *ret_side);
    for (size_t y = 1; y <= g.height; y++)
        for (size_t i = y * g.stride + 1; i <= y * g.stride + g.width; i++)
            if (diagonal[i] != 0.0) {
                ret_side[i] = around(known + i, g.stride);
                size += ret_side[i] * ret_side[i] / diagonal[i];
            }
    return size;
}

size_t ig_impute_scratch(size_t height, size_t width)
{
    return 6 * grid_of(height, width).cells;
}

IG_CLONES
static void turn(size_t cells, double part, const double *residual, const double *inverse,
                 double *restrict direction)
{
    for (size_t i = 0; i < cells; i++)
        direction[i] = residual[i] * inverse[i] + part * direction[i];
}

void ig_impute(const float *picture, const unsigned char *missing, size_t height, size_t width,
               size_t channels, size_t channel, double *scratch, float *ret_picture)
{
    const grid g = grid_of(height, width);
    double *diagonal = scratch, *inverse = diagonal + g.cells, *solution = inverse + g.cells,
           *residual = solution + g.cells, *direction = residual + g.cells,
           *product = direction + g.cells;
    fill_diagonal(g, missing, diagonal);
    for (size_t i = 0; i < g.cells; i++)
        inverse[i] = diagonal[i] != 0.0 ? 1.0 / diagonal[i] : 0.0;
    double size = fill_right_side(g, picture + channel, channels, diagonal, product, residual);
    const double enough = PRECISION * PRECISION * size;
    memset(solution, 0, g.cells * sizeof *solution);
    memset(direction, 0, g.cells * sizeof *direction);
    memset(product, 0, g.cells * sizeof *product);
    turn(g.cells, 0.0, residual, inverse, direction);
    /* As many steps as there are equations would be enough with exact arithmetic. */
    for (size_t k = 0; size > enough && k < height * width; k++) {
        const double curvature = multiply(g, diagonal, direction, product);
        const double before = size;
        size = step(g.cells, size / curvature, inverse, direction, product, solution, residual);
        turn(g.cells, size / before, residual, inverse, direction);
    }
    for (size_t y = 0; y < height; y++)
        for (size_t x = 0; x < width; x++) {
            const size_t p = y * width + x;
            const float found = (float)solution[(y + 1) * g.stride + x + 1];
            ret_picture[p * channels + channel] =
                missing[p] ? found : picture[p * channels + channel];
        }
}
