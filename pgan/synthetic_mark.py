"""How an image file says that it is synthetic: text chunks of a PNG."""

import struct
import zlib
from collections.abc import Mapping

WARNING = "Synthetic image drawn by a generative model; not a radiograph. Not for diagnosis."

# Signature and IHDR chunk. Text chunks may stand anywhere between IHDR and IEND.
PNG_HEADER_BYTES = 33


def facts(name: str, version: int, fingerprint: str) -> dict[str, str]:
    """What every image of a generator carries.

    Args:
        name: Name of the export.
        version: Its version.
        fingerprint: Hex SHA-256 of the generator, `fingerprint` of its model card.
    """
    return {
        "Warning": WARNING,
        "synthetic": "true",
        "generator": f"{name}/{version}",
        "generator_fingerprint": fingerprint,
    }


def png_chunks(texts: Mapping[str, str]) -> bytes:
    """Encodes texts as tEXt chunks (PNG specification, ISO/IEC 15948, section 11.3.4.3).

    Args:
        texts: Keyword, at most 79 characters, to text; Latin-1.
    """
    chunks = []
    for keyword, text in texts.items():
        body = b"tEXt" + keyword.encode("latin-1") + b"\0" + text.encode("latin-1")
        checksum = struct.pack(">I", zlib.crc32(body))
        chunks.append(struct.pack(">I", len(body) - 4) + body + checksum)
    return b"".join(chunks)


def mark(png: bytes, texts: Mapping[str, str]) -> bytes:
    """Adds texts to an encoded PNG."""
    return png[:PNG_HEADER_BYTES] + png_chunks(texts) + png[PNG_HEADER_BYTES:]
