"""Rows of measurements of a reader study, and its answers as tables."""

import collections
import csv
import io
import itertools
import json
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from classifier import reader_answers, reader_intervals, reader_study, stats
from classifier.reader_study import ALL_READERS, AUC, RATES, Panel

Row = dict[str, Any]


def rows(study: reader_answers.Study, panels: Sequence[Panel], unanswered: str) -> list[Row]:
    """All measurements of a study, as JSON rows; None where a value is not defined.

    Args:
        study: The study.
        panels: Its answers, of `reader_study.panels`.
        unanswered: Of `reader_study.UNANSWERED`.
    """
    facts = {
        "deck": study.deck.id,
        "mode": study.deck.mode,
        "simulated": study.simulated,
        "simulated_readers": study.simulated_readers,
        "complete": not study.unfinished,
        "unanswered": unanswered,
    }
    metrics = (*RATES, AUC) if asks_confidence(panels) else RATES
    found = []
    for panel in panels:
        for metric in metrics:
            estimates = reader_study.estimates(panel, metric, unanswered)
            found += _of_readers(panel, metric, estimates, unanswered)
            found += _of_groups(panel, metric, estimates, unanswered)
        found += [*_agreement(panel), *_times(panel), *_images(panel)]
        found += _conditions(study, panel)
        found += _reasons(study, panel)
    for metric in metrics:
        found += _differences(panels, metric, unanswered)
    return [{**facts, **{name: _json(value) for name, value in row.items()}} for row in found]


def asks_confidence(panels: Sequence[Panel]) -> bool:
    """Whether any reader said how sure he or she was."""
    return any((~np.isnan(panel.confidence)).any() for panel in panels)


def _json(value):
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    return int(value) if isinstance(value, np.integer) else value


def _of_readers(panel, metric, estimates, unanswered) -> Iterator[Row]:
    right = reader_study.right(panel, unanswered)
    variances = np.diag(estimates.covariance())
    p_values = [math.nan] * len(panel.readers)
    if metric == "accuracy":
        counted = ~np.isnan(right)
        p_values = [
            reader_study.guessing_p_value(panel.synthetic[own], int(answers[own].sum()))
            for own, answers in zip(counted, right, strict=True)
        ]
    adjusted = stats.holm(np.array(p_values))
    for number, (reader, group) in enumerate(zip(panel.readers, panel.groups, strict=True)):
        value, count = estimates.values[number], int(estimates.counts[number])
        row = {
            "name": "reader",
            "metric": metric,
            "resolution": panel.resolution,
            "reader": reader,
            "group": group,
            "value": value,
            "count": count,
        }
        if metric == AUC:
            ends = reader_intervals.log_odds_interval(value, variances[number])
        else:
            row["right"] = round(value * count) if count else 0
            ends = reader_intervals.share_interval(row["right"], count)
        row |= {"low": ends[0], "high": ends[1]}
        if metric == "accuracy":
            timed_out = panel.shown[number] & np.isnan(panel.called[number])
            row |= {
                "p_value": p_values[number],
                "p_holm": adjusted[number],
                "without_answer": timed_out.sum(),
                "not_shown": (~panel.shown[number]).sum(),
                "called_synthetic": _mean(panel.called[number]),
            }
        yield row


def _of_groups(panel, metric, estimates, unanswered) -> Iterator[Row]:
    for group in reader_study.group_names(panel):
        places = panel.of_group(group)
        found = reader_intervals.summary(estimates.of(places), share=metric != AUC)
        row = {
            "name": "reader_group",
            "metric": metric,
            "resolution": panel.resolution,
            "group": group,
            "value": found.value,
            "sd": found.sd,
            "se": found.se,
            "low": found.low,
            "high": found.high,
            "readers": found.readers,
            "images": found.images,
            "count": estimates.counts[places].sum(),
        }
        if metric == "accuracy":
            row["p_guessing"] = reader_study.group_guessing_p_value(panel, places)
        yield row


