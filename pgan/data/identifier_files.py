"""Files as the pieces of bytes in which `identifier_scan` looks for identifiers.

Packed files (gzip, bzip2, xz, zip, and so .npz and .keras, tar) are unpacked. Of shards, the text
features are searched and the rest is checked; of PNG files and of DICOM files that are not
compressed, everything but the pixels is searched. All other files are searched as they lie on the
disk: JSON, CSV, logs, SavedModels, checkpoints, TensorBoard's event files, JPEG with its comments
and EXIF. What cannot be unpacked is a problem, and a scan with problems is not clean.
"""

import bisect
import bz2
import gzip
import io
import itertools
import lzma
import math
import os
import pathlib
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

# Features of a record; see `record_writer`.
FEATURES = ("image", "labels", "patient_id", "record_id", "rendering", "shape")
_PIXELS = "image"
# All that a PNG of a record may hold: no texts, no EXIF, no times.
PIXEL_CHUNKS = ("IHDR", "IDAT", "IEND")

_WINDOW = 8 * 2**20
_RECORDS_AT_ONCE = 64
_DEEPEST = 4

_PNG = b"\x89PNG\r\n\x1a\n"
_UNPACKERS = {b"\x1f\x8b\x08": gzip.open, b"BZh": bz2.open, b"\xfd7zXZ\0": lzma.open}
# Their product is the number of bits of a DICOM image.
_DICOM_SIZES = ("Rows", "Columns", "SamplesPerPixel", "BitsAllocated", "NumberOfFrames")
_DICOM_PIXELS = "PixelData"
# Implicit and explicit little endian, explicit big endian: the pixels as they are.
_DICOM_PLAIN = ("1.2.840.10008.1.2", "1.2.840.10008.1.2.1", "1.2.840.10008.1.2.2")
_CLOSED = {
    b"7z\xbc\xaf\x27\x1c": "7z archives",
    b"\x28\xb5\x2f\xfd": "zstd files",
    b"\x04\x22\x4d\x18": "LZ4 files",
    b"Rar!": "RAR archives",
    b"PAR1": "Parquet files",
    b"%PDF": "PDF files",
}


class Part(NamedTuple):
    """Bytes to search.

    Attributes:
      data: the bytes.
      where: from an offset in the data to a place in the file, in words.
      start: a hit that begins before is another part's.
      stop: so is one that begins here or later.
      text: whether it is known to be text.
    """

    data: bytes
    where: Callable[[int], str]
    start: int
    stop: int
    text: bool = False


class Problem(NamedTuple):
    """Something in a file that should not be there, or that keeps it from being searched.

    Attributes:
      what: the same words for all of a kind.
      where: place in the file.
    """

    what: str
    where: str


def parts(path: pathlib.Path, overlap: int) -> Iterator[Part | Problem]:
    """Yields what there is to search in a file, and what is wrong with it.

    Args:
      path: the file.
      overlap: number of bytes that no identifier is longer than.
    """
    try:
        if path.name.endswith((".tfrecord", ".tfrecords")):
            yield from _of_records(path)
        else:
            with open(path, "rb") as file:
                yield from _of_stream(file, "", overlap, 0)
    except (OSError, EOFError, zlib.error, lzma.LZMAError, tarfile.TarError) as error:
        yield Problem(f"cannot be read ({type(error).__name__})", "")
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        yield Problem(f"cannot be unpacked ({type(error).__name__})", "")


def whole(data: bytes, where: str, text: bool = False) -> Part:
    """A part that is not cut from something longer."""
    return Part(data, lambda offset: where, 0, len(data), text)


