"""Some images of a record set by their place in a fold, without reading the others.

A TFRecord file is a row of frames: length of the content (uint64, little endian), its checksum
(4 bytes), the content, a checksum (4 bytes). The lengths lead from record to record without
reading what lies between them.
"""

import concurrent.futures
import io
import os
import struct
from collections.abc import Sequence

import numpy as np
from google.protobuf import message
from PIL import Image

from pgan.data import record_set

_BEFORE, _AFTER = 12, 4  # bytes of a frame before and after the content
_REBUILD = "tools/verify_records.py tells more; tools/build_records.py writes the file again"


class ImageReader:
    """Reads images of a fold, at one resolution, in any order.

    Where the records of a shard begin is looked up when the first of them is wanted, and kept.
    """

    def __init__(self, records: record_set.RecordSet, resolution: int, fold: str):
        """Looks up the fold.

        Args:
            records: The record set.
            resolution: Of the images in px.
            fold: Name of the fold.

        Raises:
            ValueError: If the set lacks resolution or fold.
        """
        self._paths = records.shard_paths(resolution)
        self._raw = records.encoding(resolution) == "raw"
        self._resolution = resolution
        self._fold = fold
        self._places = np.flatnonzero(records.fold_mask(fold))
        self._record_ids = records.record_ids(fold)
        self._edges = np.cumsum([0, *records.manifest["records_per_shard"]])
        self._starts: dict[int, np.ndarray] = {}

    def read(self, positions: Sequence[int]) -> np.ndarray:
        """Reads some images.

        Args:
            positions: Places in the fold, in record order, any number of times.

        Returns:
            uint8 [N, resolution, resolution], in the order of the positions.

        Raises:
            IndexError: If the fold has no such place.
            ValueError: If a shard is damaged; names it.
        """
        wanted, back = np.unique(np.asarray(positions, np.int64), return_inverse=True)
        if len(wanted) and not 0 <= wanted[0] <= wanted[-1] < len(self._places):
            raise IndexError(
                f"the fold {self._fold!r} has places 0 to {len(self._places) - 1}, "
                f"wanted are {wanted[0]} to {wanted[-1]}"
            )
        shards = np.searchsorted(self._edges, self._places[wanted], side="right") - 1
        images = np.empty((len(wanted), self._resolution, self._resolution), np.uint8)
        # Decoding PNG is most of the work, and lets go of the interpreter's lock.
        with concurrent.futures.ThreadPoolExecutor(len(os.sched_getaffinity(0))) as threads:
            for shard in np.unique(shards):
                of_shard = np.flatnonzero(shards == shard)
                with open(self._paths[shard], "rb") as file:
                    starts = self._find(shard, file)

                    def load(row, file=file, starts=starts, first=self._edges[shard]):
                        begin, end = starts[self._places[wanted[row]] - first :][:2]
                        content = os.pread(
                            file.fileno(), end - begin - _BEFORE - _AFTER, begin + _BEFORE
                        )
                        images[row] = self._decode(content, wanted[row], file.name)

                    list(threads.map(load, of_shard))
        return images[back]

    def _find(self, shard, file):
        """Where the records of a shard begin, and the end of the last: int64 [records + 1]."""
        if shard not in self._starts:
            size, starts = os.fstat(file.fileno()).st_size, [0]
            for _ in range(self._edges[shard + 1] - self._edges[shard]):
                head = os.pread(file.fileno(), 8, starts[-1])
                if len(head) < 8:
                    break
                starts.append(starts[-1] + struct.unpack("<Q", head)[0] + _BEFORE + _AFTER)
            whole = self._edges[shard + 1] - self._edges[shard] + 1
            if len(starts) != whole or starts[-1] != size:
                raise ValueError(f"the shard {file.name} is damaged. {_REBUILD}")
            self._starts[shard] = np.array(starts, np.int64)
        return self._starts[shard]

    def _decode(self, content, position, path):
        import tensorflow as tf  # seconds, for those only who read

        size = self._resolution
        try:
            feature = tf.train.Example.FromString(content).features.feature
            (record_id,) = feature["record_id"].bytes_list.value
            (image,) = feature["image"].bytes_list.value
            if record_id.decode() != self._record_ids[position]:
                raise ValueError("another record was expected there")
            if self._raw:
                return np.frombuffer(image, np.uint8).reshape(size, size)
            return np.asarray(Image.open(io.BytesIO(image), formats=["PNG"])).reshape(size, size)
        except (message.DecodeError, ValueError, OSError, SyntaxError) as error:
            raise ValueError(
                f"record {self._record_ids[position]} of the shard {path} is damaged ({error}). "
                f"{_REBUILD}"
            ) from error


def read_images(
    records: record_set.RecordSet, resolution: int, fold: str, positions: Sequence[int]
) -> np.ndarray:
    """Reads some images of a fold; an `ImageReader` is quicker for several calls.

    Args:
        records: The record set.
        resolution: Of the images in px.
        fold: Name of the fold.
        positions: Places in the fold, in record order, any number of times.

    Returns:
        uint8 [N, resolution, resolution], in the order of the positions.

    Raises:
        ValueError: If the set lacks resolution or fold, or a shard is damaged.
        IndexError: If the fold has no such place.
    """
    return ImageReader(records, resolution, fold).read(positions)
