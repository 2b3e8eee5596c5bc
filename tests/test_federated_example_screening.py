"""Disagreements by hand, a classifier as a SavedModel, the list and what it keeps out."""

import numpy as np
import pytest
import tensorflow as tf
import tiny_federations
import tiny_records

from federated import clients, example_screening


def test_disagreements_by_hand():
    labels = np.array([[1.0, 0.0], [1.0, 0.0], [np.nan, 0.5], [0.9, 0.1]])
    probabilities = np.array([[0.05, 0.95], [0.2, 0.8], [0.0, 1.0], [0.01, 0.5]])
    np.testing.assert_array_equal(
        example_screening.disagreements(probabilities, labels, 0.9),
        [[True, True], [False, False], [False, False], [True, False]],
    )
    with pytest.raises(ValueError, match="confidence must be in"):
        example_screening.disagreements(probabilities, labels, 0.5)
    with pytest.raises(ValueError, match="shape"):
        example_screening.disagreements(probabilities[:, :1], labels, 0.9)


def _save(folder, findings=("Hernia", "Other"), signature="images"):
    """A classifier of images whose grey level is i: Hernia from 30 on, surely; Other never."""

    class Model(tf.Module):
        def __init__(self):
            super().__init__()
            self.limit = tf.Variable(30.0)

        @tf.function(input_signature=[tf.TensorSpec([None, 16, 16, 1], tf.uint8, "images")])
        def judge(self, images):
            grey = tf.reduce_mean(tf.cast(images, tf.float32), [1, 2, 3])
            sure = tf.cast(grey >= self.limit, tf.float32)
            outputs = {"probabilities": tf.stack([sure, 0.0 * sure], axis=1)}
            if findings:
                outputs["findings"] = tf.tile([list(findings)], [tf.shape(images)[0], 1])
            return outputs

    model = Model()
    tf.saved_model.save(model, str(folder), signatures={signature: model.judge})
    return folder


@pytest.fixture(scope="module")
def records(tmp_path_factory):
    return tiny_records.build(tmp_path_factory.mktemp("records") / "tiny")


def test_the_tool_lists_and_the_clients_leave_out(run_tool, records, tmp_path, capsys):
    # Hernia of image i is i / 100: all below 50 are negative, and from 30 on said to be positive.
    output = tmp_path / "suspicious.csv"
    arguments = (f"--records={records.path}", f"--output={output}")
    model = _save(tmp_path / "model")
    assert run_tool("screen_examples", *arguments, f"--classifier={model}") == 0
    train = records.record_ids("train")
    label = dict(zip(records.record_ids(), records.label_matrix()[:, 1], strict=True))
    expected = {name for name in train if 0.295 < label[name] < 0.495}
    assert expected and set(example_screening.read_ids(output)) == expected
    assert f"{len(expected)} labels of {len(expected)} of {len(train)} images" in (
        capsys.readouterr().out
    )
    first = output.read_text().splitlines()[1].split(",")
    assert first[1] == "Hernia" and float(first[3]) == 1.0
    whole = clients.draw(tiny_federations.settings(), records)
    screened = clients.draw(tiny_federations.settings(leave_out=str(output)), records)
    assert sum(whole.sizes) - sum(screened.sizes) == len(expected)
    assert screened.names == whole.names


def test_a_classifier_without_names_has_the_findings_of_the_records(tmp_path):
    classify = example_screening.load(_save(tmp_path / "model", findings=(), signature="predict"))
    images = np.full((2, 16, 16), 40, np.uint8)
    labels = np.array([[0, 0], [1, 1]], np.float32)
    batches = [(["a", "b"], images, labels)]
    flagged, known = example_screening.flag(batches, ("M", "H"), classify, 0.9)
    assert flagged == [("a", "M", 0.0, 1.0), ("b", "H", 1.0, 0.0)] and known == ("M", "H")
    with pytest.raises(ValueError, match="2 probabilities and does not name .* records have 3"):
        example_screening.flag(batches, ("M", "H", "N"), classify, 0.9)


def test_what_cannot_be_used_is_refused(run_tool, records, tmp_path, capsys):
    def message(*arguments):
        assert (
            run_tool(
                "screen_examples", f"--records={records.path}", f"--output={tmp_path / 'x.csv'}",
                *arguments,
            )
            == 1
        )  # fmt: skip
        assert not (tmp_path / "x.csv").exists()
        return capsys.readouterr().err

    model = _save(tmp_path / "model", findings=("Fracture", "Other"))
    assert "holds no SavedModel" in message(f"--classifier={tmp_path}")
    assert "knows Fracture, Other" in message(f"--classifier={model}")
    assert "give another --resolution" in message(f"--classifier={model}", "--resolution=8")
    assert "--confidence must be" in message(f"--classifier={model}", "--confidence=0.3")
    other = _save(tmp_path / "other", signature="classify")
    assert "wanted is one of" in message(f"--classifier={other}")
    (tmp_path / "foreign.csv").write_text("image_id\nsomebody\n")
    foreign = tiny_federations.settings(leave_out=str(tmp_path / "foreign.csv"))
    with pytest.raises(ValueError, match="1 of the 1 records of --leave_out=.* such as somebody"):
        clients.draw(foreign, records)
    with pytest.raises(ValueError, match="does not exist"):
        example_screening.read_ids(tmp_path / "none.csv")
    (tmp_path / "wrong.csv").write_text("a,b\n1,2\n")
    with pytest.raises(ValueError, match="no column image_id"):
        example_screening.read_ids(tmp_path / "wrong.csv")