def _of_stream(stream, inside: str, overlap: int, depth: int) -> Iterator[Part | Problem]:
    head = stream.read(512)
    stream.seek(0)
    packed = next((open_ for magic, open_ in _UNPACKERS.items() if head.startswith(magic)), None)
    closed = next((name for magic, name in _CLOSED.items() if head.startswith(magic)), None)
    is_zip = head.startswith((b"PK\x03\x04", b"PK\x05\x06"))
    is_tar = head[257:262] == b"ustar"
    if depth > _DEEPEST:
        yield Problem("is packed too deeply to be searched", inside)
    elif closed:
        yield Problem(f"cannot be searched: {closed} are not unpacked", inside)
    elif packed:
        with packed(stream) as content:
            yield from _of_stream(content, f"{inside}unpacked, ", overlap, depth + 1)
        if packed is gzip.open:  # its header may hold the name of what was packed
            yield whole(head, f"{inside}gzip header")
    elif is_zip:
        with zipfile.ZipFile(stream) as archive:
            for member in archive.infolist():
                yield whole(f"{member.filename}\n".encode() + member.comment, inside + "zip entry")
                with archive.open(member) as content:
                    yield from _of_stream(
                        content, f"{inside}{member.filename}, ", overlap, depth + 1
                    )
            yield whole(archive.comment, inside + "zip comment")
    elif is_tar:
        with tarfile.open(fileobj=stream, mode="r:") as archive:
            for member in archive:
                owner = f"{member.name}\n{member.linkname}\n{member.uname}\n{member.gname}"
                yield whole(owner.encode(), inside + "tar entry")
                if member.isfile():
                    yield from _of_stream(
                        archive.extractfile(member), f"{inside}{member.name}, ", overlap, depth + 1
                    )
    elif head.startswith(_PNG):
        yield from _of_png(stream.read(), inside)
    elif head[128:132] == b"DICM":
        data = stream.read()
        begin, end = _dicom_pixels(data)
        yield from _windows(io.BytesIO(data[:begin]), inside, overlap)
        yield from _windows(io.BytesIO(data[end:]), f"{inside}after the DICOM image, ", overlap)
    else:
        yield from _windows(stream, inside, overlap)


def _windows(stream, inside: str, overlap: int) -> Iterator[Part]:
    """Cuts a stream into windows that share twice the overlap."""
    buffer, start, base, line = stream.read(_WINDOW), 0, 0, 1
    while buffer:
        following = stream.read(_WINDOW)
        stop = len(buffer) - overlap if following else len(buffer)

        def where(offset, buffer=buffer, base=base, line=line):
            number = line + buffer.count(b"\n", 0, offset)
            return f"{inside}line {number}, byte {base + offset}"

        yield Part(buffer, where, start, stop)
        if not following:
            return
        dropped = max(0, len(buffer) - 2 * overlap)
        line += buffer.count(b"\n", 0, dropped)
        base += dropped
        start = stop - dropped
        buffer = buffer[dropped:] + following


def png_chunks(data: bytes) -> list[tuple[str, int, int]]:
    """(type, begin, end) of the content of each chunk; "" for what no chunk is, as after IEND."""
    chunks, position = [], len(_PNG)
    while position < len(data):
        length, kind = struct.unpack_from(">I4s", data.ljust(position + 8, b"\0"), position)
        end = position + 8 + length
        if end + 4 > len(data) or (chunks and chunks[-1][0] == "IEND"):
            chunks.append(("", position, len(data)))
            break
        chunks.append((kind.decode("latin-1"), position + 8, end))
        position = end + 4
    return chunks


def _of_png(data: bytes, inside: str) -> Iterator[Part | Problem]:
    for kind, begin, end in png_chunks(data):
        if kind == "IDAT":
            continue
        content = data[begin:end]
        where = f"{inside}PNG chunk {kind}" if kind else f"{inside}after the PNG image"
        yield whole(content, where)
        if kind in ("zTXt", "iTXt", "iCCP"):
            packed = content.find(b"\x78", content.find(b"\0") + 1)  # zlib's first byte
            if packed >= 0:
                try:
                    yield whole(zlib.decompress(content[packed:]), where)
                except zlib.error:  # an iTXt that is not compressed was searched above
                    if kind != "iTXt":
                        yield Problem("has a PNG text that cannot be unpacked", where)


