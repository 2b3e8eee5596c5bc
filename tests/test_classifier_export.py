"""Exports of classifiers: what they return, refuse and say; DenseNet-121 of 32 px, not trained."""

import hashlib
import json
import math

import numpy as np
import pytest
import tensorflow as tf
import tiny_exports
import tiny_runs
from tensorflow_serving.apis import prediction_log_pb2
from tiny_classifiers import tiny_backbone  # noqa: F401

from classifier import export, export_card, image_graph, image_table, model, serving_graph, training
from federated import example_screening
from pgan import export_folder, model_card, synthesis
from pgan.data import folder as clinic
from pgan.data import pyramid, record_plan, record_set, record_writer
from pgan.metrics import extractors

_FINDINGS = tiny_exports.FINDINGS


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    return training.load(tiny_exports.save_classifier(tmp_path_factory.mktemp("run") / "real"))


@pytest.fixture(scope="module")
def exported(trained, tmp_path_factory):
    output = tmp_path_factory.mktemp("exports")
    return export.write(trained, output, "chest", model_license="CC0")


@pytest.fixture(scope="module")
def served(exported):
    """The SavedModel as a server has it."""
    return export.load(exported.path)[0]


@pytest.fixture
def tiny(tiny_backbone, tmp_path):  # noqa: F811
    """A classifier with a small network."""
    return training.load(tiny_exports.save_classifier(tmp_path / "run"))


@pytest.fixture
def unchecked(monkeypatch):
    """Leaves out the fresh process, which takes seconds, where it is not what is tested."""
    monkeypatch.setattr(export, "_check_in_fresh_process", lambda *arguments: 0.0)


def _ask(served, signature, values):
    name = serving_graph.SIGNATURES[signature]
    found = served.signatures[signature](**{name: tf.constant(values)})
    return {key: value.numpy() for key, value in found.items()}


def _table(files, folder, resolution):
    """Image files by way of a record set."""
    root = folder / "clinic"
    root.mkdir()
    table = ["file,patient,findings"]
    for number, (name, content) in enumerate(files.items()):
        (root / name).write_bytes(content)
        table.append(f"{name},P{number},Effusion")
    (root / "labels.csv").write_text("\n".join(table) + "\n")
    plan = record_plan.make_plan(
        clinic.read(root, _FINDINGS), _FINDINGS, 64, source="clinic", origin="phantom"
    )
    record_writer.write_record_set(folder / "records", plan, progress=False)
    records = record_set.RecordSet.open(folder / "records")
    return image_table.of_fold(records, "all", resolution)


def test_files_get_the_probabilities_that_they_get_by_way_of_a_record_set(
    trained, served, tmp_path
):
    files = tiny_exports.image_files()
    images = _table(files, tmp_path, 32)
    wanted = training.predict(trained.classifier, images)
    found = _ask(served, "serving_default", [files[name] for name in images.image_ids])
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-4)
    assert wanted.std(axis=0).min() > 0.01  # They could have been told apart.


@pytest.mark.usefixtures("tiny_backbone")
def test_sizes_between_levels_are_scaled_as_in_the_training(tmp_path):
    """A training at 40 px reads 64 px of its record set."""
    run = tiny_exports.save_classifier(tmp_path / "run", resolution=40)
    classifier = training.load(run).classifier
    result = export.write(training.load(run), tmp_path / "exports", "between")
    assert result.deviation <= 1e-4
    served = export.load(result.path)[0]
    files = tiny_exports.image_files()
    images = _table(files, tmp_path, 40)
    wanted = training.predict(classifier, images)
    found = _ask(served, "serving_default", [files[name] for name in images.image_ids])
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-3)
    assert wanted.std(axis=0).min() > 0.01
    # Prepared images of the level go the same way as a training's.
    level = tiny_exports.chests(2, 64)
    features = _ask(served, "features", level)["features"]
    small = pyramid.scale_down(level[..., 0], 40)[..., np.newaxis]
    own = classifier.features(tf.constant(small)).numpy()
    np.testing.assert_allclose(features, own, atol=1e-4 * np.abs(own).max())


def test_prepared_images_get_the_probabilities_of_the_classifier(trained, served):
    images = tiny_exports.chests(5)
    found = _ask(served, "images", images)
    wanted = model.probabilities(trained.classifier, images)
    np.testing.assert_allclose(found["probabilities"], wanted, atol=1e-5)
    assert wanted.std(axis=0).min() > 0.05
    assert {name: (value.shape, value.dtype) for name, value in found.items()} == {
        "probabilities": ((5, 3), np.float32),
        "decisions": ((5, 3), np.uint8),
        "findings": ((5, 3), object),
        "thresholds": ((5, 3), np.float32),
    }
    decided = wanted[:, :2] >= trained.thresholds[:2]
    assert 0 < decided.sum() < decided.size
    np.testing.assert_array_equal(found["decisions"][:, :2], decided)
    # No threshold, no decision, and nothing that JSON cannot say.
    assert (found["decisions"][:, 2] == serving_graph.NO_DECISION).all()
    assert (found["thresholds"][:, 2] == serving_graph.NO_THRESHOLD).all()
    assert found["findings"].tolist() == [[name.encode() for name in _FINDINGS]] * 5


