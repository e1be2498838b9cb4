/* components.c - connected components of a mask: labels, holes, sums, outlines.
 *
 * Labelling is a union-find over the pixels themselves, as in the two-pass algorithm of Rosenfeld
 * and Pfaltz ("Sequential operations in digital picture processing", JACM 13, 1966): the array that
 * will hold the labels first holds, for every pixel of the set, the number of a pixel before it
 * (or its own) in the same component. Numbers are positions plus 1, and 0 is a pixel outside the
 * set. A root is the first pixel of its component, which is how SciPy orders its labels.
 */
#include <string.h>

#include "clones.h"
#include "kernels.h"

static int32_t find_root(int32_t *parents, int32_t node)
{
    while (parents[node - 1] != node) {
        /* Path halving: every other pixel on the way skips its parent. */
        parents[node - 1] = parents[parents[node - 1] - 1];
        node = parents[node - 1];
    }
    return node;
}

/* A node of the components of `a` and `b` together, either of which may be 0 for none. */
static inline int32_t join(int32_t *parents, int32_t a, int32_t b)
{
    if (b == 0 || a == b)
        return a;
    if (a == 0)
        return b;
    a = find_root(parents, a);
    b = find_root(parents, b);
    if (a < b)
        return parents[b - 1] = a;
    return parents[a - 1] = b;
}

/* Links the pixels whose being nonzero equals `wanted` to their neighbours before them. */
static void link_pixels(const unsigned char *mask, int wanted, size_t height, size_t width,
                        unsigned links, int32_t *ret_parents)
{
    for (size_t y = 0; y < height; y++) {
        /* Kept at hand: reading back what was just written would wait for it. */
        int32_t west = 0;
        for (size_t x = 0; x < width; x++) {
            const size_t i = y * width + x;
            int32_t node = 0;
            if ((mask[i] != 0) == wanted) {
                if (links & IG_WEST)
                    node = west;
                if (links & IG_NORTH_WEST && x > 0 && y > 0)
                    node = join(ret_parents, node, ret_parents[i - width - 1]);
                if (links & IG_NORTH && y > 0)
                    node = join(ret_parents, node, ret_parents[i - width]);
                if (links & IG_NORTH_EAST && x + 1 < width && y > 0)
                    node = join(ret_parents, node, ret_parents[i - width + 1]);
                if (node == 0)
                    node = (int32_t)(i + 1);
            }
            ret_parents[i] = west = node;
        }
    }
}

size_t ig_label(const unsigned char *mask, size_t height, size_t width, unsigned links,
                int32_t *ret_labels)
{
    link_pixels(mask, 1, height, width, links, ret_labels);
    int32_t count = 0;
    for (size_t i = 0; i < height * width; i++) {
        const int32_t parent = ret_labels[i];
        /* Parents lie before their children, so theirs is a label by now. */
        if (parent)
            ret_labels[i] = (size_t)parent == i + 1 ? ++count : ret_labels[parent - 1];
    }
    return (size_t)count;
}

void ig_fill_holes(const unsigned char *mask, size_t height, size_t width, int32_t *scratch,
                   unsigned char *ret_mask)
{
    /* The background beyond the edges makes one component of all that touches them. */
    int32_t outside = 0;
    link_pixels(mask, 0, height, width, IG_WEST | IG_NORTH, scratch);
    for (size_t x = 0; x < width; x++) {
        outside = join(scratch, outside, scratch[x]);
        outside = join(scratch, outside, scratch[(height - 1) * width + x]);
    }
    for (size_t y = 0; y < height; y++) {
        outside = join(scratch, outside, scratch[y * width]);
        outside = join(scratch, outside, scratch[y * width + width - 1]);
    }
    if (outside)
        outside = find_root(scratch, outside);
    for (size_t i = 0; i < height * width; i++) {
        if (scratch[i])
            scratch[i] = scratch[scratch[i] - 1];
        ret_mask[i] = scratch[i] == 0 || scratch[i] != outside;
    }
}

void ig_component_sums(const int32_t *labels, const double *weights, size_t pixels,
                       size_t components, double *ret_sums)
{
    memset(ret_sums, 0, components * sizeof *ret_sums);
    /* A run of one label at a time: additions to one place would wait for each other. */
    for (size_t i = 0; i < pixels;) {
        const size_t start = i;
        const int32_t label = labels[start];
        double sum = 0.0;
        for (; i < pixels && labels[i] == label; i++)
            sum += weights ? weights[i] : 1.0;
        if (label)
            ret_sums[label - 1] += sum;
    }
}

size_t ig_largest_components(const double *sums, size_t components, double percentage,
                             int32_t ret_labels[IG_MOST_COMPONENTS])
{
    double total = 0.0;
    size_t found = 0;
    for (size_t k = 0; k < components; k++) {
        total += sums[k];
        /* Insertion into the short list of the largest; equals stay behind earlier ones. */
        size_t at = found < IG_MOST_COMPONENTS ? found++ : IG_MOST_COMPONENTS;
        for (; at > 0 && sums[k] > sums[ret_labels[at - 1] - 1]; at--)
            if (at < IG_MOST_COMPONENTS)
                ret_labels[at] = ret_labels[at - 1];
        if (at < IG_MOST_COMPONENTS)
            ret_labels[at] = (int32_t)(k + 1);
    }
    double sum = 0.0;
    for (size_t k = 0; k < found; k++) {
        sum += sums[ret_labels[k] - 1];
        if (sum >= percentage * total / 100.0)
            return k + 1;
    }
    return found;
}

IG_CLONES
void ig_outline(const int32_t *labels, size_t height, size_t width, const int32_t *kept, size_t n,
                unsigned char *scratch, unsigned char *ret_mask)
{
    memset(ret_mask, 0, height * width);
    for (size_t k = 0; k < n; k++)
        for (size_t i = 0; i < height * width; i++)
            ret_mask[i] |= labels[i] == kept[k];
    unsigned char *above = scratch, *here = scratch + width;
    memset(above, 0, width);
    for (size_t y = 0; y < height; y++) {
        unsigned char *row = ret_mask + y * width, *below = row + width;
        memcpy(here, row, width);
        /* The first and last row and column have an edge of the picture beside them. */
        if (y > 0 && y + 1 < height)
            for (size_t x = 1; x + 1 < width; x++)
                row[x] = here[x] & !(above[x] & below[x] & here[x - 1] & here[x + 1]);
        unsigned char *swap = above;
        above = here;
        here = swap;
    }
}
