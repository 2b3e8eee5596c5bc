"""How far a run has come, and which images and devices it goes on with."""

import dataclasses
import json
import os
import shutil

import numpy as np
import pytest
import tiny_records

from pgan import config, run_folder
from pgan.data import record_set, record_writer, splits

OTHER_IMAGES = run_folder.ConfigurationMismatchError


def test_a_run_has_come_as_far_as_its_newest_checkpoint(tmp_path):
    folder = run_folder.RunFolder(tmp_path)
    assert folder.share_trained() == 0
    settings = config.TrainConfig()
    settings = dataclasses.replace(
        settings, schedule=dataclasses.replace(settings.schedule, total_kimg=8)
    )
    text = {"format": run_folder.FORMAT, "config": settings.to_dict(), "records": {}}
    (tmp_path / "config.json").write_text(json.dumps(text))
    assert folder.share_trained() == 0
    folder.checkpoints.mkdir()
    for name in ("ckpt-2000.index", "ckpt-6000.index", "ckpt-6000.data-00000-of-00001"):
        (folder.checkpoints / name).touch()
    # The line of a tick is there before its checkpoint, and a kill may come between them.
    folder.append_stats({"images_shown": 8000})
    assert folder.share_trained() == 0.75
    (folder.checkpoints / "ckpt-8016.index").touch()
    assert folder.share_trained() == 1


def _settings(held_out_fold="val"):
    network = config.NetworkConfig(resolution=16, findings=tiny_records.FINDINGS)
    return config.TrainConfig(network=network, held_out_fold=held_out_fold)


def _open(path, records, settings, replicas=None):
    folder = run_folder.RunFolder(path)
    folder.open(settings, run_folder.describe_records(records, settings), replicas)
    return folder


def _negative(value):
    return np.full((16, 16), 255 - value, np.uint8)


def test_records_that_became_others_in_their_place_are_refused_with_a_way_on(tmp_path):
    """Same ids, labels, folds and sizes of all files; only the pixels are others."""
    place = tmp_path / "records"
    first = tiny_records.build(place)
    _open(tmp_path / "run", first, _settings())
    shutil.rmtree(place)
    images = tiny_records.radiographs(load=_negative)
    record_writer.write_record_set(place, tiny_records.plan(images), progress=False)
    second = record_set.RecordSet.open(place)
    assert second.fold_fingerprint("train") == first.fold_fingerprint("train")
    assert {name: facts["bytes"] for name, facts in second.manifest["shards"].items()} == (
        {name: facts["bytes"] for name, facts in first.manifest["shards"].items()}
    )
    before = (tmp_path / "run/config.json").read_text()
    with pytest.raises(OTHER_IMAGES, match="run on other images") as caught:
        _open(tmp_path / "run", second, _settings())
    then, now = first.fingerprint[:8], second.fingerprint[:8]
    assert (
        f"record set records: fingerprint {then} in the run folder, fingerprint {now} now"
        in str(caught.value)
    )
    assert "Continue it with the record set that it began with" in str(caught.value)
    assert "another --run_dir (--init_from" in str(caught.value)
    assert (tmp_path / "run/config.json").read_text() == before


def test_records_that_were_copied_touched_or_built_again_are_the_same(tmp_path):
    first = tiny_records.build(tmp_path / "records")
    _open(tmp_path / "run", first, _settings())
    shutil.copytree(first.path, tmp_path / "copy")
    for path in (tmp_path / "copy").rglob("*"):
        os.utime(path, (1e9, 1e9))
    _open(tmp_path / "run", record_set.RecordSet.open(tmp_path / "copy"), _settings())
    _open(tmp_path / "run", tiny_records.build(tmp_path / "again"), _settings())
    assert run_folder.RunFolder(tmp_path / "run").read()[1]["name"] == "again"


def test_a_held_out_fold_that_became_another_in_its_place_is_refused(tmp_path):
    """Folds of later splits are no part of the record set's fingerprint."""
    records, settings = tiny_records.build(tmp_path / "records"), _settings("unseen/b")

    def store(*ids):
        splits.store(records, "unseen", splits.Split({"b": list(ids)}, {"ids": ids}))

    store("image000", "image001")
    _open(tmp_path / "run", records, settings)
    shutil.rmtree(records.path / "splits/unseen")
    store("image003", "image004")
    with pytest.raises(OTHER_IMAGES, match="held-out fold: fingerprint") as caught:
        _open(tmp_path / "run", records, settings)
    assert "tools/split_records.py make again" in str(caught.value)
    # A run of a version that did not note the fold goes on.
    path = tmp_path / "run/config.json"
    content = json.loads(path.read_text())
    del content["records"]["held_out_fold_fingerprint"]
    path.write_text(json.dumps(content))
    assert _open(tmp_path / "run", records, settings).read()[0] == settings


def test_the_number_of_devices_is_noted(tmp_path):
    records = tiny_records.build(tmp_path / "records")
    folder = run_folder.RunFolder(tmp_path / "run")
    assert folder.replicas is None
    _open(tmp_path / "run", records, _settings())
    assert folder.replicas is None
    for number in (2, 1):
        _open(tmp_path / "run", records, _settings(), number)
        assert folder.replicas == number