def _agreement(panel) -> Iterator[Row]:
    for group in reader_study.group_names(panel):
        places = panel.of_group(group)
        found = reader_study.kappa(panel, places)
        row = {
            "name": "reader_agreement",
            "metric": "fleiss_kappa",
            "resolution": panel.resolution,
            "group": group,
            "readers": len(places),
            "value": None,
        }
        if found is not None:
            row |= {
                "value": found.value,
                "se": found.se,
                "low": found.low,
                "high": found.high,
                "p_value": found.p_value,
                "images": found.subjects,
            }
        yield row


def _differences(panels, metric, unanswered) -> Iterator[Row]:
    estimates = [reader_study.estimates(panel, metric, unanswered) for panel in panels]
    for panel, own in zip(panels, estimates, strict=True):
        for first, second in itertools.combinations(dict.fromkeys(panel.groups), 2):
            found = reader_intervals.group_difference(
                own, panel.of_group(first), panel.of_group(second)
            )
            facts = {"between": "groups", "resolution": panel.resolution}
            yield _difference(found, metric, facts, first, second)
    pairs = itertools.combinations(zip(panels, estimates, strict=True), 2)
    for (panel, own), (later, other) in pairs:
        for group in reader_study.group_names(panel):
            places = panel.of_group(group)
            found = reader_intervals.mean_difference(other.of(places).minus(own.of(places)))
            facts = {"between": "resolutions", "group": group}
            yield _difference(found, metric, facts, panel.resolution, later.resolution)


def _difference(found, metric, facts, first, second):
    return {
        "name": "reader_difference",
        "metric": metric,
        **facts,
        "first": first,
        "second": second,
        "value": found.value,
        "low": found.low,
        "high": found.high,
        "p_value": found.p_value,
    }


def _times(panel) -> Iterator[Row]:
    names = [*panel.readers, *reader_study.group_names(panel)]
    places = [[number] for number in range(len(panel.readers))]
    places += [panel.of_group(group) for group in reader_study.group_names(panel)]
    for number, (name, own) in enumerate(zip(names, places, strict=True)):
        seconds = panel.seconds[own]
        seconds = seconds[~np.isnan(seconds)]
        quartiles = np.percentile(seconds, (25, 50, 75)) if seconds.size else [None] * 3
        yield {
            "name": "reader_time",
            "metric": "seconds",
            "resolution": panel.resolution,
            "reader" if number < len(panel.readers) else "group": name,
            "value": quartiles[1],
            "quartiles": [_json(quartiles[0]), _json(quartiles[2])],
            "mean": _mean(seconds),
            "count": seconds.size,
        }


def _conditions(study, panel) -> Iterator[Row]:
    """How each reader was shown the images, and answers that cannot be about them."""
    answered = ~np.isnan(panel.called)
    quick = answered & (panel.seconds < reader_study.QUICK_SECONDS)
    for number, (reader, group) in enumerate(zip(panel.readers, panel.groups, strict=True)):
        own = study.answers[reader]
        yield {
            "name": "reader_conditions",
            "metric": "quick_answers",
            "resolution": panel.resolution,
            "reader": reader,
            "group": group,
            "value": quick[number].sum(),
            "count": answered[number].sum(),
            "scale": own.background.get("scales", {}).get(str(panel.resolution)),
            "pixel_ratio": own.background.get("pixel_ratio"),
            "reloads": own.background.get("reloads"),
            "simulated": own.simulated,
        }


def _mean(values):
    return float(np.nanmean(values)) if (~np.isnan(values)).any() else math.nan


def _images(panel) -> Iterator[Row]:
    answered = ~np.isnan(panel.called).any(axis=0)
    for was_right, metric in ((False, "everyone_wrong"), (True, "everyone_right")):
        same = reader_study.same_verdict(panel, was_right)
        for origin in reader_answers.ORIGINS:
            kind = panel.synthetic == (origin == "synthetic")
            chosen = np.flatnonzero(same & kind)
            judged = int((answered & kind).sum())
            yield {
                "name": "reader_images",
                "metric": metric,
                "resolution": panel.resolution,
                "origin": origin,
                "value": len(chosen),
                "images": judged,
                "readers": len(panel.readers),
                "by_guessing": judged * 0.5 ** len(panel.readers),
                "items": [panel.items[place] for place in chosen],
            }


