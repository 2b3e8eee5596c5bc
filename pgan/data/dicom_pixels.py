"""Where the pixels of a DICOM file are, whether all of them are there, and what they hold."""

import os
import re
import struct
from typing import BinaryIO, NamedTuple

import numpy as np
from pydicom import encaps, uid
from pydicom.pixels.decoders import base

from pgan.data.dicom_header import number, text

# Anything larger is a slip or an attack: the largest plates have about 20 million pixels.
LARGEST_PIXELS = 100_000_000

# What `find` reads.
_NUMBERS = ("Rows", "Columns", "BitsAllocated", "BitsStored", "HighBit", "PixelRepresentation")
TAGS = (*_NUMBERS, "PhotometricInterpretation")

_PIXEL_DATA, _ITEM, _ITEMS_END = (0x7FE0, 0x0010), (0xFFFE, 0xE000), (0xFFFE, 0xE0DD)
_UNDEFINED = 0xFFFFFFFF

_ALL_FAILED = "Unable to decode as exceptions were raised by all available plugins: "

# Formats with an end mark whose decoder makes up what is missing before it.
_JPEG = (*uid.JPEGTransferSyntaxes, *uid.JPEGLSTransferSyntaxes)
_JPEG_END = b"\xff\xd9"
# Second bytes of the markers that start the description of a frame, lossless and JPEG-LS too.
_FRAME_MARKERS = {*range(0xC0, 0xD0), 0xF7} - {0xC4, 0xC8, 0xCC}


class Layout(NamedTuple):
    """How the pixels lie in a file.

    Attributes:
      decoder: pydicom's, of the transfer syntax.
      options: what it has to know of the header, by the names of its arguments.
      start, length: of the bytes to decode.
    """

    decoder: base.Decoder
    options: dict
    start: int
    length: int


def find(file: BinaryIO, dataset, syntax: str) -> Layout:
    """Checks all that can be known of the pixels before they are read.

    Args:
      file: stands where the element of the pixels starts.
      dataset: pydicom's, with at least those of TAGS that the file has.
      syntax: the transfer syntax.

    Raises:
      ValueError: the header makes no sense, its image is too large, there is no decoder for it, or
        pixels are missing. Messages are predicates.
    """
    options = _check_numbers(dataset)
    decoder = _find_decoder(syntax)
    expected = options["rows"] * options["columns"] * options["bits_allocated"] // 8
    options["pixel_vr"], start, length = _find_bytes(file, dataset, decoder, expected)
    return Layout(decoder, options, start, length)


def decode(layout: Layout, data: bytes) -> np.ndarray:
    """The words of the image as the file holds them.

    Args:
      layout: of the file.
      data: the bytes that it points to.

    Returns:
      uint8 or uint16 [H, W]. Bits above those stored may be anything.

    Raises:
      ValueError: the bytes cannot be decoded, or do not fit the header.
    """
    decoder, options = layout.decoder, layout.options
    try:
        if decoder.UID in _JPEG or decoder.UID in uid.JPEG2000TransferSyntaxes:
            _check_coded_size(encaps.get_frame(data, 0, number_of_frames=1), decoder, options)
        words, _ = decoder.as_array(
            data, index=0, raw=True, view_only=True, correct_unused_bits=False, **options
        )
    except Exception as error:  # decoders raise what they like
        reason = " ".join(str(error).split()).removeprefix(_ALL_FAILED)
        raise ValueError(f"has pixels that cannot be decoded ({reason}); fetch it again.") from None
    # Images of the JPEG family know their own number of bits. RLE does not, and may have anything
    # in the bits above those stored, as uncompressed pixels may.
    if decoder.is_encapsulated and decoder.UID != uid.RLELossless:
        bits, low, high = options["bits_stored"], words.min(), words.max()
        if low < -(2 ** (bits - 1)) or high >= 2**bits:
            raise ValueError(
                f"has compressed values from {low} to {high}, too large for the {bits} bits of its "
                f"header; fetch it again."
            )
    native = words.astype(words.dtype.newbyteorder("="), copy=False)
    return native.view(f"u{native.dtype.itemsize}")


def _check_numbers(dataset) -> dict:
    values = [number(dataset, tag) for tag in _NUMBERS]
    for tag, value in zip(_NUMBERS, values, strict=True):
        if value is None or value != int(value):
            raise ValueError(f"holds no image: its header has no {tag}; leave it out.")
    rows, columns, allocated, stored, high, representation = map(int, values)
    if rows * columns > LARGEST_PIXELS:
        raise ValueError(
            f"has {columns}x{rows} px by its header, more than {LARGEST_PIXELS:,} in all; look "
            f"where it comes from."
        )
    if rows < 1 or columns < 1:
        raise ValueError(f"has {columns}x{rows} px by its header; fetch it again.")
    photometric = text(dataset, "PhotometricInterpretation")
    if photometric not in ("MONOCHROME1", "MONOCHROME2"):
        raise ValueError(
            f"has the Photometric Interpretation {photometric[:16]!r}; expected MONOCHROME1 or "
            f"MONOCHROME2."
        )
    if allocated not in (8, 16) or not 2 <= stored <= allocated or high != stored - 1:
        raise ValueError(
            f"has {stored} of {allocated} bits stored, the highest being bit {high}; expected 2 to "
            f"16 of 8 or 16, and the highest one less than those stored."
        )
    if representation not in (0, 1):
        raise ValueError(f"has the Pixel Representation {representation}; expected 0 or 1.")
    return {
        "rows": rows,
        "columns": columns,
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "photometric_interpretation": photometric,
        "bits_allocated": allocated,
        "bits_stored": stored,
        "pixel_representation": representation,
        "pixel_keyword": "PixelData",
    }