def test_thresholds_decide_on_scores_as_in_double_precision():
    scores = np.float32([0.3, np.nextafter(np.float32(0.3), np.float32(1))])
    between = (float(scores[0]) + float(scores[1])) / 2
    exact = [float(scores[0]), between, np.nextafter(float(scores[1]), 1), math.nan]
    limits = serving_graph.single_precision(exact)
    assert limits.dtype == np.float32
    for limit, threshold in zip(limits, exact, strict=True):
        np.testing.assert_array_equal(scores >= limit, scores.astype(np.float64) >= threshold)
    assert limits[3] == serving_graph.NO_THRESHOLD


def test_images_of_another_size_or_type_are_refused_with_a_message(served):
    for shape in ((2, 16, 16, 1), (1, 32, 64, 1)):
        with pytest.raises(tf.errors.InvalidArgumentError, match=r"uint8 \[N, 32, 32, 1\], their"):
            _ask(served, "images", np.zeros(shape, np.uint8))
    with pytest.raises(tf.errors.InvalidArgumentError, match="square, of 32 px or more"):
        _ask(served, "features", np.zeros((1, 16, 16, 1), np.uint8))
    for signature in ("images", "features"):
        with pytest.raises(Exception, match="uint8"):
            _ask(served, signature, np.zeros((1, 32, 32, 1), np.float32))


def test_features_are_those_of_the_classifier_and_a_network_for_distances(
    trained, served, exported
):
    images = tiny_exports.chests(4, 64)
    small = image_graph.scale_down(tf.constant(images), 32)
    wanted = trained.classifier.features(small).numpy()
    assert wanted.shape == (4, model.FEATURES) and wanted.std() > 0
    found = _ask(served, "features", images)
    assert list(found) == ["features"]
    np.testing.assert_allclose(found["features"], wanted, atol=1e-4 * np.abs(wanted).max())
    extractor = extractors.make(f"saved_model:{exported.path}")
    assert extractor.dimension == model.FEATURES
    assert extractor.name.startswith("chest_1_")
    np.testing.assert_array_equal(extractor(images[..., 0]), found["features"])
    with pytest.raises(ValueError, match=r"refuses images of \[16, 16\] px: .*of 32 px or more"):
        extractor(np.zeros((1, 16, 16), np.uint8))
    assert extractor(np.zeros((0, 32, 32), np.uint8)).shape == (0, model.FEATURES)


def test_training_examples_can_be_screened_by_an_export(trained, exported):
    classify = example_screening.load(exported.path)
    images = tiny_exports.chests(3)
    probabilities, names = classify(images[..., 0])
    assert names == _FINDINGS
    wanted = model.probabilities(trained.classifier, images)
    np.testing.assert_allclose(probabilities, wanted, atol=1e-5)
    with pytest.raises(ValueError, match=r"takes no images of 16 px.*uint8 \[N, 32, 32, 1\]"):
        classify(np.zeros((1, 16, 16), np.uint8))


def test_layout_card_and_findings(trained, exported, tmp_path):
    files = {str(p.relative_to(exported.path)) for p in exported.path.rglob("*") if p.is_file()}
    assert files >= {"saved_model.pb", "variables/variables.index", "assets/findings.txt"}
    assert [p.name for p in exported.path.parent.iterdir()] == ["1"]
    assert 'base_path: "/models/chest"' in (exported.path.parents[1] / "models.config").read_text()
    card = model_card.read(exported.path, export_card.CLASSIFIER)
    assert card == json.loads(json.dumps(exported.card, allow_nan=False))
    assert card["thresholds"] == [0.4, 0.5, None]
    assert (card["resolution"], card["training_images"], card["license"]) == (32, 10, "CC0")
    assert card["preparation"] == tiny_exports.PREPARATION
    assert card["initial_weights"]["name"] == "random"
    assert card["training"]["composition"] == {"real: nih, positive": 10}
    assert card["validation_loss"] == 0.6
    assert "Research only" in card["intended_use"]
    limits = " ".join(card["limits"])
    assert "for Hernia there is none" in limits and "DICOM and TIFF are not read" in limits
    assert "Markers:" not in limits
    assert (exported.path / "assets/findings.txt").read_text() == "Effusion\nMass\nHernia\n"
    data = exported.path / "variables" / "variables.data-00000-of-00001"
    digest = hashlib.sha256(data.read_bytes()).hexdigest()
    assert card["files"]["variables/variables.data-00000-of-00001"] == digest
    # The weights once, and nothing of Keras.
    saved = tf.train.list_variables(str(exported.path / "variables" / "variables"))
    shapes = sorted(shape for name, shape in saved if name.startswith("weights/"))
    assert shapes == sorted(v.shape.as_list() for v in trained.classifier.variables)
    assert exported.deviation <= 1e-5 < exported.tolerance == 1e-4