def verdict(row: Row) -> str:
    """Such as "called real by everyone" of a row of images that all readers judged alike."""
    others = {"real": "synthetic", "synthetic": "real"}
    wrong = row["metric"] == "everyone_wrong"
    return f"called {others[row['origin']] if wrong else row['origin']} by everyone"


def _reasons(study, panel) -> Iterator[Row]:
    ticked = {
        code: {name: one["reasons"] for name, one in own.by_item.items()}
        for code, own in study.answers.items()
    }
    others = sorted({r for own in ticked.values() for given in own.values() for r in given})
    reasons = dict.fromkeys([*study.deck.reasons, *others])
    for group, reason in itertools.product(reader_study.group_names(panel), reasons):
        counts, shown, images = {}, {}, {}
        for origin in reader_answers.ORIGINS:
            kind = np.flatnonzero(panel.synthetic == (origin == "synthetic"))
            pairs = [
                (panel.readers[number], panel.items[place])
                for number in panel.of_group(group)
                for place in kind[panel.shown[number, kind]]
            ]
            shown[origin] = len(pairs)
            ticks = collections.Counter(
                item for code, item in pairs if reason in ticked[code][item]
            )
            counts[origin] = ticks.total()
            # Images of equal ticks in the order of the deck, whoever was the first to tick.
            order = sorted(ticks, key=lambda item: (-ticks[item], panel.items.index(item)))
            images[origin] = {item: ticks[item] for item in order}
        yield {
            "name": "reader_reason",
            "metric": "ticked_on_synthetic",
            "resolution": panel.resolution,
            "group": group,
            "reason": reason,
            "value": counts["synthetic"],
            "synthetic_shown": shown["synthetic"],
            "ticked_on_real": counts["real"],
            "real_shown": shown["real"],
            "ticks": images,
        }


def answers_csv(study: reader_answers.Study) -> str:
    """Every answer with what the image was, a line each, in the order in which it was given.

    The last column is 1 for the answers of a simulated reader.
    """
    lines = []
    for code, own in study.answers.items():
        for item, one in sorted(own.by_item.items(), key=lambda pair: pair[1]["position"]):
            truth = study.key[item]
            answer = one["answer"]
            lines.append(
                [
                    code, study.deck.readers[code], one["resolution"], one["position"], item,
                    *_identity(truth), answer or "", "" if answer is None else
                    int(answer == truth["origin"]), one["confidence"] or "",
                    one["milliseconds"] / 1000.0, "; ".join(one["reasons"]), int(own.simulated),
                ]
            )  # fmt: skip
    header = [
        "reader", "group", "resolution", "position", "item", "origin", "image_id", "findings",
        "source", "answer", "right", "confidence", "seconds", "reasons", "simulated",
    ]  # fmt: skip
    return _csv(header, lines)


def images_csv(study: reader_answers.Study, panels: Sequence[Panel]) -> str:
    """Every image with how many readers were right and wrong, a line each, the hardest first.

    The last column says how many of these readers are simulated.
    """
    lines, simulated = [], sum(own.simulated for own in study.answers.values())
    for panel in panels:
        right = reader_study.right(panel, "excluded")
        order = sorted(range(len(panel.items)), key=lambda place: np.nansum(right[:, place]))
        for place in order:
            item = panel.items[place]
            own = right[:, place]
            counts = [int((own == 1).sum()), int((own == 0).sum()), int(np.isnan(own).sum())]
            lines.append([panel.resolution, item, *_identity(study.key[item]), *counts, simulated])
    header = [
        "resolution", "item", "origin", "image_id", "findings", "source", "right", "wrong",
        "no_answer", "simulated_readers",
    ]  # fmt: skip
    return _csv(header, lines)


def _identity(truth):
    findings = "; ".join(truth.get("findings") or [])
    source = truth.get("source", "")
    source = source if isinstance(source, str) else json.dumps(source)
    return [truth["origin"], truth.get("image_id", ""), findings, source]


def _csv(header, lines):
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(lines)
    return text.getvalue()


def group_order(rows_: Sequence[Row]) -> list[str]:
    """Groups of the rows as they come, ALL_READERS last."""
    return sorted(
        dict.fromkeys(row["group"] for row in rows_ if row["name"] == "reader_group"),
        key=lambda group: group == ALL_READERS,
    )
