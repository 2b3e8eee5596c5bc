"""Draws pseudo-patients and writes pictures of them; those that are there are not written again."""

import io
import os
import pathlib
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
import tqdm

from pgan import synthesis, synthetic_sets
from pgan.visualize import animations, neighbours, plots, pseudo_patients, request

NEAREST = "nearest"  # folder of the pictures that show patients
SHEET_COLUMNS = 5
SHEET_CELL = 512  # px; larger images are reduced for sheets
_WORK = ".nearest"
_PATIENTS_SHOWN = {"Warning": "Shows images of patients beside synthetic ones. Not for diagnosis."}


class Pictures:
    """Pictures of pseudo-patients in a folder.

    Attributes:
        title: Of the generator, part of every picture.
        others: What all other findings are held at, in words.
    """

    def __init__(
        self,
        generator: synthesis.ExportedGenerator,
        wanted: request.Request,
        folder: str | os.PathLike,
        progress: bool = True,
    ):
        """Prepares pictures of what is wanted, none of which is drawn yet."""
        self._generator, self._wanted = generator, wanted
        self._path, self._progress = pathlib.Path(folder), progress
        self._findings = [generator.findings[position] for position in wanted.positions]
        self._names = [str(one) for one in wanted.patients]
        self._vectors = pseudo_patients.latents(generator, wanted.patients)
        self._films = animations.encoder_missing() is None
        self.others = "0"  # not "No Finding", which some vocabularies have as a class
        if wanted.others.any():
            self.others = synthetic_sets.finding_text(wanted.others, generator.findings)
        self.title = f"{generator.name}, {generator.resolution} px, synthetic"

    def write_sweeps(self) -> None:
        """Writes each finding from absent to present."""
        frames = self._wanted.frames
        steps = np.linspace(0, 1, frames)
        shown = ", ".join(f"{step:.2g}" for step in steps[animations.strip_places(frames)])
        for position, finding in zip(self._wanted.positions, self._bar("Sweeps"), strict=True):
            labels = pseudo_patients.sweep(self._wanted.others, position, frames)

            def draw(labels=labels):
                ways = (np.tile(vector, (frames, 1)) for vector in self._vectors)
                return np.stack([_rounded(self._generator.draw(way, labels)) for way in ways])

            self._write_animation(
                self._path / "sweeps" / pseudo_patients.file_name(finding),
                draw,
                self._names,
                f"{finding} {shown}; others: {self.others}; {self.title}",
                [f"{finding} {step:.2f}   {self.title}" for step in steps],
            )

    def write_interpolation(self) -> None:
        """Writes the way from each pseudo-patient to the next."""
        frames = self._wanted.frames
        legs = list(zip(self._vectors[:-1], self._vectors[1:], strict=True))
        names = [f"{a} to {b}" for a, b in zip(self._names[:-1], self._names[1:], strict=True)]
        steps = np.linspace(0, 1, frames)

        def draw():
            rows = np.tile(self._wanted.others, (frames, 1))
            ways = (pseudo_patients.great_circle(*leg, frames) for leg in legs)
            return np.stack([_rounded(self._generator.draw(way, rows)) for way in ways])

        self._write_animation(
            self._path / "interpolation",
            draw,
            names,
            f"From one pseudo-patient to the next; findings: {self.others}; {self.title}",
            [f"{name}, {step:.2f}   {self.title}" for name in names for step in steps],
            in_turn=True,
        )

    def _write_animation(
        self,
        path: pathlib.Path,
        draw: Callable[[], np.ndarray],
        names: Sequence[str],
        title: str,
        captions: Sequence[str],
        in_turn: bool = False,
    ) -> None:
        """Writes strip, GIF and film of what `draw` returns, uint8 [rows, frames, R, R].

        The rows of an animation are shown at once, or in turn.
        """
        rate, marks = self._wanted.frame_rate, self._generator.marks
        # Names of findings may have dots, so no `with_suffix`.
        files = [path.with_name(f"{path.name}.{end}") for end in ("png", "gif", "mp4")]
        strip, gif, film = [file if not file.exists() else None for file in files]
        film = film if self._films else None
        if not (strip or gif or film):
            return
        rows = draw()
        if strip:
            animations.write_png(strip, animations.strip(rows, names, title), marks)
        frames = rows.reshape(1, -1, *rows.shape[2:]) if in_turn else rows
        composed = animations.compose(frames, captions)
        if gif:
            animations.write_gif(gif, composed, rate, marks)
        if film:
            animations.write_mp4(film, composed, rate, marks)

    def write_differences(self, training: request.Training | None) -> None:
        """Writes pseudo-patients without and with findings, and the differences, in one scale.

        Args:
            training: Images of patients to be shown beside them, on other sheets; None for none.
        """
        pairs = [
            self._contrasts(position)
            for position, _ in zip(self._wanted.positions, self._bar("Differences"), strict=True)
        ]
        without, shown = (np.stack(part) for part in zip(*pairs, strict=True))  # [F, N, S, S]
        difference = shown - without
        limit = self._wanted.limit or plots.scale(difference)
        held = f"others: {self.others}; {self.title}"
        for number, finding in enumerate(self._findings):
            panels = []
            for row, name in enumerate(self._names):
                image = without[number, row]
                panels.append(plots.Panel(f"{name} without", image))
                panels.append(plots.Panel(f"with {finding}", shown[number, row]))
                panels.append(plots.Panel("difference", image, difference[number, row]))
            path = self._path / "differences" / f"{pseudo_patients.file_name(finding)}.png"
            self.write_sheet(path, panels, 3, f"{finding}; {held}", limit)
        for row, patient in enumerate(self._wanted.patients):
            panels = [plots.Panel("without", without[0, row])]
            panels += [
                plots.Panel(finding, without[number, row], difference[number, row])
                for number, finding in enumerate(self._findings)
            ]
            path = self._path / "differences" / f"{patient.seed}-{patient.index}.png"
            title = f"Pseudo-patient {patient} with one finding at a time; {held}"
            self.write_sheet(path, panels, SHEET_COLUMNS, title, limit)
        for positions in self._wanted.combinations:
            self._write_combination(positions, limit)
        if training is not None:
            self._write_nearest(without, shown, training)

    def _contrasts(self, position: int) -> tuple[np.ndarray, np.ndarray]:
        """Pseudo-patients without and with a finding, float32 [N, S, S], reduced for sheets."""
        pair = pseudo_patients.contrasts(
            self._generator, self._vectors, self._wanted.others, [position]
        )
        return reduced(pair[0][:, 0]), reduced(pair[1][:, 0])

    def _write_combination(self, positions: Sequence[int], limit: float) -> None:
        names = [self._generator.findings[position] for position in positions]
        path = self._path / "combinations" / f"{pseudo_patients.file_name('+'.join(names))}.png"
        if path.exists():
            return
        base = pseudo_patients.with_findings(self._wanted.others, positions, 0)
        shown = [[], *([position] for position in positions), positions]
        rows = np.stack([pseudo_patients.with_findings(base, which, 1) for which in shown])
        titles = [*names, " + ".join(names)]
        drawn = pseudo_patients.draw_all(self._generator, self._vectors, rows)
        panels = []
        for name, (first, *others) in zip(self._names, reduced(drawn), strict=True):
            panels.append(plots.Panel(f"{name} without", first))
            panels += [plots.Panel(*pair) for pair in zip(titles, others, strict=True)]
            panels.append(plots.Panel("difference of all", first, others[-1] - first))
        title = f"{' and '.join(names)}; others: {self.others}; {self.title}"
        self.write_sheet(path, panels, len(titles) + 2, title, limit)

    def _write_nearest(
        self, without: np.ndarray, shown: np.ndarray, training: request.Training
    ) -> None:
        paths = [
            self._path / NEAREST / f"{pseudo_patients.file_name(finding)}.png"
            for finding in self._findings
        ]
        if all(path.exists() for path in paths):
            return
        drawn = _rounded(np.stack([without, shown], axis=2))  # [F, N, 2, S, S]
        unique, places = np.unique(drawn.reshape(-1, *drawn.shape[3:]), axis=0, return_inverse=True)
        records, fold = training.records, training.fold
        found = neighbours.find(unique, records, fold, self._path / _WORK, self._progress)
        places = places.reshape(drawn.shape[:3])
        kind = "training image"
        if not training.is_of(self._generator):
            kind = "image of records that the generator was not trained on"
        head = (
            f"SHOWS PATIENTS: right of each drawn image the nearest {kind}, by SSIM at "
            f"{found.images.shape[-1]} px, of {records.name}, {fold}"
        )
        for number, (finding, path) in enumerate(zip(self._findings, paths, strict=True)):
            panels = []
            for row, name in enumerate(self._names):
                for which, text in enumerate((f"{name} without", f"with {finding}")):
                    place = places[number, row, which]
                    panels.append(plots.Panel(text, drawn[number, row, which]))
                    title = f"{found.ids[place]}\nSSIM {found.ssim[place]:.3f}"
                    panels.append(plots.Panel(title, found.images[place]))
            title = f"{head}\n{finding}; {self.title}"
            self.write_sheet(path, panels, 4, title, None, _PATIENTS_SHOWN)

    def write_sheet(
        self,
        path: pathlib.Path,
        panels: Sequence[plots.Panel],
        columns: int,
        title: str,
        limit: float | None,
        marks: Mapping[str, str] | None = None,
    ) -> None:
        """Writes a sheet as `plots.sheet` draws it, marked as the generator's unless said."""
        if path.exists():
            return
        with io.BytesIO() as stream:
            drawing = plots.sheet(panels, min(columns, len(panels)), title, limit)
            drawing.savefig(stream, format="png")
            animations.write_png_bytes(path, stream.getvalue(), marks or self._generator.marks)

    def _bar(self, title: str) -> Iterator[str]:
        return tqdm.tqdm(self._findings, title, unit="finding", disable=not self._progress)


def _rounded(images: np.ndarray) -> np.ndarray:
    """Grey levels as files hold them, uint8."""
    return np.rint(images).astype(np.uint8)


def reduced(images: np.ndarray) -> np.ndarray:
    """Images float [..., R, R] by a whole factor to at most what a sheet shows."""
    size = images.shape[-1]
    factor = max(1, size // SHEET_CELL)
    blocks = images.reshape(*images.shape[:-2], size // factor, factor, size // factor, factor)
    return blocks.mean(axis=(-3, -1))
