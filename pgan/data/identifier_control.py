"""Proves that a scan finds what it looks for: made-up ids, planted in files of each kind."""

import gzip
import io
import json
import pathlib
import secrets
import tempfile
from collections.abc import Callable

import numpy as np
from PIL import Image, PngImagePlugin

from pgan.data import identifier_index, identifier_scan, identifiers

_PLANTED = "planted id"


def _example(folder: pathlib.Path, **features: bytes) -> None:
    import tensorflow as tf

    content = {"image": b"\0", "record_id": b"0123456789abcdef", "patient_id": b"", **features}
    feature = {
        name: tf.train.Feature(bytes_list=tf.train.BytesList(value=[value]))
        for name, value in content.items()
    }
    feature["shape"] = tf.train.Feature(int64_list=tf.train.Int64List(value=[1, 1, 1]))
    example = tf.train.Example(features=tf.train.Features(feature=feature))
    with tf.io.TFRecordWriter(str(folder / "a.tfrecord")) as writer:
        writer.write(example.SerializeToString())


def _png(text: str, compressed: bool = False) -> bytes:
    info = PngImagePlugin.PngInfo()
    info.add_text("Comment", text, zip=compressed)
    stream = io.BytesIO()
    Image.fromarray(np.zeros((1, 1), np.uint8)).save(stream, "PNG", pnginfo=info)
    return stream.getvalue()


def _event_file(folder: pathlib.Path, text: str) -> None:
    import tensorflow as tf

    with tf.summary.create_file_writer(str(folder)).as_default():
        tf.summary.text("note", text, step=0)


def _saved_model(folder: pathlib.Path, text: str) -> None:
    from tensorflow.core.protobuf import saved_model_pb2

    model = saved_model_pb2.SavedModel()
    model.meta_graphs.add().graph_def.node.add(name="a", op="Const", device=text)
    (folder / "saved_model.pb").write_bytes(model.SerializeToString())


def _jpeg(folder: pathlib.Path, text: str) -> None:
    Image.fromarray(np.zeros((8, 8), np.uint8)).save(folder / "a.jpg", comment=text.encode())


# {kind of file: writes one with a text in it}
CONTAINERS: dict[str, Callable[[pathlib.Path, str], object]] = {
    "shard, text": lambda folder, text: _example(folder, patient_id=text.encode()),
    "shard, unknown feature": lambda folder, text: _example(folder, note=text.encode()),
    "shard, PNG text": lambda folder, text: _example(folder, image=_png(text)),
    "JSON": lambda folder, text: (folder / "a.json").write_text(json.dumps({"a": text})),
    "event file": _event_file,
    "SavedModel": _saved_model,
    "PNG text": lambda folder, text: (folder / "a.png").write_bytes(_png(text)),
    "PNG packed text": lambda folder, text: (folder / "a.png").write_bytes(_png(text, True)),
    "JPEG comment": _jpeg,
    "gzip": lambda folder, text: (folder / "a.gz").write_bytes(gzip.compress(text.encode())),
    "npz": lambda folder, text: np.savez_compressed(folder / "a.npz", a=np.array([text])),
    "UTF-16 text": lambda folder, text: (folder / "a.txt").write_text(text, encoding="utf-16"),
    "file name": lambda folder, text: (folder / text).write_bytes(b""),
}


def plant(found: identifiers.Identifiers) -> dict[str, str]:
    """Makes up an identifier for each kind of file and adds them to those to search for.

    Returns:
      {kind of file: identifier}.
    """
    planted = {container: f"Q{secrets.token_hex(5)}_042" for container in CONTAINERS}
    for identifier in planted.values():
        found.add_id(identifier, _PLANTED)
    return planted


def missed(index: identifier_index.Index, planted: dict[str, str]) -> list[str]:
    """The kinds of files in which the scan does not find what was planted there.

    Args:
      index: of identifiers with the planted ones among them.
      planted: from `plant`.
    """
    result = []
    for container, identifier in planted.items():
        with tempfile.TemporaryDirectory() as folder:
            CONTAINERS[container](pathlib.Path(folder), identifier)
            found = identifier_scan.scan([folder], index).found
        wanted = f"{_PLANTED} {identifier_index.mask(identifier.lower().encode())}"
        if [finding.what for finding in found] != [wanted]:
            result.append(container)
    return result


def missed_kinds(index: identifier_index.Index, found: identifiers.Identifiers) -> list[str]:
    """The kinds of identifiers of which one, put into a text, is not found there."""
    examples = {kind: identifier for identifier, kind in found.kinds.items()}
    return [
        kind
        for kind, identifier in examples.items()
        if not any(
            # A shorter one inside it may have the other's kind.
            begin <= 2 + len(identifier) and end >= 2
            for begin, end, _ in index.search(b'{"' + identifier + b'"}')
        )
    ]
