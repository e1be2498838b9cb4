"""Pictures of attributions: the seed's GradVisualizer on the kernels of the C core."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt

from .. import _core
from ..images.mending import warn_of_range
from . import styles
from .arguments import (
    check_axes,
    check_choice,
    check_clip,
    check_colour,
    check_count,
    check_file,
    check_finite,
    check_match,
    check_percentage,
    check_positive,
    check_regions,
    check_titles,
    to_limits,
    to_links,
    to_photographs,
    to_real,
    to_regions,
    to_rgb_colour,
    to_size,
    to_stack,
    to_structure,
)
from .bars import draw_bars
from .colours import NEGATIVE, POSITIVE, Colour
from .contents import Column, Picture
from .figures import draw_columns
from .panels import (
    SUBJECTS,
    Subject,
    draw_regions,
    draw_styled,
    draw_trusted,
    explain_colours,
    to_rgb,
)
from .recipe import POLARITIES, RANKS, Recipe, paint

Array = npt.NDArray[Any]
Mask = npt.NDArray[np.bool_]


def _ones(size: int) -> Array:
    array = np.ones((size, size))
    array.setflags(write=False)
    return array


# Read-only, because they are the defaults of arguments.
ONES_3, ONES_4 = _ones(3), _ones(4)


class GradVisualizer:
    """Turn gradients and attributions of an image into pictures.

    The methods are those of Keras's example "Model interpretability with Integrated
    Gradients" (A_K_Nain 2020), with its arguments, defaults and results. Where the example's code
    fails or yields NaN they return what its definition implies: each says so.

    The example's arithmetic clips at 1, which is a matter of units. It differentiates with respect
    to the preprocessed image but multiplies by the distance in pixels, so that its arrays are 127.5
    times those of `intgrad.integrated_gradients` for Xception: the clip cuts the strongest of its
    pixels and none of ours. `127.5 * attributions` gives the example's pictures; `clip=None` cuts
    nothing, whatever the unit.

    Parameters
    ----------
    positive_channel, negative_channel : sequence of float
        Colours of positive and negative attributions, usually RGB, 0..255.

    Raises
    ------
    TypeError, ValueError
        If a colour is no sequence of finite numbers.

    Notes
    -----
    Attributions are arrays of any real dtype, finite and at most 1e290 in magnitude; they are
    computed in float64 and never modified. Arrays that come back have the dtypes of the example's:
    float32 if `attributions` are float32, else float64, unless a method says otherwise. Calls
    release the GIL, and one visualizer may be used from several threads.
    """

    def __init__(
        self,
        positive_channel: Sequence[float] = POSITIVE,
        negative_channel: Sequence[float] = NEGATIVE,
    ) -> None:
        self.positive_channel = check_colour(positive_channel, "positive_channel")
        self.negative_channel = check_colour(negative_channel, "negative_channel")

    def apply_polarity(
        self, attributions: npt.ArrayLike, polarity: str, *, clip: float | None = 1.0
    ) -> Array:
        """Keep the values of one sign, clipped.

        Parameters
        ----------
        attributions : array_like
            Any shape.
        polarity : {"positive", "negative"}
            Which sign; the example takes any other word for "negative".
        clip : float, optional
            Largest magnitude to keep, in the unit of `attributions`; None keeps all.

        Returns
        -------
        numpy.ndarray
            In the shape of `attributions`, within [0, clip] or [-clip, 0]; all 0 if no value has
            that sign.

        Raises
        ------
        TypeError, ValueError
            If `attributions` are not real and finite, `polarity` is unknown or `clip` is not
            positive.
        """
        limit = check_clip(clip)
        positive = check_choice(polarity, POLARITIES[:2], "polarity") == "positive"
        array = to_real(attributions, "attributions")
        low, high = (0.0, limit) if positive else (-limit, 0.0)
        return _like(_core.clip(array, low, high), array)

    def apply_linear_transformation(
        self,
        attributions: npt.ArrayLike,
        clip_above_percentile: float = 99.9,
        clip_below_percentile: float = 70.0,
        lower_end: float = 0.2,
    ) -> Array:
        """Scale a map to 0..1 between two of its energy thresholds.

        The line f with f(m) = 1 and f(e) = `lower_end` is applied to the magnitudes, where m and e
        are the thresholds at 100 - `clip_above_percentile` and 100 - `clip_below_percentile` per
        cent. The result takes the sign of the attribution, is 0 below `lower_end`, and at most 1.

        Parameters
        ----------
        attributions : array_like
            Any shape, not empty.
        clip_above_percentile, clip_below_percentile : float
            In [0, 100].
        lower_end : float
            Value at the lower threshold.

        Returns
        -------
        numpy.ndarray
            In the shape of `attributions`, values 0..1. Where both thresholds are equal, as in a
            constant map, the line is a step: 1 at and above the threshold, 0 below it, and 0 where
            the attribution is 0.

        Raises
        ------
        TypeError, ValueError
            If `attributions` are empty or not real and finite, a percentile lies outside
            [0, 100], or `lower_end` is not finite.
        """
        high = 100 - check_percentage(clip_above_percentile, "clip_above_percentile")
        low = 100 - check_percentage(clip_below_percentile, "clip_below_percentile")
        lower_end = check_finite(lower_end, "lower_end")
        array = to_real(attributions, "attributions")
        return _like(_core.linear_transform(array, high, low, lower_end, None), array)

    def get_thresholded_attributions(self, attributions: npt.ArrayLike, percentage: float) -> Any:
        """Find the magnitude at which the largest ones add up to a percentage of the sum.

        Parameters
        ----------
        attributions : array_like
            Any shape, not empty.
        percentage : float
            Of the plain sum of the attributions, in [0, 100].

        Returns
        -------
        numpy.float64 or numpy.float32
            One of the magnitudes; at exactly 100 per cent the least attribution, with its sign.
            The least magnitude if rounding keeps the sum from the percentage; the greatest if the
            plain sum is 0 or negative, for then any value reaches its percentage.

        Raises
        ------
        TypeError, ValueError
            If `attributions` are empty or not real and finite, or `percentage` lies outside
            [0, 100].
        """
        percentage = check_percentage(percentage, "percentage")
        array = to_real(attributions, "attributions")
        threshold = _core.energy_threshold(array, percentage)
        return _result_type(array)(threshold)

    def binarize(self, attributions: npt.ArrayLike, threshold: float = 0.001) -> Mask:
        """Say which attributions are greater than a threshold.

        Parameters
        ----------
        attributions : array_like
            Any shape.
        threshold : float
            Rounded to float32 for a float32 map, as NumPy does.

        Returns
        -------
        numpy.ndarray
            bool, in the shape of `attributions`.

        Raises
        ------
        TypeError, ValueError
            If `attributions` are not real and finite, or `threshold` is not finite.
        """
        threshold = check_finite(threshold, "threshold")
        array = to_real(attributions, "attributions")
        return _core.binarize(array, float(_result_type(array)(threshold)))

    def morphological_cleanup_fn(
        self, attributions: npt.ArrayLike, structure: npt.ArrayLike = ONES_4
    ) -> Array:
        """Fill small gaps and remove small specks: grey closing, then grey opening.

        As SciPy's `grey_closing` and `grey_opening` with `structure=`, which is not a footprint:
        its values are added and subtracted. Edges are mirrored.

        Parameters
        ----------
        attributions : array_like
            (H, W).
        structure : array_like
            (rows, columns), finite. Where all its values are equal the time does not depend on its
            size, else it is proportional to it.

        Returns
        -------
        numpy.ndarray
            (H, W).

        Raises
        ------
        TypeError, ValueError
            If either array is empty, not two-dimensional, or not real and finite.
        """
        array = to_real(attributions, "attributions", ndim=2)
        return _like(_core.cleanup(array, to_structure(structure), None), array)

    def draw_outlines(
        self,
        attributions: npt.ArrayLike,
        percentage: float = 90,
        connected_component_structure: npt.ArrayLike = ONES_3,
        rank: str = "pixels",
    ) -> Mask:
        """Draw the borders of the largest connected regions.

        Attributions above 0.001 make the regions, with their holes filled. The largest are kept
        until they hold `percentage` of all; at most three.

        Parameters
        ----------
        attributions : array_like
            (H, W).
        percentage : float
            In [0, 100].
        connected_component_structure : array_like
            (3, 3), what a pixel at its centre is connected to: ones for eight neighbours,
            `scipy.ndimage.generate_binary_structure(2, 1)` for four. The same after a turn by 180
            degrees.
        rank : {"pixels", "attribution"}
            What makes a region large: its number of pixels, as in the example, or the sum of its
            attributions.

        Returns
        -------
        numpy.ndarray
            (H, W) bool; all False where no attribution is above 0.001.

        Raises
        ------
        TypeError, ValueError
            If `attributions` are empty, not two-dimensional, or not real and finite, `percentage`
            lies outside [0, 100], or the structure is not (3, 3) and symmetric.
        """
        percentage = check_percentage(percentage, "percentage")
        links = to_links(connected_component_structure)
        by_pixels = check_choice(rank, RANKS, "rank") == "pixels"
        array = to_real(attributions, "attributions", ndim=2)
        mask = _core.fill_holes(self.binarize(array))
        labels, sizes = _core.components(mask, links, None if by_pixels else array)
        return _core.outline(labels, sizes, percentage)

    def process_grads(
        self,
        image: npt.ArrayLike | None,
        attributions: npt.ArrayLike,
        polarity: str = "positive",
        clip_above_percentile: float = 99.9,
        clip_below_percentile: float = 0,
        morphological_cleanup: bool = False,
        structure: npt.ArrayLike = ONES_3,
        outlines: bool = False,
        outlines_component_percentage: float = 90,
        overlay: bool = True,
        *,
        clip: float | None = 1.0,
        rank: str = "pixels",
        vmax: float | None = None,
    ) -> Array:
        """Turn the attributions of an image into a picture.

        Polarity, mean over the channels, linear transformation with `lower_end` 0, and where asked
        for cleanup and outlines; then coloured, and laid over the image.

        Parameters
        ----------
        image : array_like or None
            (H, W, K), values 0..255, any real dtype; K as in the colour, or 1. Not looked at
            without `overlay`.
        attributions : array_like
            (H, W, C), or gradients.
        polarity : {"positive", "negative", "both"}
            Which sign to show, in its colour; "both" on one scale.
        clip_above_percentile, clip_below_percentile : float
            See `apply_linear_transformation`; 0 below keeps everything.
        morphological_cleanup : bool
            Apply `morphological_cleanup_fn` with `structure`.
        structure : array_like
            (rows, columns).
        outlines : bool
            Show the outlines of the regions in place of the regions: `draw_outlines` with
            `outlines_component_percentage` and `rank`.
        outlines_component_percentage : float
            In [0, 100].
        overlay : bool
            Add 0.8 of the picture to the image and clip to 0..255, or return the picture alone.
        clip : float, optional
            See `apply_polarity`; not in the example, which clips at 1.
        rank : {"pixels", "attribution"}
            See `draw_outlines`; not in the example, which counts pixels.
        vmax : float, optional
            Channel mean that is shown at full strength, in place of both percentiles, so that
            several pictures share a scale; not in the example.

        Returns
        -------
        numpy.ndarray
            (H, W, K) float64; int64 for outlines without overlay in a colour of ints. The bare
            image, or black, if no attribution has that sign.

        Warns
        -----
        UserWarning
            If the values of the image are no pixels, and it is shown.

        Raises
        ------
        TypeError, ValueError
            If an array has the wrong shape, is empty or is not real and finite, or an argument
            is out of its range; the text quotes it.
        """
        recipe = Recipe.of(
            polarity,
            clip_above_percentile,
            clip_below_percentile,
            morphological_cleanup,
            structure,
            outlines,
            outlines_component_percentage,
            overlay,
            clip,
            rank,
            vmax,
        )
        if overlay:
            warn_of_range(to_real(image, "image", ndim=3), stacklevel=3)
        return self._cook(recipe, image, attributions)

    def _cook(
        self, recipe: Recipe, image: npt.ArrayLike | None, attributions: npt.ArrayLike
    ) -> Array:
        """Do what `process_grads` is asked for."""
        colours = [self._colour(sign) for sign in recipe.signs]
        array = to_real(attributions, "attributions", ndim=3)
        picture = to_real(image, "image", ndim=3) if recipe.overlay else None
        if picture is not None:
            for colour in colours:
                check_match(picture, array, colour)
        layers = recipe.tone(array)
        if recipe.outlines:
            layers = [
                self.draw_outlines(layer, recipe.outlined, rank=recipe.rank) for layer in layers
            ]
        if recipe.outlines and not recipe.rim:
            for layer in layers:
                layer[[0, -1]] = layer[:, [0, -1]] = False
        return paint(picture, layers, colours)

    def _colour(self, sign: float) -> tuple[float, ...]:
        name = "positive_channel" if sign > 0 else "negative_channel"
        return check_colour(getattr(self, name), name)

    def _key_colours(self, exact: bool) -> tuple[Colour, Colour]:
        """Return both colours as RGB; where they are not, refuse them if `exact`, or come near."""
        names = ("positive_channel", "negative_channel")
        positive, negative = (to_rgb_colour(getattr(self, name), name, exact) for name in names)
        return positive, negative

    def visualize(
        self,
        image: npt.ArrayLike,
        gradients: npt.ArrayLike | None = None,
        integrated_gradients: npt.ArrayLike | None = None,
        polarity: str = "positive",
        clip_above_percentile: float = 99.9,
        clip_below_percentile: float = 0,
        morphological_cleanup: bool = False,
        structure: npt.ArrayLike = ONES_3,
        outlines: bool = False,
        outlines_component_percentage: float = 90,
        overlay: bool = True,
        figsize: tuple[float, float] = (15, 8),
        *,
        clip: float | None = 1.0,
        rank: str = "pixels",
        style: str = "overlay",
        vmax: float | tuple[float | None, float | None] | None = None,
        error: npt.ArrayLike | None = None,
        regions: Any = None,
        k: float = 2.0,
        show: bool = True,
        save: str | os.PathLike[str] | None = None,
        axes: Any = None,
        titles: Sequence[str] | None = None,
        caption: str | None = None,
    ) -> Any:
        """Show an image, or several, beside their gradients and integrated gradients.

        Below them stand what the colours mean, and for heat maps the scale with its unit.

        Parameters
        ----------
        image : array_like
            (H, W, K), or (N, H, W, K) for a row each; values 0..255, K of 1, 3 or 4 channels, of
            which the first three are shown. Of more, pass three: `image[..., [3, 2, 1]]`.
        gradients, integrated_gradients : array_like, optional
            (H, W, C) or (N, H, W, C), of any number of channels. One of them may be None, and has
            no column then.
        polarity, clip_above_percentile, clip_below_percentile, morphological_cleanup, structure
            As in `process_grads`, and so are the next ones.
        outlines, outlines_component_percentage, overlay, clip, rank
            As in `process_grads`; for the style "overlay" alone.
        figsize : (float, float)
            Width and height in inches that the figure may have at most, the height for each of
            several images. It is smaller where their shape leaves room.
        style : {"overlay", "heat", "masked", "blended"}
            "overlay" is the example's `process_grads`. The others draw the mean over the channels:
            as a heat map (white for 0, darker in the colour of its sign on both sides alike), as
            the image where that is strong and black elsewhere, or as a heat map over the grey
            image. Heat maps take colours of three components only.
        vmax : float or (float, float), optional
            End of the scale, in the unit of the mean over the channels: one for both columns, or
            one for each. If None, an image by itself is scaled by its percentiles; a batch shares
            the scale of each column, and so do all styles but "overlay".
        error : array_like, optional
            (H, W) or (N, H, W), `info.pixel_error_map`: adds a panel in which the pixels whose
            integrated gradient lies within `k` standard deviations of 0 are grey.
        regions : Regions or list of Regions, optional
            `info.regions`, for several images one of each: adds a panel with what the regions made
            of the score, in which those within `k` standard deviations of 0 are hatched.
        k : float
            See `error` and `regions`.
        show : bool
            Call `matplotlib.pyplot.show()`, as the example does.
        save : path, optional
            Write the figure to a file, its format by its suffix.
        axes : array_like of matplotlib.axes.Axes, optional
            Draw into these, one for each panel, row by row; without keys, scales and caption.
        titles : sequence of str, optional
            One for each column.
        caption : str, optional
            Text below the panels.

        Returns
        -------
        matplotlib.figure.Figure
            A row of three panels for each image, and one more each with `error` and `regions`.

        Warns
        -----
        UserWarning
            If the image's values are no pixels.

        Raises
        ------
        TypeError, ValueError
            As `process_grads`; and if the shapes do not match, `style` is unknown, or `axes`,
            `titles` or `save` are none.
        ImportError
            If matplotlib is not installed.
        """
        check_choice(style, styles.STYLES, "style")
        images = to_photographs(image)
        subjects = [
            Subject(title, unit, to_stack(values, name, 3, images.shape[:3]), limit)
            for name, values, (title, unit), limit in zip(
                ("gradients", "integrated_gradients"),
                (gradients, integrated_gradients),
                SUBJECTS,
                to_limits(vmax),
                strict=True,
            )
            if values is not None
        ]
        if not subjects:
            raise TypeError("visualize needs gradients or integrated_gradients, got neither")
        if error is not None and integrated_gradients is None:
            raise TypeError("error is that of integrated_gradients, and they are None")
        width, height = to_size(figsize)
        parts = None if regions is None else to_regions(regions, images.shape[:3])
        axes, titles, save = check_axes(axes), check_titles(titles), check_file(save, "save")
        recipe = Recipe.of(
            polarity,
            clip_above_percentile,
            clip_below_percentile,
            morphological_cleanup,
            structure,
            outlines,
            outlines_component_percentage,
            overlay,
            clip,
            rank,
            None,
        )
        warn_of_range(images, stacklevel=3)
        photographs = to_rgb(images)
        has_doubts = error is not None or parts is not None
        colours = self._key_colours(exact=style in ("heat", "blended") or has_doubts)
        columns = [Column("Input", list(photographs))]
        for subject in subjects:
            if style == "overlay":
                pictures = self._overlays(
                    replace(recipe, vmax=subject.vmax), images, subject.attributions
                )
                columns.append(Column(subject.title, pictures))
            else:
                columns.append(draw_styled(subject, style, photographs, polarity, colours))
        k = check_positive(k, "k")
        if parts is not None:
            columns.append(draw_regions(photographs, parts, k, colours))
        if error is not None:
            deviations = to_stack(error, "error", 2, images.shape[:3])
            columns.append(draw_trusted(subjects[-1], deviations, k, colours))
        return draw_columns(
            columns if titles is None else _rename(columns, titles),
            figsize=(width, len(images) * height),
            keys=explain_colours(style, polarity, colours, k if has_doubts else None),
            caption=None if caption is None else str(caption),
            axes=axes,
            show=show,
            save=save,
        )

    def plot_regions(
        self,
        regions: Any,
        image: npt.ArrayLike | None = None,
        *,
        k: float = 2.0,
        most: int = 15,
        title: str = "What each region made of the score",
        show: bool = True,
        save: str | os.PathLike[str] | None = None,
        axes: Any = None,
    ) -> Any:
        """Plot what regions made of the score as bars, the largest by magnitude first.

        Error bars are one standard deviation. The colours are those of the region panel of
        `visualize`, and regions within `k` standard deviations of 0 are grey and hatched.

        Parameters
        ----------
        regions : Regions
            `info.regions`, of one image and target.
        image : array_like, optional
            (H, W, K), values 0..255, K of 1, 3 or 4: adds the panel of `visualize` beside the bars,
            with the names of the regions that have one.
        k : float
            How many standard deviations from 0 can be told from it.
        most : int
            How many regions have a bar of their own; one bar more is the sum of all others.
        title : str
            Above the bars.
        show : bool
            Call `matplotlib.pyplot.show()`.
        save : path, optional
            Write the figure to a file, its format by its suffix.
        axes : matplotlib.axes.Axes, optional
            Draw into these, without the key of colours; with `image` two, the panel's first.

        Returns
        -------
        matplotlib.figure.Figure

        Raises
        ------
        TypeError, ValueError
            If `regions` are none, or an argument is out of its range; the text quotes it.
        ImportError
            If matplotlib is not installed.
        """
        check_regions(regions)
        k, most = check_positive(k, "k"), check_count(most, "most")
        colours, picture = self._key_colours(exact=True), None
        found = check_axes(axes)
        if found is not None and len(found) != 1 + (image is not None):
            raise ValueError(f"axes must be {1 + (image is not None)}, got {len(found)}")
        if image is not None:
            images = to_photographs(image)
            parts = to_regions(regions, images.shape[:3])
            warn_of_range(images, stacklevel=3)
            picture = draw_regions(to_rgb(images), parts, k, colours).pictures[0]
        return draw_bars(
            regions,
            k=k,
            most=most,
            keys=explain_colours("blended", "both", colours, k),
            picture=picture,
            title=str(title),
            axes=None if found is None else list(found),
            show=show,
            save=check_file(save, "save"),
        )

    def _overlays(self, recipe: Recipe, images: Array, values: Array) -> list[Picture]:
        """Draw a column as the seed does; several images share the threshold of all of them."""
        if images.shape[3] == 4 and len(self.positive_channel) == 3:
            images = images[..., :3]
        if recipe.vmax is None and len(images) > 1:
            means = np.stack([recipe.means(array) for array in values])
            threshold = float(self.get_thresholded_attributions(means, recipe.high))
            recipe = replace(recipe, vmax=threshold or None)
        return [
            to_rgb(self._cook(recipe, image, array))
            for image, array in zip(images, values, strict=True)
        ]


def _rename(columns: list[Column], titles: Sequence[str]) -> list[Column]:
    if len(titles) != len(columns):
        raise ValueError(f"titles must be {len(columns)}, one for each panel, got {titles!r}")
    return [replace(column, title=title) for column, title in zip(columns, titles, strict=True)]


def _result_type(array: Array) -> type[np.float32] | type[np.float64]:
    return np.float32 if array.dtype.type is np.float32 else np.float64


def _like(result: npt.NDArray[np.float64], array: Array) -> Array:
    """Return the core's `result` in the dtype that the seed gives for `array`."""
    return result.astype(_result_type(array), copy=False)