def test_warm_up_covers_every_signature(exported, served):
    path = exported.path / "assets.extra" / "tf_serving_warmup_requests"
    asked = []
    for record in tf.data.TFRecordDataset(str(path)):
        request = prediction_log_pb2.PredictionLog.FromString(record.numpy()).predict_log.request
        assert request.model_spec.name == "chest"
        (value,) = (tf.make_ndarray(value) for value in request.inputs.values())
        name = request.model_spec.signature_name
        assert list(request.inputs) == [serving_graph.SIGNATURES[name]]
        for result in _ask(served, name, value).values():
            assert len(result) == 1
        asked.append(name)
    assert asked == list(serving_graph.SIGNATURES)


def test_neither_kind_of_export_is_taken_for_the_other(exported, tmp_path, run_tool, capsys):
    with pytest.raises(ValueError, match="'pgan classifier' version 1; expected 'pgan generator'"):
        synthesis.load(exported.path)
    flags = (f"--export={exported.path}", "--findings=Mass", f"--output={tmp_path / 'images'}")
    assert run_tool("synthesize_images", *flags) == 1
    assert "which tools/export_generator.py writes" in capsys.readouterr().err
    generator = tiny_runs.make_export(tmp_path)
    with pytest.raises(ValueError, match="'pgan generator' version 1; expected 'pgan classifier'"):
        export.load(generator)
    with pytest.raises(ValueError, match="no signature 'features', only"):
        extractors.make(f"saved_model:{generator}")
    with pytest.raises(FileNotFoundError, match="tools/export_classifier.py writes"):
        export.load(tmp_path)


@pytest.mark.parametrize("precision", ["mixed_bfloat16", "mixed_float16"])
def test_exports_compute_in_the_precision_of_the_training(tiny_backbone, tmp_path, precision):  # noqa: F811
    trained = training.load(tiny_exports.save_classifier(tmp_path / "run", precision=precision))
    result = export.write(trained, tmp_path / "exports", "half")
    assert result.card["precision"] == precision
    assert result.deviation <= result.tolerance == export.TOLERANCES[precision]


def test_an_export_that_prepares_files_in_another_way_is_not_kept(tiny, tmp_path, monkeypatch):
    right = image_graph._rounded
    monkeypatch.setattr(image_graph, "_rounded", lambda values: 255 - right(values))
    with pytest.raises(export_folder.ExportError, match="serving_default of the export differ"):
        export.write(tiny, tmp_path / "exports", "chest")
    assert list((tmp_path / "exports" / "chest").iterdir()) == []


def test_an_export_that_decides_otherwise_is_not_kept(tiny, tmp_path, monkeypatch):
    build = serving_graph.build
    monkeypatch.setattr(
        serving_graph, "build", lambda c, thresholds, *rest: build(c, thresholds + 0.2, *rest)
    )
    with pytest.raises(export_folder.ExportError, match="are not the classifier's"):
        export.write(tiny, tmp_path / "exports", "chest")


def test_weights_that_are_not_finite_are_not_exported(tiny, tmp_path):
    tiny.classifier.head.bias.assign([0.0, np.nan, 0.0])
    with pytest.raises(export_folder.ExportError, match="bias.* not finite"):
        export.write(tiny, tmp_path / "exports", "chest")


@pytest.mark.usefixtures("unchecked", "tiny_backbone")
def test_what_is_not_known_of_the_images_is_asked_for(tmp_path):
    unknown = training.load(tiny_exports.save_classifier(tmp_path / "old", preparation=None))
    with pytest.raises(ValueError, match="does not say how its images were made square; give --g"):
        export.write(unknown, tmp_path / "exports", "old")
    with pytest.raises(ValueError, match="must be of pad, crop, stretch, got 'square'"):
        export.write(unknown, tmp_path / "exports", "old", geometry="square")
    card = export.write(unknown, tmp_path / "exports", "old", geometry="crop").card
    assert card["preparation"] == {"geometry": "crop"}
    preparation = {"geometry": "pad", "mask_markers": True, "window": "voi_lut"}
    known = training.load(tiny_exports.save_classifier(tmp_path / "new", preparation=preparation))
    with pytest.raises(ValueError, match="were made with --geometry=pad, not stretch"):
        export.write(known, tmp_path / "exports", "new", geometry="stretch")
    limits = " ".join(export.write(known, tmp_path / "exports", "new").card["limits"])
    assert "--mask_markers" in limits and "--window=voi_lut" in limits


@pytest.mark.usefixtures("unchecked")
def test_versions_are_never_changed_and_fingerprints_are_of_what_is_answered(tiny, tmp_path):
    first, second = (export.write(tiny, tmp_path / "exports", "chest") for _ in range(2))
    assert [result.path.name for result in (first, second)] == ["1", "2"]
    assert first.card["fingerprint"] == second.card["fingerprint"]
    with pytest.raises(FileExistsError, match="--version=3"):
        export.write(tiny, tmp_path / "exports", "chest", version=2)
    with pytest.raises(ValueError, match="--name must begin with a letter"):
        export.write(tiny, tmp_path / "exports", "1")
    tiny.classifier.head.bias.assign_add([1.0, 0.0, 0.0])
    assert (
        export.write(tiny, tmp_path / "exports", "chest").card["fingerprint"]
        != (first.card["fingerprint"])
    )
