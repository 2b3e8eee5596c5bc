"""Speed and memory of training, sampling and input, case by case, each in its own process.

A case is one configuration. Its process builds what training builds, times it in turns with the
machine's matrix product (`pgan.timing`), and answers with one row. A process of its own gives each
case its own peak memory, and leaves nothing in memory that could disturb the next.

Utilisation is the rate of the arithmetic that the case needs (`pgan.arithmetic`: two operations
per multiply-add of convolutions and dense layers, everything else not counted) over the rate of
the matrix product in the same type. The arithmetic is that of the plain form, so a form that needs
less of it shows a higher utilisation. It can pass 1 at small images, too, where the zeros around an
image are a good part of what a convolution would multiply (31 % at 4 px, 16 % at 8 px): they are
counted, but the library leaves most of them out.
"""

import dataclasses
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from pgan import config, results

WHATS = ("peak", "step", "sampling", "input")
# "plain" is what the network would be without care for speed, the measure of the other: resampling
# and convolution one after the other and, in sampling, kernels scaled in every call.
FORMS = ("plain", "fused")
WIDTHS = {"full": (8192, 512), "narrow": (1024, 64)}
# Keras policy to the type of its matrix products.
COMPUTE_TYPES = {
    "float32": "float32",
    "mixed_bfloat16": "bfloat16",
    "mixed_float16": "float16",
}
# Below this share of the cores, the reference did not have the machine to itself.
_QUIET = 0.9


@dataclasses.dataclass(frozen=True)
class Case:
    """What is measured.

    Attributes:
        what: One of WHATS.
        resolution: Image size in px; 0 for "peak".
        batch: Images per step, pass or batch.
        fmap_base: Width of the networks, see config.NetworkConfig.
        fmap_max: As well.
        precision: One of config.PRECISIONS.
        fading: Whether the resolution fades in.
        records: For "input", the name of the records.
        form: One of FORMS.
        micro_batch: For "step", images of a pass, of which several accumulate; 0: the batch.
    """

    what: str
    resolution: int = 0
    batch: int = 0
    fmap_base: int = 0
    fmap_max: int = 0
    precision: str = ""
    fading: bool = False
    records: str = ""
    form: str = "fused"
    micro_batch: int = 0

    @property
    def network(self) -> config.NetworkConfig:
        """The network whose last stage is measured."""
        return config.NetworkConfig(
            resolution=max(self.resolution, 8), fmap_base=self.fmap_base, fmap_max=self.fmap_max
        )

    def of(self, row: Mapping[str, Any]) -> bool:
        """Whether a row answers this case."""
        return all(row.get(name) == value for name, value in dataclasses.asdict(self).items())

    def __str__(self) -> str:
        parts = [self.what]
        if self.resolution:
            parts += [f"{self.resolution} px", f"batch {self.batch}"]
            parts += [f"{self.fmap_base}/{self.fmap_max}", self.precision, self.form]
            parts += [f"in passes of {self.micro_batch}"] * bool(self.micro_batch)
        return " ".join(parts + ["fade-in"] * self.fading)


@dataclasses.dataclass(frozen=True)
class Effort:
    """How thoroughly a case is measured.

    Attributes:
        repeats: Rounds of subject and references; medians are taken over them.
        min_seconds: Least duration of a sample.
        matrix_size: Side of the square matrices of the reference product.
    """

    repeats: int = 5
    min_seconds: float = 0.5
    matrix_size: int = 4096


def parse_width(text: str) -> tuple[int, int]:
    """Reads `full`, `narrow` or `fmap_base:fmap_max`.

    Raises:
        ValueError: If it is none of these.
    """
    if text in WIDTHS:
        return WIDTHS[text]
    base, _, largest = text.partition(":")
    if not (base.isdigit() and largest.isdigit()):
        raise ValueError(
            f"--widths wants {', '.join(WIDTHS)} or fmap_base:fmap_max such as 2048:128, got "
            f"{text!r}"
        )
    return int(base), int(largest)


