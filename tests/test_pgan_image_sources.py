import numpy as np
import pytest
import tiny_runs

from pgan import checkpoints, image_sources, label_plan, synthesis, synthetic_sets


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    """Export of a run of 8 px; the run is beside it in `run`."""
    return tiny_runs.make_export(tmp_path_factory.mktemp("generator"))


def _png_set(export, folder, count=9):
    generator = synthesis.load(export)
    plan = label_plan.one_finding_each(generator.findings)
    order = synthetic_sets.Order(generator, plan, count, seed=4)
    synthetic_sets.write_file_set(order, folder, progress=False)
    return order


def test_a_run_an_export_and_its_files_are_the_same_images(export, tmp_path):
    order = _png_set(export, tmp_path / "png")
    sources = [
        image_sources.from_run(str(export.parents[2] / "run")),
        image_sources.from_export(str(export)),
        image_sources.from_folder(str(tmp_path / "png")),
    ]
    for source in sources:
        assert source.resolution == 8 and source.trained_on == "b" * 64, source.name
    drawn = [np.concatenate(list(source.draw(order.labels(), 4))) for source in sources]
    np.testing.assert_array_equal(drawn[0], drawn[1])
    np.testing.assert_array_equal(drawn[0], drawn[2])
    images = sources[2].images
    assert images.findings == tiny_runs.FINDINGS and sources[2].findings is None
    np.testing.assert_array_equal(images.labels, order.labels())


def test_an_unfinished_set_of_files_is_refused(export, tmp_path):
    _png_set(export, tmp_path / "png")
    (tmp_path / "png" / "labels.csv").unlink()
    with pytest.raises(ValueError, match="unfinished, it has no labels.csv; run the same command"):
        image_sources.from_folder(str(tmp_path / "png"))


def test_drawn_images_can_be_asked_for_by_number(export, tmp_path):
    source = image_sources.from_export(str(export))
    labels = np.eye(3, dtype=np.float32)[np.arange(40) % 3]
    images = image_sources.materialize(source, labels, 7, tmp_path, show_progress=False)
    wanted = np.concatenate(list(source.draw(labels, 7)))
    assert (images.count, images.findings, images.patients) == (40, tiny_runs.FINDINGS, None)
    np.testing.assert_array_equal(images.fetch(np.array([0, 13, 39])), wanted[[0, 13, 39]])
    np.testing.assert_array_equal(images.labels, labels)


def test_weights_that_are_not_finite_are_named(tmp_path, monkeypatch):
    run_dir = tiny_runs.make_run(tmp_path / "broken")
    load = checkpoints.load_generator

    def broken(*arguments):
        generator, info = load(*arguments)
        generator.to_rgb[1].trainable_variables[0].assign_add(
            np.nan * generator.to_rgb[1].trainable_variables[0]
        )
        return generator, info

    monkeypatch.setattr(checkpoints, "load_generator", broken)
    with pytest.raises(ValueError, match="of broken at 3,000 images are not finite"):
        image_sources.from_run(run_dir)


def test_images_without_content_are_refused(tmp_path):
    def draw(labels, seed):
        yield np.random.default_rng(seed).integers(0, 256, (5, 16, 16), np.uint8)
        yield np.full((2, 16, 16), 128, np.uint8)

    source = image_sources.Synthetic("gan", 16, draw, {}, findings=("Mass",))
    with pytest.raises(ValueError, match=r"gan has images of one grey level throughout \(2 of 2"):
        image_sources.materialize(source, np.zeros((7, 1)), 0, tmp_path, show_progress=False)
