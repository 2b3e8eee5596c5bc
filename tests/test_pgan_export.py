"""Exports: layout, contents, refusals, and the check in a fresh process."""

import hashlib
import json
import pathlib

import numpy as np
import pytest
import tensorflow as tf
import tiny_runs
from google.protobuf import text_format
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from pgan import checkpoints, export, kernel_sharing, model_card, plots, serving_graph


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """Generator and state of a finished run."""
    run_dir = tiny_runs.make_run(tmp_path_factory.mktemp("run"))
    return checkpoints.load_generator(run_dir)


@pytest.fixture(scope="module")
def exported(finished, tmp_path_factory):
    return export.write(*finished, tmp_path_factory.mktemp("exports"), "tiny", model_license="CC0")


@pytest.fixture
def unchecked(monkeypatch):
    """Leaves out the fresh process, which takes seconds, where it is not what is tested."""
    monkeypatch.setattr(export, "_check_in_fresh_process", lambda *arguments: 0.0)


def _signature(exported, name):
    model = tf.saved_model.load(str(exported.path))
    signature = model.signatures[name]

    def run(**inputs):
        assert model is not None  # Signatures do not keep the model's variables alive.
        return signature(**{key: tf.constant(value) for key, value in inputs.items()})

    return run


def _inputs(count, network, seed=3):
    generator = np.random.default_rng(seed)
    latents = generator.standard_normal((count, network.latent_size)).astype(np.float32)
    return latents, generator.uniform(size=(count, network.num_labels)).astype(np.float32)


def test_layout_is_that_of_tensorflow_serving(exported):
    assert exported.path.name == "1" and exported.path.parent.name == "tiny"
    files = {str(p.relative_to(exported.path)) for p in exported.path.rglob("*") if p.is_file()}
    assert files >= {
        "saved_model.pb",
        "variables/variables.index",
        "assets/findings.txt",
        "assets/model_card.json",
        "assets.extra/tf_serving_warmup_requests",
    }
    assert [p.name for p in exported.path.parent.iterdir()] == ["1"]


def test_only_variables_of_the_final_stage_are_saved(exported, finished):
    generator, info = finished
    saved = tf.train.list_variables(str(exported.path / "variables" / "variables"))
    shapes = sorted(shape for name, shape in saved if name.startswith("weights"))
    wanted = generator.active_variables(info.level, fading=False)
    # Kernels of layers that resample are saved as they are used, folded: 4x4 instead of 3x3.
    used = kernel_sharing.SharedKernels(generator, info.level, fading=False).sources
    assert shapes == sorted(source.shape.as_list() for source in used)
    assert [4, 4, 8, 8] in shapes
    assert len(wanted) < len(generator.trainable_variables)
    assert exported.card["parameters"] == sum(int(np.prod(v.shape)) for v in wanted)


def test_an_export_that_computes_in_bfloat16(tmp_path):
    generator, info = checkpoints.load_generator(
        tiny_runs.make_run(tmp_path / "run"), precision="mixed_bfloat16"
    )
    result = export.write(generator, info, tmp_path / "exports", "half")
    assert result.card["precision"] == "mixed_bfloat16"
    assert result.deviation <= result.tolerance == export.TOLERANCES["mixed_bfloat16"]
    latents, labels = _inputs(3, info.network)
    drawn = _signature(result, "float_images")(latents=latents, labels=labels)["images"]
    exact = checkpoints.load_generator(str(tmp_path / "run"))[0](latents, labels, info.level)
    assert 0 < float(tf.reduce_max(tf.abs(drawn - exact))) < 0.1


@pytest.mark.parametrize("name", ["serving_default", "float_images"])
def test_signatures_by_latent_draw_what_the_averaged_generator_draws(exported, finished, name):
    generator, info = finished
    latents, labels = _inputs(5, info.network)
    images = _signature(exported, name)(latents=latents, labels=labels)["images"].numpy()
    live = generator(latents, labels).numpy()
    assert images.shape == (5, 8, 8, 1)
    if name == "float_images":
        np.testing.assert_allclose(images, live, atol=1e-5)
    else:
        assert images.dtype == np.uint8
        assert np.abs(images.astype(int) - plots.to_uint8(live)).max() <= 1
        assert images.std() > 5


