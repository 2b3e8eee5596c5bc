"""Frames to pictures that people look at: strips, animated GIF, MP4."""

import io
import math
import os
import pathlib
from collections.abc import Mapping, Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from pgan import plots, synthetic_mark

_CELL = 256  # px of an image in a frame, at least
_FRAME_WIDTH = 1024  # px of a frame, unless its cells are at their smallest
_STRIP_FRAMES, _STRIP_CELL = 11, 128
_HOLD = 8  # how often the first and the last frame are shown
_HEADER = 24  # px


def encoder_missing() -> str | None:
    """Why no MP4 can be written, None if it can."""
    try:
        import imageio  # noqa: F401
        import imageio_ffmpeg

        imageio_ffmpeg.get_ffmpeg_exe()
    except (ImportError, RuntimeError) as error:
        return str(error).splitlines()[0]
    return None


def strip(frames: np.ndarray, names: Sequence[str], title: str) -> Image.Image:
    """Frames side by side, a row for each pseudo-patient.

    Args:
        frames: uint8 [N, frames, R, R]; at most 11 of them are shown, evenly spread.
        names: Of the rows.
        title: Of the strip.
    """
    shown = strip_places(frames.shape[1])
    rows = [np.stack([_resized(image, _STRIP_CELL, _CELL) for image in row[shown]])
            for row in frames]  # fmt: skip
    return plots.image_grid(rows, names, title)


def strip_places(count: int) -> np.ndarray:
    """Which of some frames a strip shows, integers."""
    return np.unique(np.rint(np.linspace(0, count - 1, min(count, _STRIP_FRAMES))).astype(int))


def compose(frames: np.ndarray, captions: Sequence[str]) -> np.ndarray:
    """Frames of an animation: pseudo-patients side by side under a caption.

    Args:
        frames: uint8 [N, frames, R, R]. Small images are enlarged by a whole factor, large ones
            reduced by one.
        captions: A text for each frame.

    Returns:
        uint8 [frames, H, W], H and W even, as video encoders want it.
    """
    count = len(frames)
    columns = count if count <= 4 else math.ceil(math.sqrt(count))
    rows = -(-count // columns)
    most = max(_CELL, _FRAME_WIDTH // columns)
    font = ImageFont.load_default(size=14)
    pictures = []
    for number, caption in enumerate(captions):
        cells = [_resized(images[number], _CELL, most) for images in frames]
        height, width = cells[0].shape
        shape = (columns * width + columns * width % 2, rows * height + _HEADER)
        picture = Image.new("L", (shape[0], shape[1] + shape[1] % 2))
        ImageDraw.Draw(picture).text((4, 3), caption, fill=235, font=font)
        for place, cell in enumerate(cells):
            where = (place % columns * width, _HEADER + place // columns * height)
            picture.paste(Image.fromarray(cell), where)
        pictures.append(np.asarray(picture))
    return np.stack(pictures)


def write_png(path: pathlib.Path, picture: Image.Image, marks: Mapping[str, str]) -> None:
    """Writes a picture, whole or not at all, marked as what it is."""
    with io.BytesIO() as stream:
        picture.save(stream, "PNG")
        write_png_bytes(path, stream.getvalue(), marks)


def write_png_bytes(path: pathlib.Path, png: bytes, marks: Mapping[str, str]) -> None:
    """As `write_png`, of an encoded picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = _beside(path)
    beside.write_bytes(synthetic_mark.mark(png, marks))
    os.replace(beside, path)


def write_gif(
    path: pathlib.Path, frames: np.ndarray, frame_rate: float, marks: Mapping[str, str]
) -> None:
    """Writes an animation that is repeated for ever, its first and last frame held.

    Args:
        path: The file.
        frames: uint8 [frames, H, W]; their 256 grey levels are all kept.
        frame_rate: Frames a second.
        marks: Become the comment of the file.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    milliseconds = [round(1000 / frame_rate)] * len(frames)
    milliseconds[0] = milliseconds[-1] = _HOLD * milliseconds[0]
    first, *others = map(Image.fromarray, frames)
    beside = _beside(path)
    first.save(
        beside, "GIF", save_all=True, append_images=others, duration=milliseconds, loop=0,
        optimize=False, comment=_comment(marks).encode("latin-1"),
    )  # fmt: skip
    os.replace(beside, path)


def write_mp4(
    path: pathlib.Path, frames: np.ndarray, frame_rate: float, marks: Mapping[str, str]
) -> None:
    """Writes a film (H.264), its first and last frame held; needs `encoder_missing()` to be None.

    Args:
        path: The file.
        frames: uint8 [frames, H, W], H and W even.
        frame_rate: Frames a second.
        marks: Become the comment of the file.

    Raises:
        OSError: If the encoder fails.
    """
    import imageio

    path.parent.mkdir(parents=True, exist_ok=True)
    held = [*[frames[0]] * (_HOLD - 1), *frames, *[frames[-1]] * (_HOLD - 1)]
    beside = _beside(path).with_suffix(".mp4")  # the encoder chooses by the name
    with imageio.get_writer(
        beside, format="FFMPEG", fps=frame_rate, codec="libx264", pixelformat="yuv420p",
        macro_block_size=2, quality=8, ffmpeg_log_level="error",
        output_params=["-metadata", f"comment={_comment(marks)}"],
    ) as writer:  # fmt: skip
        for frame in held:
            writer.append_data(np.repeat(frame[..., np.newaxis], 3, axis=-1))
    os.replace(beside, path)


def _comment(marks):
    return "; ".join(f"{name}: {text}" for name, text in marks.items())


def _beside(path):
    return path.with_name(f".{path.name}.part")


def _resized(image, least, most):
    """An image uint8 [R, R], by whole factors to at least and at most some px."""
    size = image.shape[0]
    if size > most:
        return np.asarray(Image.fromarray(image).reduce(-(-size // most)))
    return np.kron(image, np.ones((max(1, -(-least // size)),) * 2, np.uint8))
