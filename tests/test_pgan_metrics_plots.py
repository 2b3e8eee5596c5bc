"""Figures of measurements hold the numbers they are given."""

import numpy as np
import pytest

from pgan import distance_curves
from pgan.metrics import plots


def a_row(finding, real, synthetic, **facts):
    row = {"metric": "ms_ssim", "resolution": 256, "real": "NIH", "synthetic": "GAN"}
    row |= {"finding": finding, "pairs_wanted": 1000}
    for side, (mean, sd, pairs) in (("real", real), ("synthetic", synthetic)):
        row |= {f"{side}_mean": mean, f"{side}_sd": sd, f"{side}_pairs": pairs}
    return row | facts


def test_figure_shows_the_numbers():
    from matplotlib import axes

    rows = [
        a_row("Mass", (0.4, 0.1, 1000), (0.5, 0.05, 1000)),
        a_row("Hernia", (0.3, None, 1), (0.6, 0.2, 190)),
        a_row("Edema", (None, None, 0), (0.2, 0.1, 1000)),
    ]
    figure = plots.diversity(rows, "Diversity")
    figure.canvas.draw()
    (panel,) = figure.findobj(axes.Axes)
    assert sorted(bar.get_width() for bar in panel.patches) == [0.2, 0.3, 0.4, 0.5, 0.6]
    assert {text.get_text() for text in panel.texts} == {
        "0.40", "0.50", "0.30 (1 pair)", "0.60 (190 pairs)", "real: no pairs", "0.20",
    }  # fmt: skip
    assert [label.get_text() for label in panel.get_yticklabels()] == ["Mass", "Hernia", "Edema"]
    assert panel.get_xlabel().startswith("ms_ssim of pairs at 256 px")
    assert [text.get_text() for text in panel.get_legend().get_texts()] == [
        "real: NIH", "synthetic: GAN",
    ]  # fmt: skip


def test_no_words_overlap_in_the_figure():
    from matplotlib.backends import backend_agg

    rows = [
        a_row(f"Enlarged Cardiomediastinum {i}", (0.4 + i / 100, 0.1, 1000), (0.5, 0.2, 900))
        for i in range(14)
    ]
    figure = plots.diversity(rows, "Similarity of pairs with the same finding")
    backend_agg.FigureCanvasAgg(figure).draw()
    panel = figure.axes[0]
    words = [*panel.get_yticklabels(), *panel.texts, panel.xaxis.label]
    boxes = [word.get_window_extent().shrunk(0.9, 0.8) for word in words]
    for first, box in enumerate(boxes):
        assert box.count_overlaps(boxes[first + 1 :]) == 0, words[first].get_text()
        assert figure.bbox.contains(*box.min) and figure.bbox.contains(*box.max)


def test_figures_of_nothing_or_of_different_measures_are_refused():
    row = a_row("Mass", (0.4, 0.1, 1000), (0.5, 0.05, 1000))
    with pytest.raises(ValueError, match=r"got \[\]"):
        plots.diversity([], "Diversity")
    with pytest.raises(ValueError, match="ms_ssim_paper_code"):
        plots.diversity([row, row | {"metric": "ms_ssim_paper_code"}], "Diversity")


def a_spectrum(images, db, peaks=(), **facts):
    frequency = np.arange(1, 24) / 32
    return {
        "metric": "spectrum100_32px_db",
        "reference": "NIH, test",
        "images": images,
        "source": "gan",
        "frequency": frequency.tolist(),
        "reference_db": (50 - 60 * frequency).tolist(),
        "db": (50 - 60 * frequency + db).tolist(),
        "peaks": list(peaks),
        **facts,
    }


def test_spectra_and_their_differences_are_drawn():
    peaks = [{"frequency": 0.25, "angle": 90.0, "excess": 8.0, "score": 9.0}]
    rows = [
        a_spectrum("real", 0.5),
        a_spectrum("8 px, nearest", -3.0, peaks),
        a_spectrum("synthetic", 2.0, peaks),
    ]
    figure = plots.spectra(rows, "Spectra")
    figure.canvas.draw()
    upper, lower = figure.axes
    labels = [text.get_text() for text in upper.get_legend().get_texts()]
    assert labels == ["reference: NIH, test", "real", "8 px, nearest", "synthetic: gan"]
    curves = {line.get_label(): line.get_ydata() for line in upper.lines}
    np.testing.assert_allclose(curves["real"], rows[0]["db"])
    np.testing.assert_allclose(curves["reference: NIH, test"], rows[0]["reference_db"])
    differences = [line.get_ydata() for line in lower.lines if len(line.get_ydata()) == 23]
    np.testing.assert_allclose(differences, [[0.5] * 23, [-3.0] * 23, [2.0] * 23])
    # The synthetic images' peak only: 8 dB above the difference around it, going up.
    (peak,) = (line for line in lower.lines if line.get_marker() == "v")
    np.testing.assert_allclose(peak.get_xydata(), [[0.25, 10.0]])
    assert [text.get_text() for text in lower.texts] == ["90\N{DEGREE SIGN}"]


def test_spectra_of_different_references_are_refused():
    with pytest.raises(ValueError, match="reference"):
        plots.spectra([a_spectrum("real", 0), a_spectrum("x", 0, reference="other")], "Spectra")
    with pytest.raises(ValueError, match=r"got \[\]"):
        plots.spectra([], "Spectra")


def curves(**changes):
    values = {
        "fd500_fixed_to_train": [(5000, 8.0), (10000, 4.0), (15000, 5.0)],
        "fd64_fixed_to_held_out": [(5000, 9.0), (10000, 6.0), (15000, 7.0)],
        "fd64_fixed_real_floor": [(5000, 1.5), (10000, 1.5), (15000, 1.5)],
    }
    facts = {
        "run": "nih",
        "values": values,
        "phases": [(0, 4, False), (6000, 8, True), (9000, 8, False)],
        "images_shown": 16000,
        "best": {"metric": "fd64_fixed_to_held_out", "value": 6.0, "images_shown": 10000},
    }
    return distance_curves.Curves(**{**facts, **changes})


def test_evolution_shows_curves_stages_floor_and_best():
    figure = plots.evolution(curves(), "While training")
    figure.canvas.draw()
    (panel,) = figure.axes
    lines = {line.get_label(): line for line in panel.lines}
    np.testing.assert_allclose(
        lines["fd500_fixed_to_train"].get_xydata(), [[5, 8], [10, 4], [15, 5]]
    )
    floor, held_out = lines["fd64_fixed_real_floor"], lines["fd64_fixed_to_held_out"]
    assert floor.get_linestyle() == "--" and floor.get_color() == held_out.get_color()
    np.testing.assert_allclose(lines["kept as the best: 6 at 10 kimg"].get_xydata(), [[10, 6]])
    assert [text.get_text().strip() for text in panel.texts] == ["4 px", "8 px"]
    (shade,) = panel.patches
    corners = shade.get_xy()[:, 0]
    assert (min(corners), max(corners)) == (6, 9)


def test_evolution_without_a_best_checkpoint_or_without_distances():
    panel = plots.evolution(curves(best=None), "While training").axes[0]
    assert not any(line.get_marker() == "*" for line in panel.lines)
    with pytest.raises(ValueError, match="watched no distance"):
        plots.evolution(curves(values={}), "While training")