def test_an_image_depends_on_its_seed_and_index_only(exported, finished):
    draw = _signature(exported, "from_seeds")
    labels = _inputs(19, finished[1].network)[1]
    seeds, indices = np.array([4] * 10 + [-5] * 9), np.array([*range(10), *range(9)])
    together = draw(seeds=seeds, indices=indices, labels=labels)["images"].numpy()
    for size in (1, 2, 7, 16, 18):
        parts = [
            draw(
                seeds=seeds[i : i + size],
                indices=indices[i : i + size],
                labels=labels[i : i + size],
            )["images"]
            for i in range(0, 19, size)
        ]
        np.testing.assert_array_equal(np.concatenate(parts), together)
    order = np.random.default_rng(0).permutation(19)
    shuffled = draw(seeds=seeds[order], indices=indices[order], labels=labels[order])["images"]
    np.testing.assert_array_equal(shuffled, together[order])
    same_labels = np.broadcast_to(labels[:1], labels.shape)
    distinct = draw(seeds=seeds, indices=indices, labels=same_labels)["images"].numpy()
    assert len(np.unique(distinct.reshape(19, -1), axis=0)) == 19


def test_latents_by_seed_are_standard_normal():
    indices = tf.range(400, dtype=tf.int64)
    latents = serving_graph.latents_of(tf.zeros_like(indices), indices, 50).numpy()
    assert abs(latents.mean()) < 0.03 and abs(latents.std() - 1) < 0.03
    assert abs(np.corrcoef(latents[:-1].ravel(), latents[1:].ravel())[0, 1]) < 0.03


def test_png_signature_gives_the_images_of_from_seeds_marked_as_synthetic(exported, finished):
    labels = _inputs(3, finished[1].network)[1]
    inputs = {"seeds": np.array([1, 1, 2]), "indices": np.array([0, 1, 0]), "labels": labels}
    files = _signature(exported, "png_from_seeds")(**inputs)["image_bytes"].numpy()
    images = _signature(exported, "from_seeds")(**inputs)["images"].numpy()
    for file, image in zip(files, images, strict=True):
        np.testing.assert_array_equal(tf.io.decode_png(file), image)
        assert b"tEXtsynthetic\0true" in file
        assert exported.card["fingerprint"].encode() in file


