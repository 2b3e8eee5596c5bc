"""Pictures for the page, and the gate that keeps those of patients out of it."""

import base64
import io
import pathlib
from typing import Any

from PIL import Image

from pgan.report import collect, markup

# Pixels; 180 mm of a printed page at 170 dots per inch.
_WIDEST = 1200
_TALLEST = 2000
_LARGE_PNG = 160_000  # bytes, from which on a picture is stored as JPEG
_JPEG_QUALITY = 88
_SCREEN = 96  # px of the screen to an inch


# Any other origin, such as that of a federation of several, may be patients.
_NO_PATIENTS = (collect.PHANTOM, collect.SYNTHETIC)


class Album:
    """Takes pictures for the page and remembers which of them show patients.

    Pictures of records that are not known to be phantoms or synthetic count as patients'.
    """

    def __init__(self, real_images: bool):
        """Starts without pictures.

        Args:
            real_images: Whether pictures of real patients may be shown.
        """
        self._real_images = real_images
        self._shown, self._left_out = [], []
        self._trained_on_patients = False

    def chart(self, path: pathlib.Path | None, alternative: str, caption: Any) -> markup.Html:
        """A figure of numbers; nothing if there is no such file."""
        return self._show(path, alternative, caption, "chart")

    def drawing(self, svg: bytes, alternative: str, caption: Any) -> markup.Html:
        """A figure of numbers that was drawn for the page."""
        uri = "data:image/svg+xml;base64," + base64.b64encode(svg).decode("ascii")
        return markup.figure(uri, alternative, caption)

    def synthetic(
        self, path: pathlib.Path | None, alternative: str, caption: Any, trained_on: str
    ) -> markup.Html:
        """A picture of synthetic images only.

        Args:
            path: The file, or None.
            alternative: What it shows.
            caption: Below it.
            trained_on: Origin of the images that the generator was trained on.
        """
        if path is not None and trained_on not in _NO_PATIENTS:
            self._trained_on_patients = True
        return self._show(path, alternative, caption, "picture")

    def records(
        self, path: pathlib.Path | None, alternative: str, caption: Any, origin: str
    ) -> markup.Html:
        """A picture with images of a record set; left out if they may be patients'.

        Args:
            path: The file, or None.
            alternative: What it shows.
            caption: Below it.
            origin: Of the records, as of `collect.Found.origin`.
        """
        if path is not None and origin not in _NO_PATIENTS:
            if not self._real_images:
                self._left_out.append(path.name)
                return markup.Html("")
            self._shown.append(path.name)
        return self._show(path, alternative, caption, "picture")

    def disclosure(self) -> markup.Html:
        """What the page shows of patients, for its top."""
        sentences = []
        if self._shown:
            kind = "alarm"
            sentences.append(
                f"This page shows pictures of real patients ({_tally(self._shown)}). It must not "
                "leave the circle of those who may see them."
            )
        else:
            kind = "safe"
            sentences.append(
                "No picture on this page shows a real patient: all images are synthetic, drawn "
                "phantoms, or charts."
            )
        if self._left_out:
            sentences.append(
                f"Left out because they show real patients, or may ({_tally(self._left_out)}); "
                "--real_images shows them."
            )
        if self._trained_on_patients:
            sentences.append(
                "Some synthetic images come from generators that were trained on real patients' "
                "images; whether a generator copies those is what an audit asks."
            )
        return markup.paragraph(" ".join(sentences), f"banner {kind}")

    def _show(self, path, alternative, caption, kind):
        if path is None:
            return markup.Html("")
        try:
            uri, width = _encode(path, kind)
        except (OSError, ValueError):  # half written by a run that goes on, or no picture
            return markup.paragraph(f"{path.name} cannot be read as a picture.", "note warning")
        return markup.figure(uri, alternative, caption, kind, width)


def _tally(names):
    kinds = {}
    for name in names:
        kinds[name] = kinds.get(name, 0) + 1
    parts = [name if count == 1 else f"{count} \N{MULTIPLICATION SIGN} {name}" for name, count in
             sorted(kinds.items())]  # fmt: skip
    if len(parts) > 8:
        return f"{len(names)} files: {', '.join(parts[:8])} ..."
    return ", ".join(parts)


def _encode(path, kind):
    """The picture as a data: URI, reduced to what a page can show; a chart's width on a screen."""
    content = path.read_bytes()
    with Image.open(io.BytesIO(content)) as picture:
        picture.load()
        dots = picture.info.get("dpi", (_SCREEN, _SCREEN))[0] or _SCREEN
        width = round(picture.width * _SCREEN / dots) if kind == "chart" else None
        scale = min(1.0, _WIDEST / picture.width, _TALLEST / picture.height)
        if picture.mode != "L":
            ground = Image.new("RGBA", picture.size, "white")
            ground.alpha_composite(picture.convert("RGBA"))
            picture = ground.convert("RGB")
        picture = _reduce(picture, scale)
        if kind == "picture" and (scale < 1.0 or len(content) > _LARGE_PNG):
            return _uri(picture, "JPEG", quality=_JPEG_QUALITY, optimize=True), width
        if kind == "chart" and picture.mode == "RGB":  # few colours
            picture = picture.quantize(256, dither=Image.Dither.NONE)
        return _uri(picture, "PNG", optimize=True), width


def _reduce(picture, scale):
    if scale >= 1.0:
        return picture
    size = (round(picture.width * scale), round(picture.height * scale))
    return picture.resize(size, Image.Resampling.LANCZOS)


def _uri(picture, form, **options):
    with io.BytesIO() as file:
        picture.save(file, form, **options)
        content = base64.b64encode(file.getvalue()).decode("ascii")
    return f"data:image/{form.lower()};base64,{content}"
