"""Audits of copying <fig S4B>: verdict, controls, preference for training patients, membership."""

import re

from pgan.report import collect, markup, pictures, section

_MOST_SHEETS = 4
# Beginnings of the names of measures, in words.
_WORDS = (
    (r"suspected_copies(\w+?)_t(\w+?)_(\d+)px", "suspected copies among {0} images, {1} training "
     "images"),
    (r"search_recall(\w+?)_k(\d+)_\d+px", "share of the {1} nearest neighbours that the search "
     "finds"),
    (r"planted_(\w+?)_caught(\d+)_\d+px", "planted copies that were caught: {0}, of {1}"),
    (r"control_caught(\d+)_\d+px", "images of an over-trained generator that were caught, of {0}"),
    (r"prefer_train(\w+?)_p(\w+?)_(\w+)_\d+px", "share nearer to training patients than to others, "
     "{2}; 0.5 by chance"),
    (r"nearer_than_held_out(\w+?)_t(\w+?)_(\w+)_\d+px", "probability of being nearer to a training "
     "image than held-out images are, {2}"),
    (r"ct1cell(\w+?)_t(\w+?)_(\w+)_\d+px", "the same in standard deviations, {2}; below 0 if "
     "nearer"),
    (r"authpct(\w+?)_t(\w+?)_other_patients_(\w+)_\d+px", "per cent of images that count as "
     "authentic, {2}"),
    (r"mia_(\w+)_auc_m(\w+?)_o(\w+)", "membership, attack {0}: AUC; 0.5 by chance"),
    (r"mia_(\w+)_tpr_at_fpr1pct_m(\w+?)_o(\w+)", "membership, attack {0}: hits at 1 % false "
     "alarms"),
)  # fmt: skip


def build(found: collect.Found, album: pictures.Album) -> section.Section | None:
    """The section; None without an audit."""
    parts = []
    for folder in found.folders:
        rows = section.of_kind(folder, "audit")
        if rows:
            parts.append(section.guarded(rows, lambda f=folder, r=rows: _audit(f, r, found, album)))
    if not parts:
        return None
    parts.append(section.beside_paper("audit"))
    return section.Section("Audit of copying", parts, frozenset({"fig S4B"}))


def _audit(folder, rows, found, album):
    first, origin = rows[0], found.origin(folder)
    verdict = folder.facts.get("report.json", {}).get("verdict")
    parts = [
        markup.heading(folder.name),
        markup.paragraph(
            f"{first['count']:,} synthetic images of {first['generator']} were compared with the "
            f"fold {first['train_fold']} of {first['records']} ({section.origin_text(origin)}) "
            f"that its generator was trained on, {first['neighbours']} nearest neighbours each, "
            f"{first['resolution']} px, seed {first['seed']}."
        ),
    ]
    if not verdict:
        parts.append(
            markup.paragraph(
                "There is no report.json of this audit beside, so nothing says whether its "
                "controls were caught: the numbers alone are no verdict.",
                "warning",
            )
        )
    else:
        missed = list(verdict.get("failed_controls", []))
        said = [text for texts in verdict.get("found", {}).values() for text in texts]
        if missed:
            parts.append(
                markup.paragraph("Controls were missed, so the audit says nothing else:", "warning")
            )
        parts.append(markup.bullets([*missed, *said]))
        if not missed and not said:
            parts.append(markup.paragraph("Nothing was found by these tests."))
    lines = []
    for row in rows:
        interval = row.get("interval") or {}
        ends = None
        if interval.get("low") is not None:
            ends = f"{interval['low']:.3f} to {interval['high']:.3f}"
        value = row["value"] if row["value"] is not None else row.get("reason")
        lines.append([_in_words(row["metric"]), value, ends, markup.p_value(row.get("p_value"))])
    parts.append(
        markup.table(["measure", "value", "95 % interval", "p"], lines, "Intervals by patient.")
    )
    limits = folder.facts.get("report.json", {}).get("limits", [])
    if limits:
        parts += [markup.paragraph("What the audit does not tell:"), markup.bullets(limits)]
    sheets = sorted((folder.path / "sheets").glob("images_*/*.png"))
    figures = [
        album.records(
            path, "neighbours", "A synthetic image, its nearest training images, differences.",
            origin,
        )
        for path in sheets[:_MOST_SHEETS]
    ]  # fmt: skip
    return [*parts, markup.gallery(figures, "wide")]


def _in_words(metric):
    for pattern, words in _WORDS:
        match = re.fullmatch(pattern, metric)
        if match:
            return words.format(*match.groups())
    return metric