def plan(
    whats: Iterable[str],
    resolutions: Sequence[int],
    widths: Sequence[tuple[int, int]],
    precisions: Sequence[str],
    batches: str,
    sampling_batches: str,
    fading: bool = False,
    records: str = "",
    forms: Sequence[str] = ("fused",),
    micro_batch: str = "0",
) -> list[Case]:
    """Lists the cases; the input pipeline is measured against the narrow float32 step only.

    Args:
        whats: Of WHATS.
        resolutions: Image sizes in px.
        widths: (fmap_base, fmap_max) of the networks.
        precisions: Of config.PRECISIONS.
        batches: Images per step, by resolution as config.per_resolution has it.
        sampling_batches: Images per pass of the generator, as well.
        fading: Whether steps and passes are of the fade-in; 4 px has none and is left out.
        records: Name of the records.
        forms: Of FORMS, of steps and sampling.
        micro_batch: Images of a pass of a step by resolution, 0: the batch.

    Raises:
        ValueError: If a value cannot be used.
    """
    whats, cases = list(whats), []
    for what in whats:
        if what not in WHATS:
            raise ValueError(f"--what must be of {', '.join(WHATS)}, got {what!r}")
    for precision in precisions:
        if precision not in config.PRECISIONS:
            raise ValueError(f"--precisions must be of {config.PRECISIONS}, got {precision!r}")
    for form in forms:
        if form not in FORMS:
            raise ValueError(f"--forms must be of {', '.join(FORMS)}, got {form!r}")
    if "peak" in whats:
        cases.append(Case("peak"))
    for resolution in resolutions:
        if not config.is_power_of_two(resolution) or not 4 <= resolution <= 1024:
            raise ValueError(f"--resolutions must be powers of two, 4 to 1024; got {resolution}")
        batch = int(config.at_resolution(batches, resolution, "--batch"))
        size = int(config.at_resolution(sampling_batches, resolution, "--sampling_batch"))
        for what, images in (("step", batch), ("sampling", size)):
            if what not in whats or (fading and resolution == 4):
                continue
            limit = int(config.at_resolution(micro_batch, resolution, "--micro_batch"))
            cases += [
                Case(
                    what, resolution, images, base, largest, precision, fading,
                    form=form, micro_batch=limit if what == "step" else 0,
                )
                for base, largest in widths
                for precision in precisions
                for form in forms
            ]  # fmt: skip
        if "input" in whats:
            narrow = WIDTHS["narrow"]
            cases.append(Case("input", resolution, batch, *narrow, "float32", records=records))
    return sorted(cases, key=lambda case: WHATS.index(case.what))


