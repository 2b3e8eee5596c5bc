"""Sheets of images with what a finding changes in them, in colour."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from pgan.plots import FONT_SIZE

if TYPE_CHECKING:
    from matplotlib import figure

# Blue, the grey of an image, red: what the colours of differences look like over that grey.
_COLOURS = ("#0050FF", "#808080", "#FF1800")
_CELL = 2.1  # inches
_OPACITY = 0.9  # of the largest difference; what is there stays visible


@dataclasses.dataclass(frozen=True)
class Panel:
    """An image of a sheet.

    Attributes:
        title: Above it.
        image: [R, R], grey levels.
        difference: float [R, R], what was changed, in grey levels; None without.
        region: bool [R, R], outlined; None without.
    """

    title: str
    image: np.ndarray
    difference: np.ndarray | None = None
    region: np.ndarray | None = None


def scale(differences: np.ndarray) -> float:
    """End of a colour scale that fits differences float [F, ...] of F findings.

    It is the 99.5th percentile of the sizes within the finding that changes most, in whole grey
    levels and at least 1: single pixels do not pale all others.
    """
    each = np.percentile(np.abs(differences).reshape(len(differences), -1), 99.5, axis=1)
    return float(max(1.0, np.ceil(each.max())))


def sheet(
    panels: Sequence[Panel], columns: int, title: str, limit: float | None = None
) -> figure.Figure:
    """Draws images in rows, differences over them, all in one scale of colours.

    Args:
        panels: Row by row.
        columns: Of the sheet.
        title: What is shown.
        limit: End of the scale in grey levels; None if there are no differences.

    Returns:
        The figure. The further a difference is from 0, the more opaque is its colour.
    """
    from matplotlib import cm, colors, figure, rc_context

    rows = -(-len(panels) // columns)
    with rc_context({"font.size": FONT_SIZE - 1, "axes.titlesize": FONT_SIZE - 1}):
        size = (_CELL * columns + 0.2, (_CELL + 0.2) * rows + 1.1)
        drawing = figure.Figure((max(size[0], 6.5), size[1]), dpi=150, layout="constrained")
        drawing.suptitle(title, fontsize=FONT_SIZE, x=0.01, ha="left")
        grid = drawing.add_gridspec(rows + 1, columns, height_ratios=[*[1.0] * rows, 0.04])
        for number in range(rows * columns):
            part = drawing.add_subplot(grid[number // columns, number % columns])
            part.set_axis_off()
            if number < len(panels):
                _draw(part, panels[number], limit)
        if limit is not None:
            colours = colors.LinearSegmentedColormap.from_list("differences", _COLOURS)
            shades = cm.ScalarMappable(colors.Normalize(-limit, limit), colours)
            drawing.colorbar(
                shades,
                cax=drawing.add_subplot(grid[rows, :]),
                orientation="horizontal",
                extend="both",
                label="with - without the finding, grey levels of 255: red brighter, blue darker; "
                f"one scale for all, larger changes than {limit:g} are cut",
            )
        return drawing


def _draw(part, panel, limit):
    part.imshow(panel.image, cmap="gray", vmin=0, vmax=255)
    part.set_title(panel.title)
    if panel.difference is not None:
        part.imshow(_overlay(np.clip(panel.difference / limit, -1, 1)))
    if panel.region is not None and not panel.region.all():
        part.contour(panel.region, [0.5], colors="#00FF66", linewidths=0.8)


def _overlay(shares):
    """Colours float [R, R, 4] of shares of the limit in [-1, 1]: the larger, the more opaque."""
    from matplotlib import colors

    darker, _, brighter = map(colors.to_rgba, _COLOURS)
    overlay = np.where(shares[..., np.newaxis] > 0, brighter, darker)
    overlay[..., 3] = _OPACITY * np.abs(shares)
    return overlay
