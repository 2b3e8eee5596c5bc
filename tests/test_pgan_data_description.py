import dataclasses
import json

import numpy as np
import pytest

from pgan import plots
from pgan.data import description, description_tables, labels

FINDINGS = ("Mass", "Edema", "Hernia")
UNKNOWN = float("nan")
LABELS = np.array(
    [
        [1, 0, 0],
        [1, 1, 0],
        [0, 0, 0],
        [1, UNKNOWN, 0],
        [UNKNOWN, 0, 0],
        [0.6, 1, 0.4],
    ],
    np.float32,
)
PATIENTS = ["a", "a", "b", "b", "b", "c"]
EXTRAS = [
    {"age": 31, "sex": "F", "view": "AP"},
    {"age": "32", "sex": "F", "view": "PA"},
    {"age": 95, "sex": "M", "view": "PA", "group": "normal"},
    {"age": "", "sex": "", "view": "", "group": ""},
    {"age": 0, "sex": "M"},
    {"age": 47, "view": "LL"},
]


@pytest.fixture
def described():
    return description.describe(LABELS, PATIENTS, EXTRAS, FINDINGS)


def table(text, title):
    """{row: {column: cell}} of the table under a heading."""
    lines = text.split(f"## {title}\n\n")[1].split("\n\n")[0].splitlines()
    cells = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    return {row[0]: dict(zip(cells[0][1:], row[1:], strict=True)) for row in cells[2:]}


def test_findings(described):
    assert described.images == 6
    assert described.patients == 3
    assert described.images_per_patient == 2
    assert described.most_images_of_a_patient == 3
    counts = description.FindingCounts
    assert described.findings == {
        "Mass": counts(positive=4, negative=1, unknown=1, prevalence=0.8, positive_patients=3),
        "Edema": counts(positive=2, negative=3, unknown=1, prevalence=0.4, positive_patients=2),
        "Hernia": counts(positive=0, negative=6, unknown=0, prevalence=0, positive_patients=0),
    }
    # The third image is healthy; the fifth may have a mass.
    assert described.healthy == counts(1, 4, 1, 0.2, 1)
    assert described.findings_per_image == [2, 2, 2]


def test_cooccurrence(described):
    assert described.cooccurrence == [[4, 2, 0], [2, 2, 0], [0, 0, 0]]
    # Of four images with a mass, one does not say whether there is an edema.
    assert described.conditional == [[1, 2 / 3, 0], [1, 1, 0], [None, None, None]]


def test_people_and_views(described):
    assert {k: n for k, n in described.ages.items() if n} == {
        "0-9": 1, "30-39": 2, "40-49": 1, "90+": 1, "unknown": 1,
    }  # fmt: skip
    # Of 0, 31, 32, 47 and 90 years: 95 is stored as 90 in record sets, so it is 90 in tables too.
    quantiles = {"0": 0, "0.05": 6.2, "0.25": 31, "0.5": 32, "0.75": 47, "0.95": 81.4, "1": 90}
    assert described.age_quantiles == pytest.approx(quantiles)
    assert described.sexes == {"F": 2, "M": 2, "unknown": 2}
    assert described.views == {"AP": 1, "PA": 2, "LL": 1, "unknown": 2}
    assert described.groups == {"normal": 1, "unknown": 5}


def test_is_json(described):
    content = json.loads(json.dumps(dataclasses.asdict(described), allow_nan=False))
    assert content["findings"]["Mass"]["positive"] == 4
    assert content["conditional"][2] == [None, None, None]


def test_no_finding_as_a_class_decides_and_is_no_finding():
    vectors = np.array([[1, 0, 0], [1, 0, 1], [0, 1, 1], [0, 0, 0], [UNKNOWN, 1, 0]], np.float32)
    described = description.describe(
        vectors, list("aabbb"), [{}] * 5, ("No Finding", "Mass", "Support Devices")
    )
    assert described.healthy == description.FindingCounts(2, 2, 1, 0.5, 1)
    assert described.healthy == described.findings["No Finding"]
    assert described.findings_per_image == [2, 2, 1]


def test_finding_by_the_name_of_another_collection():
    described = description.describe(
        np.array([[1], [0]], np.float32), ["a", "b"], [{}, {}], ["Pleural Effusion"]
    )
    assert described.finding("Effusion").positive == 1
    assert described.finding("effusion") is described.findings["Pleural Effusion"]
    assert described.finding("No Finding") is described.healthy
    assert described.finding("Mass") is None


