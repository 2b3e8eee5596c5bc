"""The folder of pictures and numbers of what a generator has learned of findings.

settings.json                   what was asked for; decides whether a folder is continued
sweeps/<finding>.png .gif .mp4  from absent to present
differences/<finding>.png       pseudo-patients without it, with it, and the difference
differences/<seed>-<index>.png  all findings of one pseudo-patient
differences/mean.png            mean differences over many pseudo-patients
maps.npz                        these as arrays
combinations/<A+B>.png          findings alone and together
interpolation.png .gif .mp4     from one pseudo-patient to the next
nearest/<finding>.png           with the nearest training images: shows patients
results.jsonl, report.md        numbers

A file that is there was written with the same settings and is not written again.
"""

import dataclasses
import os
import pathlib
from typing import Any

import numpy as np

from pgan import results, run_folder, synthesis
from pgan.search import block_store
from pgan.visualize import mean_maps, pictures, plots, report_text, request

RESULTS, REPORT = "results.jsonl", "report.md"
_MAPS = "maps"


def run(
    generator: synthesis.ExportedGenerator,
    wanted: request.Request,
    output: str | os.PathLike,
    training: request.Training | None = None,
    progress: bool = True,
) -> list[dict[str, Any]]:
    """Writes what is missing of the folder.

    Args:
        generator: Draws.
        wanted: What is to be shown.
        output: The folder.
        training: Images of patients to be shown too; None shows none.
        progress: Whether to show bars.

    Returns:
        The rows of results.jsonl, see `mean_maps.rows`.

    Raises:
        ValueError: If the folder holds pictures of other settings, or the training images cannot
            be used.
        OSError: If the disk is full; finished files are kept.
    """
    path = pathlib.Path(output)
    settings = {
        "generator": generator.fingerprint,
        **wanted.describe(),
        "training": training and training.records.fold_fingerprint(training.fold),
    }
    kept = block_store.Folder(path, settings)
    drawn = pictures.Pictures(generator, wanted, path, progress)
    if wanted.sweeps:
        drawn.write_sweeps()
    if wanted.positions:
        drawn.write_differences(training)
    if wanted.interpolate:
        drawn.write_interpolation()
    table = []
    if wanted.positions and wanted.mean_count:
        table = _write_means(generator, wanted, drawn, path, kept, progress)
    facts = {
        "generator": generator.name,
        "generator_fingerprint": generator.fingerprint,
        "resolution": generator.resolution,
        "others": drawn.others,
        "seed": wanted.mean_seed,
        "phantoms": wanted.phantoms,
    }
    if training is not None:
        facts["records_fingerprint"] = training.records.fingerprint
    table = [{**row, **facts} for row in table]
    results.write(path / RESULTS, table)
    text = report_text.report(drawn.title, facts, table, _pictures(path), training is not None)
    run_folder.write_atomically(path / REPORT, text)
    return table


def _write_means(generator, wanted, drawn, path, kept, progress) -> list[dict[str, Any]]:
    """Writes mean maps as arrays and as a sheet, and returns their rows."""
    findings = [generator.findings[position] for position in wanted.positions]
    arrays = kept.load(_MAPS)
    regions = None if arrays is None else arrays.get("regions")
    if wanted.phantoms and regions is None:
        regions = mean_maps.regions_of_phantoms(
            findings, generator.resolution, wanted.phantoms, progress
        )
    if arrays is None:
        maps = mean_maps.measure(
            generator, wanted.others, wanted.positions, wanted.mean_count, wanted.mean_seed,
            regions, kept, progress,
        )  # fmt: skip
        arrays = {**dataclasses.asdict(maps), "findings": np.array(findings)}
        kept.save(_MAPS, arrays if regions is None else {**arrays, "regions": regions})
    else:
        maps = mean_maps.MeanMaps(
            **{field.name: arrays[field.name] for field in dataclasses.fields(mean_maps.MeanMaps)}
        )
    (path / f"{mean_maps.PART}.npz").unlink(missing_ok=True)
    table = mean_maps.rows(maps, findings, regions, wanted.mean_seed)
    ratios = {row["finding"]: row["value"] for row in table if row["name"] == "map_ratio"}
    panels = []
    for number, finding in enumerate(findings):
        ratio = ratios.get(finding)
        panels.append(
            plots.Panel(
                finding if ratio is None else f"{finding}: {ratio:.2f}",
                pictures.reduced(maps.without[number]),
                pictures.reduced(maps.difference[number]),
                None if ratio is None else pictures.reduced(regions[number].astype(float)) >= 0.5,
            )
        )
    title = f"Mean of {wanted.mean_count} pseudo-patients; others: {drawn.others}; {drawn.title}"
    if ratios:
        title += (
            f"\nGreen: where the finding acts in {wanted.phantoms} phantoms. Numbers: share of the "
            "maps in there\nover its share of the area, 1 by chance"
        )
    limit = wanted.limit or plots.scale(maps.difference)
    sheet = path / "differences" / "mean.png"
    drawn.write_sheet(sheet, panels, pictures.SHEET_COLUMNS, title, limit)
    return table


def _pictures(path: pathlib.Path) -> list[str]:
    """Pictures for the report: without those of patients, the mean maps first."""
    found = (picture.relative_to(path) for picture in path.rglob("*.png"))
    shown = [picture.as_posix() for picture in found if picture.parts[0] != pictures.NEAREST]
    return sorted(shown, key=lambda name: (not name.endswith("/mean.png"), name))