def test_warm_up_covers_every_signature(exported):
    path = exported.path / "assets.extra" / "tf_serving_warmup_requests"
    asked = []
    for record in tf.data.TFRecordDataset(str(path)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.name == "tiny"
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
        name = request.model_spec.signature_name
        for result in _signature(exported, name)(**inputs).values():
            assert len(result) == 1
        asked.append(name)
    assert asked == list(serving_graph.SIGNATURES)


def test_card_says_what_the_model_is_and_was_trained_on(exported):
    card = model_card.read(exported.path)
    assert card == json.loads(json.dumps(exported.card))
    assert card["findings"] == list(tiny_runs.FINDINGS)
    assert (exported.path / "assets" / "findings.txt").read_text() == (
        "Mass\nPleural Thickening\nHernia\n"
    )
    assert card["training_records"] == tiny_runs.RECORDS
    assert card["images_shown"] == 3000 and card["training_finished"]
    assert card["resolution"] == 8 and card["alpha"] is None
    assert card["license"] == "CC0"
    assert "nothing has been tested" in card["limits"][0]
    data = exported.path / "variables" / "variables.data-00000-of-00001"
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    assert card["files"]["variables/variables.data-00000-of-00001"] == digest


def test_fingerprint_is_of_weights_and_drawing(finished, exported, tmp_path, unchecked):
    generator, info = finished
    again = export.write(generator, info, tmp_path, "other", version=7)
    assert again.card["fingerprint"] == exported.card["fingerprint"]
    bias = generator.active_variables(info.level, fading=False)[-1]
    bias.assign_add(bias * 0 + 1)
    changed = export.write(generator, info, tmp_path, "other")
    bias.assign_add(bias * 0 - 1)
    assert changed.path.name == "8"
    assert changed.card["fingerprint"] != exported.card["fingerprint"]


def test_models_config_lists_every_model(finished, tmp_path, unchecked):
    for name in ("b", "a", "a"):
        export.write(*finished, tmp_path, name)
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((tmp_path / "models.config").read_text(), config)
    models = config.model_config_list.config
    assert [(m.name, m.base_path) for m in models] == [("a", "/models/a"), ("b", "/models/b")]


def test_an_existing_version_is_refused(finished, exported):
    before = (exported.path / "saved_model.pb").read_bytes()
    with pytest.raises(FileExistsError, match="--version=2"):
        export.write(*finished, exported.path.parent.parent, "tiny", version=1)
    assert (exported.path / "saved_model.pb").read_bytes() == before


@pytest.mark.parametrize("name", ["12", "a/b", ".hidden", ""])
def test_names_that_a_server_could_misread_are_refused(finished, tmp_path, name):
    with pytest.raises(ValueError, match="--name"):
        export.write(*finished, tmp_path, name)


@pytest.mark.parametrize("shown, size", [(500, 4), (1400, 8), (2500, 8)])
def test_an_unfinished_run_needs_permission(tmp_path, shown, size, unchecked):
    run_dir = tiny_runs.make_run(tmp_path / "run", images_shown=shown)
    generator, info = checkpoints.load_generator(run_dir)
    with pytest.raises(ValueError, match="--allow_unfinished"):
        export.write(generator, info, tmp_path / "exports", "tiny")
    result = export.write(generator, info, tmp_path / "exports", "tiny", allow_unfinished=True)
    assert not result.card["training_finished"]
    assert result.card["alpha"] == (pytest.approx(0.4) if shown == 1400 else None)
    latents, labels = _inputs(2, info.network)
    images = _signature(result, "float_images")(latents=latents, labels=labels)["images"]
    live = generator(latents, labels, level=info.level, alpha=info.alpha)
    assert images.shape == (2, size, size, 1)
    np.testing.assert_allclose(images, live, atol=1e-5)


def test_end_of_a_fade_is_exported_as_stable(tmp_path, unchecked):
    run_dir = tiny_runs.make_run(tmp_path / "run", images_shown=2000)
    result = export.write(
        *checkpoints.load_generator(run_dir), tmp_path / "exports", "a", allow_unfinished=True
    )
    assert result.card["alpha"] is None


def test_an_export_that_draws_something_else_is_not_kept(finished, tmp_path, monkeypatch):
    wrong = serving_graph.to_uint8
    monkeypatch.setattr(serving_graph, "to_uint8", lambda images: 255 - wrong(images))
    with pytest.raises(export.ExportError, match="grey levels"):
        export.write(*finished, tmp_path, "tiny")
    assert list(pathlib.Path(tmp_path, "tiny").iterdir()) == []


def test_an_export_that_cannot_be_loaded_is_not_kept(finished, tmp_path, monkeypatch):
    def forget_variables(folder, card):
        (folder / "variables" / "variables.index").unlink()

    monkeypatch.setattr(model_card, "write", forget_variables)
    with pytest.raises(export.ExportError, match="fresh process"):
        export.write(*finished, tmp_path, "tiny")
    assert list(pathlib.Path(tmp_path, "tiny").iterdir()) == []


def test_weights_that_are_not_finite_are_not_exported(tmp_path):
    generator, info = checkpoints.load_generator(tiny_runs.make_run(tmp_path / "run"))
    generator.to_rgb[-1].bias.assign([np.nan])
    with pytest.raises(export.ExportError, match="not finite"):
        export.write(generator, info, tmp_path / "exports", "tiny")


def test_tool_prints_where_the_export_is(run_tool, tmp_path, capsys, unchecked):
    run_dir = tiny_runs.make_run(tmp_path / "run")
    output = tmp_path / "exports"
    flags = (f"--run_dir={run_dir}", f"--output={output}", "--name=tiny")
    assert run_tool("export_generator", *flags) == 0
    printed = capsys.readouterr().out
    assert printed.endswith(f"export: {output}/tiny/1\n")
    assert "model_config_list" in printed
    card = json.loads((output / "tiny" / "1" / model_card.CARD).read_text())
    assert card["license"] == "not stated"
    assert run_tool("export_generator", *flags, "--version=1") == 1
    assert "--version=2" in capsys.readouterr().err
