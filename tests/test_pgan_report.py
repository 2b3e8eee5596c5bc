"""The report's page from made-up rows: sections, escaping, what is missing, damaged or secret."""

import html.parser
import json

import numpy as np
import pytest
from PIL import Image

from pgan.report import build, collect, markup, paper, rest_sections, section

_VOID = {"meta", "img", "br", "link", "hr", "input"}


class _Page(html.parser.HTMLParser):
    """Checks that tags close in order, and gathers addresses and ids."""

    def __init__(self, text):
        super().__init__()
        self.open, self.addresses, self.ids, self.tags, self.words = [], [], set(), [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        attrs = dict(attrs)
        self.tags.append(tag)
        self.addresses += [attrs[name] for name in ("src", "href") if name in attrs]
        self.ids |= {attrs["id"]} if "id" in attrs else set()
        if tag not in _VOID:
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.words.append(data)


def _write(folder, rows=(), name="results.jsonl"):
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def _picture(path, mode="L"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.arange(64 * 64, dtype=np.uint8).reshape(64, 64)).convert(mode).save(path)


def _run(folder, origin="phantom", ticks=6):
    """A run of two stages with grids."""
    records = {
        "name": "set", "origin": origin, "fingerprint": f"records of {origin}", "fold": "train",
        "fold_size": 40,
    }  # fmt: skip
    config = {
        "seed": 3, "precision": "float32", "schedule": {"total_kimg": 12},
        "network": {"resolution": 8, "fmap_max": 16, "latent_size": 8},
    }  # fmt: skip
    rows = [
        {
            "images_shown": 1000 * (i + 1), "timestamp": 1e9 + i,
            "phase": "4 px stable" if i < 2 else "8 px fade-in" if i < 4 else "8 px stable",
            "training/resolution": 4 if i < 2 else 8, "training/images_per_second": 10.0,
            "discriminator/wasserstein": -0.5, "generator/labels": 3.0,
            "generator/gradient_norm": 1.5, "monitor/fd20_fixed_to_held_out": 8.0 - i,
            "monitor/fd20_fixed_real_floor": 0.25,
        }
        for i in range(ticks)
    ]  # fmt: skip
    _write(folder, rows, "stats.jsonl")
    content = {"format": 1, "config": config, "records": records}
    (folder / "config.json").write_text(json.dumps(content))
    _picture(folder / "fakes000002.png")
    _picture(folder / "fakes000006.png")
    _picture(folder / "reals.png")
    return folder


def _classifier(arm, finding="Pneumonia", **more):
    return {
        "name": "classifier", "arm": arm, "metric": "auc", "finding": finding, "group": "all",
        "images": 40, "positives": 24, "patients": 34, "runs": 1, "redraws": 200,
        "thresholds": "validation", "value": 0.5677, "low": 0.3993, "high": 0.7526,
        "experiment": "fig2", "figure": "Fig 2", "resolution": 32, "seeds": [1], **more,
    }  # fmt: skip


def _page(*folders, **options):
    text = build.page(collect.collect(list(folders)), "Title", **options)
    return text, _Page(text)


def test_a_run_has_curves_grids_and_its_place_in_the_index(tmp_path):
    text, page = _page(_run(tmp_path / "run"))
    assert "1 run of the progressive GAN to 8 px on 40 images (set, train; drawn phantoms)" in text
    assert "FD of 20 images to held-out images in the features fixed" in text
    assert "data:image/svg+xml;base64," in text
    assert "4 px, after 2 thousand images" in text and "8 px, after 6 thousand images" in text
    assert 'shown: <a href="#training">Training</a>' in text
    assert "6 of 12" in text  # it goes on
    assert "As of 2001-09-09 01:46 UTC" in text
    assert "kept as best" in text and "not as expected" not in text


def test_grids_of_less_than_a_thousand_images_are_told_apart(tmp_path):
    folder = _run(tmp_path / "run")
    rows = [json.loads(line) for line in (folder / "stats.jsonl").read_text().splitlines()]
    _write(
        folder, [{**row, "images_shown": row["images_shown"] // 10} for row in rows], "stats.jsonl"
    )
    for old, new in (("000002", "000000.200"), ("000006", "000000.600")):
        (folder / f"fakes{old}.png").rename(folder / f"fakes{new}.png")
    text, _ = _page(folder)
    assert "4 px, after 0.2 thousand images" in text and "8 px, after 0.6 thousand images" in text


def test_links_lead_somewhere_and_nothing_is_fetched(tmp_path):
    text, page = _page(_run(tmp_path / "run"), _write(tmp_path / "odd", [{"what": "speed"}]))
    anchors = [address for address in page.addresses if address.startswith("#")]
    assert len(anchors) > 3 and {address[1:] for address in anchors} <= page.ids
    assert all(address.startswith(("#", "data:")) for address in page.addresses)
    assert "http://" not in text and "https://" not in text and "url(" not in text
    assert not {"script", "link", "iframe"} & set(page.tags)


def test_the_same_files_give_the_same_page(tmp_path):
    folder = _run(tmp_path / "run")
    assert _page(folder)[0] == _page(folder)[0]


@pytest.mark.parametrize(
    "origin, real_images, shown",
    [
        ("phantom", False, True),
        ("real", False, False),
        ("", False, False),
        ("real", True, True),
    ],
)
def test_pictures_of_patients_are_shown_when_asked_for_only(tmp_path, origin, real_images, shown):
    text, page = _page(_run(tmp_path / "run", origin), real_images=real_images)
    assert text.count("data:image/png") == 2 + shown  # grids of synthetic images, and the reals
    is_secret = origin != "phantom"
    assert ("This page shows pictures of real patients (reals.png)" in text) == (
        is_secret and shown
    )
    assert ("Left out because they show real patients, or may (reals.png)" in text) == (
        is_secret and not shown
    )
    assert ("trained on real patients' images" in text) == is_secret


def test_grids_of_evaluations_are_of_the_records_they_name(tmp_path):
    facts = {"reference": "set, val", "source": "gan/1", "resolution": 16, "count": 5, "seed": 0}
    rows = [
        {"metric": "fd5_fixed", "value": value, "images": images, **facts,
         "reference_records_fingerprint": "records of phantom"}
        for images, value in (("real", 0.5), ("synthetic", 1.25))
    ]  # fmt: skip
    folder = _write(tmp_path / "evaluation", rows)
    _picture(folder / "grid.png")
    alone, _ = _page(folder)
    assert "grid.png" in alone and "data:image/png" not in alone  # of unknown origin
    text, _ = _page(folder, _run(tmp_path / "run"))
    assert "real images (drawn phantoms) above synthetic" in text
    assert "5 synthetic images of gan/1 against as many held-out ones of set, val" in text
    assert ">0.5<" in text and ">1.25<" in text and "real (floor)" in text


def test_folders_of_images_count_as_patients_beside_known_synthetic_ones(tmp_path):
    drawn = tmp_path / "drawn"
    drawn.mkdir()
    content = {"origin": "synthetic", "fingerprint": "drawn", "num_records": 5}
    (drawn / "manifest.json").write_text(json.dumps(content))
    row = {
        "metric": "fd5_fixed", "value": 1.25, "images": "synthetic", "reference": "a folder",
        "reference_files": 5, "records_fingerprint": "drawn", "source": "drawn", "resolution": 16,
        "count": 5, "seed": 0,
    }  # fmt: skip
    folder = _write(tmp_path / "evaluation", [row])
    _picture(folder / "grid.png")
    text, _ = _page(folder, drawn)
    assert "may (grid.png)" in text and "data:image/png" not in text


def test_quality_of_findings_stands_beside_the_fold_that_was_trained_on(tmp_path):
    folds = {"train": {"positives": {"Mass": 71, "Edema": 72}}}
    manifest = {"origin": "phantom", "fingerprint": "set", "folds": folds}
    split = {"folds": {"train": {"positives": {"Mass": 43, "Edema": 44}}}}
    trained_on = {"fingerprint": "set", "fold": "gan/train", "origin": "phantom"}
    card = {"fingerprint": "generator", "training_records": trained_on}
    for name, content in (
        ("set/manifest.json", manifest), ("set/splits/gan/split.json", split),
        ("export/assets/model_card.json", card),
    ):  # fmt: skip
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(json.dumps(content))
    facts = {"reference": "r", "reference_records_fingerprint": "set", "count": 9}
    rows = [
        {"metric": "fd9_fixed", "images": images, "value": value, "findings": [finding],
         "setting": finding, "generator_fingerprint": "generator", **facts}
        for finding, ends in (("Mass", (1.0, 1.5)), ("Edema", (2.0, 5.0)))
        for images, value in zip(("real", "synthetic"), ends, strict=True)
    ]  # fmt: skip
    folder = _write(tmp_path / "evaluation", rows)
    text, _ = _page(tmp_path / "set", tmp_path / "export", folder)
    cells = (
        '<td class="number">43</td><td class="number">\N{EN DASH}</td><td class="number">1.5</td>'
    )
    assert cells in text and ">44<" in text and ">2.5<" in text


def test_experiments_stand_beside_the_paper(tmp_path):
    rows = [
        _classifier("real"),
        _classifier("augmented", value=0.4479),
        _classifier("real", "mean"),
    ]
    folder = _write(tmp_path / "fig2", rows)
    _picture(folder / "roc.png", "RGB")
    text, _ = _page(folder)
    assert "40 test images of 34 patients; 32 px; seeds 1" in text
    assert '<span class="one">0.568</span> <span class="one">(0.399 to 0.753)</span>' in text
    assert "AUC of pneumonia: 950 + 50 local images; 6000 test images" in text
    assert "0.74" in text and "0.81" in text
    assert 'shown: <a href="#classifiers">' in text
    assert "made by <code>tools/run_experiment.py --experiment=fig3</code>" in text


def test_metrics_of_two_generators_stand_beside_the_papers(tmp_path):
    facts = {"finding": "Edema", "metric": "specificity", "experiment": "fig3", "figure": "Fig 3"}
    rows = [_classifier("one", **facts), _classifier("pooled", **facts | {"value": 0.25})]
    text, _ = _page(_write(tmp_path / "fig3", rows))
    assert '<th scope="row" class="one">specificity</th><td class="one">Edema</td>' in text
    assert '<td class="one">0.642</td><td class="one">0.755</td>' in text


def test_federations_attacks_and_readers(tmp_path):
    facts = {"name": "federation_comparison", "baseline": "", "metric": "distance", "seeds": 2}
    attacks = [
        {**facts, "variant": f"sign_flip+{aggregator}", "kind": kind, "mean": mean, "sd": 1.0,
         "low": mean - 2, "high": mean + 2}
        for aggregator, mean in (("median", 3.5), ("weighted_mean", 80.25))
        for kind in ("final", "best")
    ]  # fmt: skip
    damage = {**attacks[0], "baseline": "none+median", "mean": 0.125}
    attacks += [{**row, "metric": "distance with labels", "mean": 7.25} for row in attacks]
    attacks += [{**damage, "kind": kind} for kind in ("final", "best")]
    reader = {
        "name": "reader_group", "metric": "accuracy", "resolution": 256, "group": "radiologists",
        "value": 0.51, "low": 0.4, "high": 0.62, "readers": 3, "images": 100, "simulated": True,
        "p_guessing": 0.3,
    }  # fmt: skip
    text, _ = _page(_write(tmp_path / "attacks", attacks), _write(tmp_path / "readers", [reader]))
    assert "<td>3.5 (1.5 to 5.5)</td><td>80.25 (78.25 to 82.25)</td>" in text.replace(
        ' class="one"', ""
    )
    assert "Last distance with labels to real images by attack" in text and "7.25" in text
    assert "sign_flip+median \N{MINUS SIGN} none+median" in text and "0.125" in text
    assert "sign_flip+median<" not in text  # the table of attacks has its mean
    assert "The readers were simulated" in text and "51 ± 5 %, 65 ± 5 %, 77 ± 13 %" in text


def test_audits_tell_verdict_and_limits(tmp_path):
    row = {
        "metric": "suspected_copies48_t282_32px", "value": 4, "audit_version": 1, "count": 48,
        "train_fold": "train", "resolution": 32, "neighbours": 3, "seed": 0, "generator": "gan/1",
        "records": "set",
    }  # fmt: skip
    folder = _write(tmp_path / "audit", [row])
    verdict = {"failed_controls": [], "found": {"copies": ["4 of 48 are <copies>"]}}
    content = {"verdict": verdict, "limits": ["Nobody read the images."]}
    (folder / "report.json").write_text(json.dumps(content))
    _picture(folder / "sheets" / "images_32px" / "000001_ssim.png")
    text, _ = _page(folder)
    assert "suspected copies among 48 images, 282 training images" in text
    assert "4 of 48 are &lt;copies&gt;" in text and "Nobody read the images." in text
    assert "000001_ssim.png" in text and "data:image/png" not in text
    # Where controls were missed, the number is no statement; both lists are told.
    content["verdict"]["failed_controls"] = ["planted copies: 3 of 20 caught"]
    (folder / "report.json").write_text(json.dumps(content))
    text, _ = _page(folder)
    assert "controls were missed: no statement" in text
    assert "3 of 20 caught" in text and "4 of 48 are &lt;copies&gt;" in text
    (folder / "report.json").unlink()
    text, _ = _page(folder)
    assert "without a verdict" in text and "the numbers alone are no verdict" in text


def test_rows_of_unknown_kind_are_shown_without_names_of_patients(tmp_path):
    rows = [
        {"name": "novelty", "value": v, "patient": "p17", "n": 3, "low": None} for v in (1.5, 2)
    ]
    text, _ = _page(_write(tmp_path / "odd", rows))
    assert "Other measurements" in text and ">1.5<" in text and "name: novelty" in text
    assert "p17" not in text


def test_rows_of_another_version_are_shown_as_they_are(tmp_path):
    row = {"name": "precision_comparison", "ratio": 0.875, "metric": "fd"}
    text, _ = _page(_write(tmp_path / "study", [row]))
    assert "not as expected (KeyError" in text and "0.875" in text


def test_sets_that_an_experiment_drew_are_one_row_for_each_generator(tmp_path):
    for number, generator in enumerate(("a/1", "a/1", "b/1")):
        folder = tmp_path / f"fig3/synthetic/set{number}"
        folder.mkdir(parents=True)
        content = {"origin": "synthetic", "num_records": 600, "encoding": {"32": "raw"}}
        content["provenance"] = {"generator": generator}
        (folder / "manifest.json").write_text(json.dumps(content))
    text, _ = _page(tmp_path)
    assert ">1,200<" in text and "set0" not in text and "set2" in text


def test_a_deposit_lists_its_generators(tmp_path):
    card = {"resolution": 32, "findings": ["Mass"], "training_records": {"fold_size": 1384}}
    rows = [
        {"event": "submitted", "id": "a/x/1", "facts": card},
        {"event": "rejected", "id": "a/x/1", "reasons": ["too far from real images"]},
        {"event": "refused", "site": "bonn", "reasons": ["its graph writes files"]},
    ]
    # Its own measurements are in the ledger, and need not be on the page twice.
    _write(tmp_path / "deposit/measured/x/1", [{"name": "odd", "value": 0.123456}])
    text, _ = _page(_write(tmp_path / "deposit", rows, "ledger.jsonl"))
    assert "0.123456" not in text
    assert "1 generator submitted, 0 admitted; 1 more refused" in text
    assert "too far from real images" in text and "its graph writes files" in text
    assert ">1,384<" in text and "not as expected" not in text


def test_correlations_stand_beside_the_papers_diagonal(tmp_path):
    facts = {"generator": "gan/1", "classifier": "c/1", "resolution": 32, "seed": 1, "images": 50}
    cells = [
        {"name": "correlation", "finding": f, "output": o, "value": v, "low": v - 0.1,
         "high": v + 0.1, **facts}
        for f, o, v in (("Mass", "Mass", 0.41), ("Mass", "Edema", -0.2))
    ]  # fmt: skip
    finding = {"name": "generated_finding", "finding": "Mass", "value": 0.41, "low": 0.31,
               "high": 0.51, "place": 1, "training_images": 83, **facts}  # fmt: skip
    blocks = {"name": "correlation_blocks", "blocks": [["Mass", "Nodule"], ["Edema"]]}
    text, _ = _page(_write(tmp_path / "c", [*cells, finding, blocks]))
    assert "over 50 images of each finding" in text and "Mass and Nodule" in text
    assert '(0.310 to 0.510)</span></td><td class="number">1</td>' in text
    assert "\N{MINUS SIGN}0.20" in text and ">0.6<" in text and ">83<" in text


def test_maps_of_findings_and_their_pictures(tmp_path):
    facts = {"finding": "Mass", "count": 8, "generator": "g/1", "resolution": 64, "seed": 0,
             "others": "No Finding", "low": 3.0, "high": 4.0}  # fmt: skip
    rows = [
        {"name": "map_change", "value": 3.5, **facts},
        {"name": "map_ratio", "value": 3.75, "of_others": 1.25, "largest": 9.0, "area": 0.0625,
         "margin": {"value": 2.5, "low": 2.0, "high": 3.0}, **facts},
    ]  # fmt: skip
    folder = _write(tmp_path / "shown", rows)
    _picture(folder / "differences" / "Mass.png", "RGB")
    _picture(folder / "nearest" / "Mass.png", "RGB")  # beside patients
    (folder / "sweeps").mkdir()
    (folder / "sweeps" / "Mass.gif").write_bytes(b"GIF89a")
    text, _ = _page(folder)
    assert text.count("data:image/png") == 1 and "differences: Mass" in text
    assert "may (Mass.png)" in text and "2.50" in text and "0.0625" in text
    assert "1 animation of these in the folder sweeps" in text and "<td>movies" not in text


@pytest.mark.parametrize("origin, shown", [("phantom", True), ("real", False)])
def test_nearest_images_are_of_the_records_that_rows_name(tmp_path, origin, shown):
    row = {
        "name": "map_change", "finding": "Mass", "value": 3.5, "low": 3.0, "high": 4.0, "count": 8,
        "generator": "g/1", "generator_fingerprint": "g", "resolution": 64, "seed": 0,
        "others": "0", "records_fingerprint": f"records of {origin}",
    }  # fmt: skip
    folder = _write(tmp_path / "shown", [row])
    _picture(folder / "nearest" / "Mass.png", "RGB")
    card = {
        "fingerprint": "g", "training_records": {"fingerprint": "x", "origin": "phantom"},
    }  # fmt: skip
    (tmp_path / "export" / "assets").mkdir(parents=True)
    (tmp_path / "export" / "assets" / "model_card.json").write_text(json.dumps(card))
    runs = [_run(tmp_path / kind, kind) for kind in ("phantom", "real")]
    text, _ = _page(folder, tmp_path / "export", *runs)
    assert ("Beside the nearest training images: Mass" in text) == shown
    assert ("\N{MULTIPLICATION SIGN} Mass.png" in text or "(Mass.png" in text) != shown


def test_what_rows_hold_is_text(tmp_path):
    evil = '<script>alert("x")</script><img src="https://example.org/x.png">'
    rows = [{"name": evil, evil: evil, "value": 1.0}]
    text, page = _page(_write(tmp_path / "odd", rows))
    assert "script" not in page.tags and "img" not in page.tags
    assert evil in "".join(page.words)
    assert all(address.startswith("#") for address in page.addresses)


def test_damaged_lines_are_named_and_a_line_that_is_being_written_is_not(tmp_path):
    folder = tmp_path / "odd"
    folder.mkdir()
    good = json.dumps({"what": "speed", "value": 7.25})
    (folder / "results.jsonl").write_text(f'{good}\n{{"cut\n[1]\n\n{good}\n{{"being wri')
    found = collect.collect([folder])
    assert found.faults == ["odd/results.jsonl: 2 damaged lines were left out (line 2, 3)."]
    text, _ = _page(folder)
    assert "2 damaged lines were left out" in text and "7.25" in text


def test_damaged_json_and_pictures_are_said(tmp_path):
    folder = _run(tmp_path / "run")
    (folder / "fakes000006.png").write_bytes(b"half a picture")
    (folder / "report.json").write_text("{")
    text, _ = _page(folder)
    assert "fakes000006.png cannot be read as a picture" in text
    assert "run/report.json cannot be read" in text


def test_folders_with_nothing_say_what_is_wanted(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=r"nothing to report in .*no stats.jsonl of a run"):
        collect.collect([tmp_path / "empty"])
    with pytest.raises(ValueError, match=r"there is no .*absent; give folders"):
        collect.collect([tmp_path / "absent"])
    with pytest.raises(ValueError, match="no folder given"):
        collect.collect([])


def test_folders_are_named_without_the_machine_and_read_once(tmp_path):
    _run(tmp_path / "one" / "run")
    _run(tmp_path / "two" / "run")
    found = collect.collect([tmp_path / "one" / "run", tmp_path / "two" / "run"])
    assert [folder.name for folder in found.folders] == ["one/run", "two/run"]
    found = collect.collect([tmp_path, tmp_path / "one"])
    assert len(found.folders) == 2
    assert str(tmp_path) not in _page(tmp_path / "one")[0]


def test_record_sets_count_images_by_finding_and_fold(tmp_path):
    fold = {"records": 30, "patients": 9, "no_finding": 11, "positives": {"Mass": 1234},
            "unknown": {"Mass": 2}}  # fmt: skip
    manifest = {
        "origin": "real", "source": "nih", "findings": ["Mass"], "num_records": 30,
        "num_patients": 9, "encoding": {"4": "raw", "8": "raw"}, "fingerprint": "f",
        "folds": {"train": fold},
    }  # fmt: skip
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "manifest.json").write_text(json.dumps(manifest))
    _picture(tmp_path / "set" / "samples.png")
    text, _ = _page(tmp_path / "set")
    assert "30 images of 9 patients (real patients; source nih), 4 to 8 px" in text
    assert "1,234 (2 unknown)" in text and "112,120, 30,805" in text
    assert "samples.png" in text and "data:image/png" not in text


def test_large_pictures_are_reduced(tmp_path):
    folder = _run(tmp_path / "run")
    pixels = np.random.default_rng(1).integers(0, 255, (3000, 2600), dtype=np.uint8)
    Image.fromarray(pixels).save(folder / "fakes000006.png")
    text, _ = _page(folder)
    size = (folder / "fakes000006.png").stat().st_size
    assert "data:image/jpeg" in text and len(text) < size / 2


def test_every_exhibit_of_the_paper_is_shown_or_explained():
    places = [item.place for item in paper.INDEX]
    assert len(set(places)) == len(places) == 33
    assert all(bool(item.command) != bool(item.reason) for item in paper.INDEX)
    index = rest_sections.index([section.Section("Some part", [], frozenset({"Fig 2A"}))])
    text = markup.join(index.parts)
    assert f"1 of {len(places)}" in text and '<a href="#some-part">' in text


@pytest.mark.parametrize(
    "value, text",
    [
        (None, "\N{EN DASH}"),
        (0.12345, "0.123"),
        (-12345.6, "\N{MINUS SIGN}12,346"),
        (2000, "2,000"),
        (float("nan"), "not finite"),
        (True, "yes"),
        ("a<b", "a&lt;b"),
        ([1, 2.5], "1, 2.5"),
        ({"k": 3}, "k 3"),
    ],
)
def test_values_for_people(value, text):
    assert markup.text(value) == text
