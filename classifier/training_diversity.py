"""How alike the training images with a finding are, arm by arm: MS-SSIM of random pairs (Fig 2A).

Lower is more diverse. That says nothing about quality: noise is very diverse.
"""

import json
import pathlib
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from classifier import image_table
from pgan import run_folder
from pgan.metrics import diversity, similarity


def measure(images: image_table.ImageTable, pairs: int, seed: int, path: pathlib.Path) -> None:
    """Measures random pairs of each finding, of different patients, and keeps their values.

    Args:
        images: Training images.
        pairs: Pairs of each finding; fewer if no more exist.
        seed: Of the pairs.
        path: JSON file, written last; if it is there, nothing is done.
    """
    if path.exists():
        return
    # A patient may have the same name in two collections, a synthetic image in two sets.
    patients = [
        f"{fold}/{patient}"
        for patient, (fold, _) in zip(images.patients, images.places, strict=True)
    ]
    source = diversity.Source("training images", images.labels, images.read, patients)
    found = {}
    for column, finding in enumerate(images.findings):
        existing = diversity.count_pairs(source.labels, patients, column)
        facts: dict[str, Any] = {
            "images": int((images.labels[:, column] >= 0.5).sum()),
            "pairs_existing": existing,
            "values": [],
        }
        if existing:
            rng = np.random.default_rng([seed, zlib.crc32(finding.encode())])
            values, owners = diversity.similarities(source, column, pairs, rng)
            facts["values"] = values.round(6).tolist()
            facts["standard_error"] = diversity.standard_error(values, owners)
        found[finding] = facts
    content = {"metric": similarity.ms_ssim_name(images.resolution), "findings": found}
    run_folder.write_atomically(path, json.dumps(content) + "\n")


def rows(paths: Mapping[str, Sequence[pathlib.Path]], seeds: Sequence[int]) -> list[dict[str, Any]]:
    """A row "diversity" of JSON types for each arm, seed and finding.

    Args:
        paths: Files of `measure` by arm, one for each seed.
        seeds: Of the files.
    """
    result = []
    for arm, own in paths.items():
        for seed, path in zip(seeds, own, strict=True):
            content = json.loads(path.read_text())
            for finding, facts in content["findings"].items():
                values = np.array(facts["values"])
                row = {
                    "name": "diversity", "arm": arm, "seed": seed, "finding": finding,
                    "metric": content["metric"],
                    "value": float(values.mean()) if len(values) else None,
                    "sd": float(values.std(ddof=1)) if len(values) > 1 else None,
                    "standard_error": facts.get("standard_error"),
                    "pairs": len(values),
                    "pairs_existing": facts["pairs_existing"],
                    "images": facts["images"],
                }  # fmt: skip
                result.append(row)
    return result


def values(paths: Sequence[pathlib.Path]) -> dict[str, np.ndarray]:
    """All pairs' values of several files, float64 [P] by finding, for the figure."""
    contents = [json.loads(path.read_text())["findings"] for path in paths]
    return {
        finding: np.concatenate([np.array(own[finding]["values"], float) for own in contents])
        for finding in contents[0]
    }


def markdown(found: Sequence[Mapping[str, Any]], titles: Mapping[str, str]) -> str:
    """A table of `rows`: mean and SD of the pairs, mean over the seeds."""
    from pgan import results

    lines = []
    for finding in dict.fromkeys(row["finding"] for row in found):
        for arm, title in titles.items():
            own = [row for row in found if (row["finding"], row["arm"]) == (finding, arm)]
            known = [row for row in own if row["sd"] is not None]
            cells = ["not defined", ""]
            if known:
                mean, sd = (np.mean([row[key] for row in known]) for key in ("value", "sd"))
                errors = [row["standard_error"] for row in known]
                error = None if None in errors else float(np.mean(errors))
                cells = [f"{mean:.3f} ± {sd:.3f}", error]
            lines.append([finding, title, *cells, own[0]["pairs"], own[0]["images"]])
    return results.markdown_table(
        ["finding", "training images", "mean ± SD of pairs", "standard error", "pairs", "images"],
        lines,
    )