def run(case: Case, effort: Effort, records_dir: str = "", fold: str = "") -> dict[str, Any]:
    """Measures one case in a process of its own.

    Args:
        case: What to measure.
        effort: How thoroughly.
        records_dir: For "input", the record set.
        fold: For "input", the fold of it that is read.

    Returns:
        The row: the case, the effort, and what `pgan.benchmark_process` measured.

    Raises:
        RuntimeError: If the process failed, or was killed for its memory.
    """
    request = {
        "case": dataclasses.asdict(case),
        "effort": dataclasses.asdict(effort),
        "records_dir": records_dir,
        "fold": fold,
    }
    child = subprocess.run(
        [sys.executable, "-m", "pgan.benchmark_process"],
        input=json.dumps(request),
        capture_output=True,
        text=True,
        env={**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"},
        check=False,
    )
    if child.returncode == -9:
        raise RuntimeError(f"{case}: killed, probably for its memory; give it a smaller --batch")
    if child.returncode:
        raise RuntimeError(f"{case} failed:\n{child.stderr.strip()[-3000:]}")
    measured = json.loads(child.stdout.splitlines()[-1])
    return {**dataclasses.asdict(case), **dataclasses.asdict(effort), **measured}


def answers(cases: Iterable[Case], rows: Sequence[Mapping[str, Any]]) -> dict[Case, Mapping]:
    """The newest row of each case that has one."""
    return {case: row for case in cases for row in rows if case.of(row)}


def report(cases: Sequence[Case], rows: Sequence[Mapping[str, Any]]) -> str:
    """Writes Markdown tables of the rows that answer the cases."""
    found = answers(cases, rows)
    sections = []
    for what, (title, header, cells) in _TABLES.items():
        lines = [cells(row, rows) for case, row in found.items() if case.what == what]
        if what == "peak":
            lines = [line for table in lines for line in table]
        if lines:
            sections.append(f"**{title}**\n\n{results.markdown_table(header, lines)}")
    if any(_is_busy(row) for row in found.values()):
        sections.append(
            "\\* The matrix product had less than 90 % of the cores: other programs were running."
        )
    return "\n\n".join(sections)


def _is_busy(row: Mapping[str, Any]) -> bool:
    # A narrow step, the reference of the input, leaves cores idle by itself.
    return row["what"] != "input" and row["reference_cores"] < _QUIET * row["machine"]["cores"]


def _starred(row: Mapping[str, Any], value: float) -> str:
    return results.format_number(value) + "*" * _is_busy(row)


def _peak_rows(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[list[Any]]:
    return [[dtype, size, _starred(row, rate)] for dtype, size, rate in row["gflops"]]


def _network_cells(row: Mapping[str, Any]) -> list[Any]:
    stage = "fade-in" if row["fading"] else "stable"
    width = f"{row['fmap_base']}/{row['fmap_max']}"
    form = f"{row['form']}, passes of {row['micro_batch']}" if row["micro_batch"] else row["form"]
    return [f"{row['resolution']}:{row['batch']}", width, row["precision"], form, stage]


def _times_plain(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> str:
    """Speed as a multiple of the plain float32 form's, both beside the matrix product of then."""
    wanted = {"form": "plain", "precision": "float32", "micro_batch": 0}
    names = ("what", "resolution", "batch", "fmap_base", "fmap_max", "fading")
    wanted.update({name: row[name] for name in names})
    found = [r for r in rows if all(r.get(name) == value for name, value in wanted.items())]
    if not found:
        return ""
    return f"{row['utilisation_of_float32'] / found[-1]['utilisation_of_float32']:.2f}"


def _work_row(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    slowest, fastest = results.format_number(row["slowest"]), results.format_number(row["fastest"])
    return [
        *_network_cells(row),
        _starred(row, row["images_per_second"]),
        f"{slowest} to {fastest}",
        _times_plain(row, rows),
        row["gflop_per_image"],
        row["gflops"],
        row["peak_gflops"][COMPUTE_TYPES[row["precision"]]],
        f"{row['utilisation']:.0%}",
        f"{row['utilisation_of_float32']:.0%}",
        f"{row['peak_bytes'] / 2**30:.2f}",
    ]


def _input_row(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> list[Any]:
    return [
        f"{row['resolution']}:{row['batch']}",
        row["records"],
        row["images_per_second"],
        row["step_images_per_second"],
        f"{row['ratio']:.1f}",
        f"{row['fed_slowdown']:+.1%}",
        f"{row['peak_bytes'] / 2**30:.2f}",
    ]


_WORK_HEADER = (
    "px:batch", "fmap_base/max", "precision", "form", "stage", "images/s", "range",
    "times plain float32", "GFLOP/image", "GFLOP/s", "product GFLOP/s", "utilisation",
    "of float32 product", "peak GiB",
)  # fmt: skip
_TABLES = {
    "peak": ("Matrix product", ("type", "size", "GFLOP/s"), _peak_rows),
    "step": ("Training step", _WORK_HEADER, _work_row),
    "sampling": ("Sampling", _WORK_HEADER, _work_row),
    "input": (
        "Input pipeline",
        (
            "px:batch", "records", "images/s", "narrow step images/s", "ratio",
            "step fed by it takes", "peak GiB",
        ),
        _input_row,
    ),
}  # fmt: skip