def _dicom_pixels(data: bytes) -> tuple[int, int]:
    """(begin, end) of what is certainly pixels of a DICOM file, the end of the file if nothing is.

    Grey levels 48 to 57 are the digits, and a smooth image holds long runs of them: of sixty
    radiographs, four held an id of ChestX-ray14. Pixels that are compressed are no such runs, and
    values that are longer than the image may have something behind it.
    """
    import pydicom

    nothing = len(data), len(data)
    try:
        dataset = pydicom.dcmread(io.BytesIO(data), specific_tags=[*_DICOM_SIZES, _DICOM_PIXELS])
        size = math.prod(int(dataset.get(keyword) or 1) for keyword in _DICOM_SIZES)
        element = dataset.get_item(_DICOM_PIXELS)
        syntax = dataset.file_meta.TransferSyntaxUID
        length = size // 8 + size // 8 % 2
        if syntax not in _DICOM_PLAIN or element is None or element.length != length:
            return nothing
        return element.value_tell, element.value_tell + length
    except Exception:  # pydicom raises whatever a damaged file makes it stumble upon
        return nothing


def _of_records(path: pathlib.Path) -> Iterator[Part | Problem]:
    """The texts of a shard, many records to a part; and what its records should not have."""
    import tensorflow as tf
    from google.protobuf import message

    number = 0
    dataset = tf.data.TFRecordDataset(str(path), buffer_size=2**20).batch(_RECORDS_AT_ONCE)
    try:
        for batch in dataset.as_numpy_iterator():
            texts, places = [], []
            for record in batch:
                number += 1
                place = f"record {number}"
                try:
                    features = tf.train.Example.FromString(record).features.feature
                except message.DecodeError:
                    yield Problem("has a record that is no tf.train.Example", place)
                    yield whole(record, place)
                    continue
                if set(features) - set(FEATURES):
                    yield Problem("has records with a feature that does not belong there", place)
                for problem in _check_image(features):
                    yield Problem(problem, place)
                    for value in features[_PIXELS].bytes_list.value:
                        yield from _of_image(value, f"{place}, image, ")
                for name, text in _texts(features):
                    texts.append(text)
                    places.append(f"{place}, feature {name!r}")
            yield _joined(texts, places)
    except tf.errors.OpError as error:
        yield Problem(f"cannot be read ({type(error).__name__})", f"after record {number}")


def _of_image(data: bytes, inside: str) -> Iterator[Part | Problem]:
    if data.startswith(_PNG):
        yield from _of_png(data, inside)
    else:
        yield whole(data, inside + "raw bytes")


def _joined(texts: list[bytes], places: list[str]) -> Part:
    starts = [0, *itertools.accumulate(len(text) + 1 for text in texts)]
    data = b"\n".join(texts)
    return Part(
        data, lambda offset: places[bisect.bisect_right(starts, offset) - 1], 0, len(data), True
    )


def _texts(features) -> Iterator[tuple[str, bytes]]:
    for name, feature in features.items():
        if name not in FEATURES:
            yield name, name.encode()
            for value in (*feature.int64_list.value, *feature.float_list.value):
                yield name, str(value).encode()
        if name != _PIXELS:
            for value in feature.bytes_list.value:
                yield name, value


def _check_image(features) -> Iterator[str]:
    """What is wrong with a record's image, once at most."""
    shape = tuple(features["shape"].int64_list.value)
    pixels = features[_PIXELS].bytes_list.value
    if len(pixels) != 1 or len(shape) != 3:
        yield "has records without exactly one image and its shape"
    elif pixels[0].startswith(_PNG):
        strangers = [kind for kind, _, _ in png_chunks(pixels[0]) if kind not in PIXEL_CHUNKS]
        if strangers:
            what = f"a PNG chunk {strangers[0]}" if strangers[0] else "bytes after the PNG"
            yield f"has images with {what}; only {', '.join(PIXEL_CHUNKS)} may be there"
    elif len(pixels[0]) != shape[0] * shape[1] * shape[2]:
        yield "has images that are neither a PNG nor as many bytes as pixels"


def walk(root: pathlib.Path, exclude: Iterable[pathlib.Path] = ()) -> Iterator[pathlib.Path]:
    """Yields the files of a folder and of those that it links to, each folder once.

    Args:
      root: a folder, or a file, which is then all.
      exclude: resolved paths to pass over.
    """
    if not root.is_dir():
        yield root
        return
    seen = set(exclude)
    for folder, folders, files in os.walk(root, followlinks=True):
        seen.add(pathlib.Path(folder).resolve())
        here = pathlib.Path(folder)
        folders[:] = sorted(name for name in folders if (here / name).resolve() not in seen)
        yield from (here / name for name in sorted(files) if (here / name).resolve() not in seen)
