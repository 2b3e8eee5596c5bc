"""How far a run has come."""

import dataclasses
import json

from pgan import config, run_folder


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
