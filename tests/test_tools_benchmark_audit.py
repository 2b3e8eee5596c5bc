"""tools/benchmark_audit.py: every measurement on a small collection, once."""

import numpy as np
import pytest
from PIL import Image

from pgan import results
from pgan.search import benchmark

SMALL = (
    "--size=32",
    "--references=60",
    "--queries=6",
    "--scale_references=150",
    "--scale_queries=16",
    "--scale_truth=3",
    "--skimage_images=8",
    "--repeats=1",
    "--workers=1",
)


@pytest.fixture
def measure(run_tool, tmp_path):
    def run(*arguments):
        output = tmp_path / "audit.jsonl"
        flags = (f"--cache={tmp_path / 'cache'}", f"--output={output}", *SMALL, *arguments)
        status = run_tool("benchmark_audit", *flags)
        return status, results.read(output)

    return run


def test_all_measurements_are_made_once(measure, capsys):
    status, rows = measure()
    assert status == 0
    found = {row["measured"]: row for row in rows}
    assert list(found) == ["recall", "index", "search", "recall at scale", "skimage"]
    # With so few images all of them pass the first sieve.
    assert found["recall"]["recall"] == found["recall at scale"]["recall"] == 1.0
    assert found["recall"]["recall_by_kind"].keys() == {"plain", "blurred", "mean of two"}
    assert found["skimage"]["largest_difference"] < 1e-6
    assert found["skimage"]["pairs"] == 2 * 6
    search, index = found["search"], found["index"]
    seconds = index["seconds"] + 100_000 / 16 * search["seconds"]
    assert search["to_hours"] == pytest.approx(seconds / 3600)
    assert "**skimage**" in capsys.readouterr().out
    assert measure()[1] == rows  # nothing is measured again


def test_radiographs_of_a_folder(measure, tmp_path, capsys):
    rng = np.random.default_rng(0)
    folder = tmp_path / "images"
    folder.mkdir()
    for number in range(20):
        image = rng.integers(0, 256, (32, 32), np.uint8)
        Image.fromarray(image).save(folder / f"{number}.png")
    _, rows = measure("--what=radiographs", f"--images={folder}")
    assert [(row["measured"], row["references"]) for row in rows] == [("radiographs", 8)]
    status, _ = measure("--what=radiographs", f"--images={folder}", "--queries=9")
    assert status == 1 and "has 20 images; need 27" in capsys.readouterr().err
    status, _ = measure("--what=radiographs")
    assert status == 1 and "needs --images" in "".join(capsys.readouterr())
    status, _ = measure("--what=speed")
    assert status == 1 and "got 'speed'" in "".join(capsys.readouterr())


def test_altered_copies_fill_a_collection(tmp_path):
    images = np.stack([np.full((32, 32), grey, np.uint8) for grey in (50, 200)])
    many = benchmark.multiply(images, 7, tmp_path)
    np.testing.assert_array_equal(many[:2], images)
    assert many.shape == (7, 32, 32)
    means = many.mean(axis=(1, 2))
    assert (means[[2, 4, 6]] < 100).all() and (means[[3, 5]] > 150).all()
    assert len(set(means.tolist())) == 7
    np.testing.assert_array_equal(benchmark.multiply(images, 7, tmp_path), many)