def _find_decoder(syntax: str) -> base.Decoder:
    try:
        decoder = base.get_decoder(syntax)
    except NotImplementedError:
        raise ValueError(
            f"is encoded as {uid.UID(syntax).name}, for which pydicom has no decoder; convert it, "
            f"for instance with `gdcmconv --raw` of GDCM."
        ) from None
    if decoder.is_available:
        return decoder
    # One line for each plugin that could do it, such as "pylibjpeg - requires pylibjpeg>=2.0 and
    # pylibjpeg-libjpeg>=2.1".
    lines = decoder.missing_dependencies
    line = next((line for line in lines if line.startswith("pylibjpeg ")), " ".join(lines))
    raise ValueError(
        f"is encoded as {decoder.UID.name}, for which no decoder is installed; run: pip install "
        + " ".join(re.findall(r"([\w-]+)>=", line))
    )


def _find_bytes(file: BinaryIO, dataset, decoder, expected: int) -> tuple[str, int, int]:
    """VR, first byte and number of bytes to decode; `expected` are those of a plain image."""
    implicit, little = dataset.original_encoding
    order = "<" if little else ">"
    head = file.read(8 if implicit else 12)
    if len(head) < (8 if implicit else 12):
        raise ValueError("has no pixels: it ends, or is cut off, before them; fetch it again.")
    if struct.unpack(f"{order}HH", head[:4]) != _PIXEL_DATA:
        raise ValueError("has pixels that are no integers; leave it out.")
    vr = "OW" if implicit else head[4:6].decode("latin-1")
    length = struct.unpack(f"{order}I", head[-4:])[0]
    start, size = file.tell(), os.fstat(file.fileno()).st_size
    if decoder.is_encapsulated:
        if length != _UNDEFINED:
            raise ValueError("has compressed pixels that are not in pieces; fetch it again.")
        return vr, start, _end_of_pieces(file, size, decoder.UID in _JPEG) - start
    if length == _UNDEFINED or not expected <= length < 2 * expected + 2:
        found = "an unknown number of" if length == _UNDEFINED else length
        raise ValueError(f"has {found} bytes of pixels where its size needs {expected}.")
    if start + expected > size:
        raise ValueError(
            f"is cut off: {size - start} of {expected} bytes of pixels are there; fetch it again."
        )
    return vr, start, min(length, expected + expected % 2)


def _end_of_pieces(file: BinaryIO, size: int, is_jpeg: bool) -> int:
    """Where compressed pixels end: a table of offsets, the pieces of the image, an end mark."""
    items, tail = 0, b""
    while True:
        head = file.read(8)
        if len(head) < 8:
            raise ValueError("is cut off within its compressed pixels; fetch it again.")
        *tag, length = struct.unpack("<HHI", head)
        if tuple(tag) == _ITEMS_END:
            break
        if tuple(tag) != _ITEM or file.tell() + length > size:
            raise ValueError("is cut off or damaged within its compressed pixels; fetch it again.")
        file.seek(length - min(length, 16), os.SEEK_CUR)
        tail = (tail + file.read(min(length, 16)))[-16:]
        items += 1
    if items < 2:
        raise ValueError("has compressed pixels without an image; fetch it again.")
    if is_jpeg and not tail.rstrip(b"\0\xff").endswith(_JPEG_END):
        raise ValueError("has a JPEG image that is cut off; fetch it again.")
    return file.tell()


def _check_coded_size(frame: bytes, decoder: base.Decoder, options: dict) -> None:
    """Compares the size that a compressed image itself states, which decoders take memory for."""
    if decoder.UID in _JPEG:
        place = 2
        while frame[place + 1] not in _FRAME_MARKERS:
            is_fill = frame[place : place + 2] == b"\xff\xff"
            place += 1 if is_fill else 2 + int.from_bytes(frame[place + 2 : place + 4])
        height, width = struct.unpack(">HH", frame[place + 5 : place + 9])
    else:
        place = frame.index(b"\xff\x4f\xff\x51") + 8
        right, bottom, left, top = struct.unpack(">4I", frame[place : place + 16])
        width, height = right - left, bottom - top
    if (height, width) != (options["rows"], options["columns"]):
        raise ValueError(
            f"{width}x{height} px by the image itself, but {options['columns']}x{options['rows']} "
            f"px by the header"
        )
