"""The visualizer in plain NumPy and SciPy: the seed's arithmetic, and what its definitions imply
where it fails. What every result of GradVisualizer is compared with."""

import numpy as np
from scipy import ndimage

ONES_3, ONES_4 = np.ones((3, 3)), np.ones((4, 4))

FULL = {
    "clip_above_percentile": 95,
    "clip_below_percentile": 28,
    "morphological_cleanup": True,
    "outlines": True,
}
"""The seed's second picture; its first is plain, with clip_above_percentile=99."""


class SeedVisualizer:
    """The seed's GradVisualizer, with nothing mended: Keras's example "Model interpretability with
    Integrated Gradients"."""

    positive_channel = (0, 255, 0)
    negative_channel = (255, 0, 0)

    def apply_polarity(self, a, polarity):
        return np.clip(a, 0, 1) if polarity == "positive" else np.clip(a, -1, 0)

    def apply_linear_transformation(
        self, a, clip_above_percentile=99.9, clip_below_percentile=70.0, lower_end=0.2
    ):
        m = self.get_thresholded_attributions(a, percentage=100 - clip_above_percentile)
        e = self.get_thresholded_attributions(a, percentage=100 - clip_below_percentile)
        t = (1 - lower_end) * (np.abs(a) - e) / (m - e) + lower_end
        t *= np.sign(a)
        t *= t >= lower_end
        return np.clip(t, 0.0, 1.0)

    def get_thresholded_attributions(self, a, percentage):
        if percentage == 100.0:
            return np.min(a)
        flat = a.flatten()
        total = np.sum(flat)
        ordered = np.sort(np.abs(flat))[::-1]
        cumulative = 100.0 * np.cumsum(ordered) / total
        return ordered[np.where(cumulative >= percentage)[0][0]]

    def binarize(self, a, threshold=0.001):
        return a > threshold

    def morphological_cleanup_fn(self, a, structure=ONES_4):
        closed = ndimage.grey_closing(a, structure=structure)
        return ndimage.grey_opening(closed, structure=structure)

    def draw_outlines(self, a, percentage=90, connected_component_structure=ONES_3):
        a = ndimage.binary_fill_holes(self.binarize(a))
        labels, n = ndimage.label(a, structure=connected_component_structure)
        total = np.sum(a[labels > 0])
        sums = [(np.sum(a[labels == c]), labels == c) for c in range(1, n + 1)]
        sums = sorted(sums, key=lambda x: x[0], reverse=True)
        cumulative = np.cumsum(next(zip(*sums, strict=True)))
        cutoff = min(np.where(cumulative >= percentage * total / 100)[0][0], 2)
        border = np.zeros_like(a)
        for i in range(cutoff + 1):
            border[sums[i][1]] = 1
        border[ndimage.binary_erosion(border, iterations=1)] = 0
        return border

    def process_grads(
        self,
        image,
        attributions,
        polarity="positive",
        clip_above_percentile=99.9,
        clip_below_percentile=0,
        morphological_cleanup=False,
        structure=ONES_3,
        outlines=False,
        outlines_component_percentage=90,
        overlay=True,
    ):
        a = self.apply_polarity(attributions, polarity)
        channel = list(self.positive_channel)
        if polarity == "negative":
            a, channel = np.abs(a), list(self.negative_channel)
        a = np.average(a, axis=2)
        a = self.apply_linear_transformation(
            a, clip_above_percentile, clip_below_percentile, lower_end=0.0
        )
        if morphological_cleanup:
            a = self.morphological_cleanup_fn(a, structure=structure)
        if outlines:
            a = self.draw_outlines(a, percentage=outlines_component_percentage)
        a = np.expand_dims(a, 2) * channel
        return np.clip(a * 0.8 + image, 0, 255) if overlay else a


def energy_threshold(a, percentage):
    """The seed's threshold where it has one, and what stands in for it where it has none."""
    a = np.float64(a).ravel()
    if percentage == 100:
        return a.min()
    ordered = np.sort(np.abs(a))[::-1]
    total = a.sum()
    if total <= 0:
        return ordered[0]
    reached = np.flatnonzero(100.0 * np.cumsum(ordered) / total >= percentage)
    return ordered[reached[0] if reached.size else -1]


def linear_transform(a, high, low, lower_end):
    """The seed's line between two thresholds, and the step it tends to where they are equal."""
    a = np.float64(a)
    if high == low:
        line = np.where(np.abs(a) < low, -np.inf, np.inf)
    else:
        line = (1 - lower_end) * (np.abs(a) - low) / (high - low) + lower_end
    line = np.where(a == 0, 0, np.where(a < 0, -line, line))
    return np.clip(np.where(line >= lower_end, line, 0), 0, 1)


def cleanup(a, structure):
    """Closing and opening by the definition: SciPy's code is wrong for structures many times the
    size of the map (1.17.1: 200 columns on 14)."""

    def filtered(a, greatest):
        rows, columns = structure.shape
        above, left = rows // 2, columns // 2
        if greatest:
            above, left = (rows - 1) // 2, (columns - 1) // 2
        padding = ((above, rows - 1 - above), (left, columns - 1 - left))
        padded = np.pad(a, padding, mode="symmetric")
        windows = np.lib.stride_tricks.sliding_window_view(padded, structure.shape)
        if greatest:
            return (windows + structure[::-1, ::-1]).max(axis=(2, 3))
        return (windows - structure).min(axis=(2, 3))

    closed = filtered(filtered(a, True), False)
    return filtered(filtered(closed, False), True)


def attributions_like(shape, seed=0, dtype=np.float64):
    """Maps (H, W, 3) that look like a network's, in the seed's units: noise that is smooth over a
    pixel or two and mostly common to the channels, strong in some regions.

    Like the seed's own for a real Xception: 2 % of the values beyond 1, the mean of the positive
    ones 0 in a third of the pixels (a quarter there), some 140 regions at 299 x 299 (135 there).
    """
    rng = np.random.default_rng(seed)
    regions = ndimage.gaussian_filter(rng.standard_normal(shape), max(shape) / 30)
    strength = 0.3 + np.maximum(regions / regions.std(), 0)
    common = ndimage.gaussian_filter(rng.standard_normal(shape), 0.7)
    noise = ndimage.gaussian_filter(rng.standard_normal((*shape, 3)), (0.7, 0.7, 0))
    a = strength[:, :, np.newaxis] * (noise + 2 * common[:, :, np.newaxis])
    return (a / np.percentile(np.abs(a), 98)).astype(dtype)


def photograph_like(shape, seed=0):
    """Random pixels (H, W, 3), uint8."""
    return np.random.default_rng(seed).integers(0, 256, (*shape, 3), dtype=np.uint8)