def test_nothing():
    described = description.describe(np.zeros((0, 2)), [], [], ["Mass", "Edema"])
    assert (described.images, described.patients, described.images_per_patient) == (0, 0, 0)
    assert described.findings["Mass"] == description.FindingCounts(0, 0, 0, None, 0)
    assert described.age_quantiles is None
    assert described.findings_per_image == [0]
    text = description_tables.markdown({"none": described}, ["none"])
    assert table(text, "Images")["images"] == {"none": "0"}


@pytest.mark.parametrize(
    "change, message",
    [
        ({"labels": LABELS[:, :2]}, r"labels \[6, 2\]"),
        ({"patient_ids": PATIENTS[:5]}, "5 patients"),
        ({"extras": EXTRAS[:4]}, "4 extras"),
        ({"labels": LABELS * 2}, r"in \[0, 1\]"),
        ({"extras": [{"age": "old"}] * 6}, "whole years, got 'old'"),
        ({"extras": [{"age": -3}] * 6}, "whole years, got -3"),
    ],
)
def test_refused(change, message):
    arguments = {
        "labels": LABELS, "patient_ids": PATIENTS, "extras": EXTRAS, "findings": FINDINGS,
    }  # fmt: skip
    with pytest.raises(ValueError, match=message):
        description.describe(**{**arguments, **change})


@pytest.mark.parametrize(
    "share, text",
    [(None, "-"), (0, "0 %"), (1, "100 %"), (0.54, "54.0 %"), (1431 / 112120, "1.28 %")],
)
def test_shares(share, text):
    assert description_tables.format_share(share) == text


def test_markdown(described):
    text = description_tables.markdown({"train": described}, ["train"])
    images = table(text, "Images")
    assert images["patients"] == {"train": "3"}
    assert images["images per patient, mean"] == {"train": "2.00"}
    assert images["age, median (quartiles)"] == {"train": "32 (31-47)"}
    assert images["age, range (90 is 90 and more)"] == {"train": "0-90"}
    assert images["age unknown"] == {"train": "1 (16.7 %)"}
    assert images["sex F"] == {"train": "2 (50.0 %)"}  # of those whose sex is known
    assert images["group normal"] == {"train": "1 (100 %)"}
    findings = table(text, "Images with / without a finding (share of the known with it)")
    assert findings == {
        "none of these": {"train": "1 / 4 (20.0 %)"},
        "Mass": {"train": "4 / 1 (80.0 %)"},
        "Edema": {"train": "2 / 3 (40.0 %)"},
        "Hernia": {"train": "0 / 6 (0 %)"},
    }
    assert table(text, "Images of unknown label")["Mass"] == {"train": "1"}
    assert table(text, "Patients with a finding in at least one image")["Mass"] == {"train": "3"}
    assert table(text, "Images by number of positive findings")["2"] == {"train": "2"}
    assert table(text, "Images by age in years")["30-39"] == {"train": "2 (40.0 %)"}
    both = table(text, "Images with both findings: train")
    assert both["1 Mass"] == {"1": "4", "2": "2", "3": "0"}
    shares = table(text, "Of images with the row's finding, % with the column's: train")
    assert shares["1 Mass"] == {"1": "100", "2": "66.7", "3": "0"}
    assert shares["3 Hernia"] == {"1": "-", "2": "-", "3": "-"}


def test_columns_of_two_vocabularies(described):
    stanford = description.describe(
        np.array([[1, 0, 0], [0, 1, 1], [0, 0, 1]], np.float32),
        ["a", "b", "c"],
        [{}] * 3,
        ("No Finding", "Pleural Effusion", "Edema"),
    )
    nih = description.describe(
        np.array([[1, 0], [1, 1]], np.float32), ["a", "a"], [{}] * 2, ("Effusion", "Mass")
    )
    text = description_tables.markdown({"nih": nih, "stanford": stanford}, [])
    findings = table(text, "Images with / without a finding (share of the known with it)")
    assert findings == {
        "No Finding / none of these": {"nih": "0 / 2 (0 %)", "stanford": "1 / 2 (33.3 %)"},
        "Effusion": {"nih": "2 / 0 (100 %)", "stanford": "1 / 2 (33.3 %)"},
        "Mass": {"nih": "1 / 1 (50.0 %)", "stanford": "-"},
        "Edema": {"nih": "-", "stanford": "2 / 1 (66.7 %)"},
    }
    assert "Images of unknown label" not in text
    assert "Images by age" not in text  # nobody's age is known
    assert "with both findings" not in text
    assert list(description_tables.finding_rows([stanford])) == [
        "No Finding", "Pleural Effusion", "Edema",
    ]  # fmt: skip


def drawn(figure, kind):
    """All artists of a kind in a figure and its parts."""
    return figure.findobj(lambda artist: isinstance(artist, kind))


def test_figure_shows_the_numbers(described):
    from matplotlib import axes, text

    figure = plots.label_statistics({"train": described}, ["train"], "Labels of x")
    figure.canvas.draw()
    panels = {panel.get_xlabel(): panel for panel in drawn(figure, axes.Axes)}
    prevalence = panels["positive images, % of those with a known label"]
    assert [bar.get_width() for bar in prevalence.patches] == pytest.approx([20, 80, 40, 0])
    assert [label.get_text() for label in prevalence.get_yticklabels()] == [
        "none of these", "Mass", "Edema", "Hernia",
    ]  # fmt: skip
    heat_map = [panel for panel in panels.values() if panel.images][0]
    assert [cell.get_text() for cell in heat_map.texts] == [
        "4", "67", "0",
        "100", "2", "0",
        "-", "-", "0",
    ]  # fmt: skip
    views = panels["view\nunknown, %: 33"]
    assert [bar.get_height() for bar in views.patches] == pytest.approx([25, 50, 25])
    assert {"age, years\nunknown, %: 17", "findings in the image"} <= panels.keys()
    assert "Labels of x" in [one.get_text() for one in drawn(figure, text.Text)]


def test_no_words_overlap_in_the_figure():
    """Fourteen findings of long names, four folds."""
    from matplotlib import axes
    from matplotlib.backends import backend_agg

    random = np.random.default_rng(0)
    folds = {}
    for fold in ("train", "val", "test", "all"):
        vectors = (random.random((20000, 14)) < 0.51).astype(np.float32)
        extras = [{"age": i % 99, "sex": "FM"[i % 2], "group": "normal"} for i in range(20000)]
        folds[fold] = description.describe(
            vectors, [str(i // 2) for i in range(20000)], extras, labels.CHEXPERT_14
        )
    figure = plots.label_statistics(folds, ["all"], "Labels")
    backend_agg.FigureCanvasAgg(figure).draw()
    for panel in drawn(figure, axes.Axes):
        words = [*panel.get_yticklabels(), *panel.texts, panel.title, panel.xaxis.label]
        if panel.get_xticklabels()[0].get_rotation() == 0:  # boxes of slanted words say nothing
            words += panel.get_xticklabels()
        boxes = [
            word.get_window_extent().shrunk(0.9, 0.8)
            for word in words
            if word.get_text() and word.get_visible()
        ]
        for first, box in enumerate(boxes):
            assert box.count_overlaps(boxes[first + 1 :]) == 0, words[first].get_text()
            assert figure.bbox.contains(*box.min) and figure.bbox.contains(*box.max)


def test_figure_of_a_single_finding_has_no_heat_map():
    from matplotlib import axes

    described = description.describe(
        np.array([[1], [0]], np.float32), ["a", "b"], [{"group": "normal"}, {}], ["Pneumonia"]
    )
    figure = plots.label_statistics({"rsna": described}, ["rsna"], "Labels")
    panels = drawn(figure, axes.Axes)
    assert not any(panel.images for panel in panels)
    assert {panel.get_xlabel().split("\n")[0] for panel in panels} == {
        "positive images, % of those with a known label", "group", "findings in the image",
    }  # fmt: skip


def test_figure_of_many_columns_is_refused(described):
    columns = {str(number): described for number in range(9)}
    with pytest.raises(ValueError, match="1 to 8 descriptions, got 9"):
        plots.label_statistics(columns, [], "Labels")
    with pytest.raises(ValueError, match="got 0"):
        plots.label_statistics({}, [], "Labels")
