"""Graphs that harm are refused, by reading them; those of exports pass."""

import numpy as np
import pytest
import tensorflow as tf
import tiny_deposits
import tiny_runs
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import config_pb2

from pgan import checkpoints, export
from pgan.deposit import graph_check, operations, submission_check

_LOCAL = "/etc/hostname"


@pytest.fixture(autouse=True)
def never_loaded(monkeypatch):
    """Everything here is decided without a SavedModel being loaded."""

    def load(*arguments, **settings):
        raise AssertionError("a SavedModel was loaded")

    monkeypatch.setattr(tf.saved_model, "load", load)


@pytest.fixture
def exported(tmp_path):
    return tiny_deposits.export(tmp_path)


def _function(graph, part):
    return next(f for f in graph.graph_def.library.function if part in f.signature.name)


@pytest.mark.parametrize(
    "changes, shown",
    [
        ({}, 3000),
        ({}, 1500),  # fading
        ({"normalize_latents": False, "widths": "pggan"}, 3000),
        ({"precision": "mixed_bfloat16"}, 3000),
        ({"precision": "mixed_float16"}, 1500),
    ],
)
def test_exports_of_all_kinds_pass(tmp_path, monkeypatch, changes, shown):
    monkeypatch.setattr(export, "_check_in_fresh_process", lambda *arguments: 0.0)
    precision = changes.pop("precision", "float32")
    network = tiny_deposits.network(tiny_runs.FINDINGS, resolution=8, **changes)
    run_dir = tiny_runs.make_run(tmp_path / "run", shown, network=network)
    generator, info = checkpoints.load_generator(run_dir, precision=precision)
    path = export.write(generator, info, tmp_path / "out", "tiny", allow_unfinished=True).path
    assert submission_check.check(path)["name"] == "tiny"


def test_a_plain_graph_of_another_origin_passes(exported):
    tiny_deposits.save_graph(exported, lambda labels: tf.tanh(tf.reduce_mean(labels)))
    assert submission_check.check(exported)["resolution"] == 16


def _read_file(labels):
    text = tf.raw_ops.ReadFile(filename=_LOCAL)
    return tf.cast(tf.strings.length(text), tf.float32)


def _write_file(labels):
    tf.raw_ops.WriteFile(filename="/tmp/of_an_attacker", contents="x")
    return 0.0


def _python(labels):
    return tf.py_function(lambda x: x, [tf.reduce_sum(labels)], tf.float32)


def _numpy(labels):
    return tf.numpy_function(lambda x: x, [tf.reduce_sum(labels)], tf.float32)


def _print(labels):
    tf.print("x", output_stream="file:///tmp/of_an_attacker")
    return 0.0


def _in_a_branch(labels):
    return tf.cond(tf.reduce_sum(labels) > 1e9, lambda: _read_file(labels), lambda: 0.0)


def _list_folder(labels):
    return tf.cast(tf.size(tf.io.matching_files("/*")), tf.float32)


def _restore(labels):
    return tf.raw_ops.RestoreV2(
        prefix="/models/other", tensor_names=["x"], shape_and_slices=[""], dtypes=[tf.float32]
    )[0]


def _fill(labels):
    return tf.reduce_sum(tf.fill([tf.shape(labels)[0], 10**9], 1.0))


@pytest.mark.parametrize(
    "compute, operation",
    [
        (_read_file, "ReadFile"),
        (_write_file, "WriteFile"),
        (_python, "EagerPyFunc"),
        (_numpy, "PyFunc"),
        (_print, "PrintV2"),
        (_in_a_branch, "ReadFile|If"),
        (_list_folder, "MatchingFiles"),
        (_restore, "RestoreV2"),
        (_fill, "Fill"),
    ],
)
def test_a_planted_operation_is_refused(exported, compute, operation):
    tiny_deposits.save_graph(exported, compute)
    with pytest.raises(graph_check.RefusedError, match=f"the operation .*({operation})"):
        submission_check.check(exported)


def _huge_constant(graph):
    node = _function(graph, "from_seeds").node_def.add(name="big", op="Const")
    tensor = node.attr["value"].tensor
    tensor.dtype = types_pb2.DT_FLOAT
    tensor.float_val.append(1.0)
    for size in (100_000, 100_000):
        tensor.tensor_shape.dim.add(size=size)


def _gradient_function(graph):
    _function(graph, "internal_grad_fn").node_def.add(name="evil", op="WriteFile")


def _uncalled_function(graph):
    function = graph.graph_def.library.function.add()
    function.signature.name = "nobody_calls_me"
    function.node_def.add(name="evil", op="WriteFile")


def _call_of_saver(graph):
    save = _function(graph, "_traced_save").signature.name
    node = _function(graph, "from_seeds").node_def.add(name="call", op="StatefulPartitionedCall")
    node.attr["f"].func.name = save


def _hidden_call_of_saver(graph):
    restore = _function(graph, "_traced_restore").signature.name
    node = _function(graph, "from_seeds").node_def.add(name="call", op="PartitionedCall")
    node.attr["f"].func.name = _function(graph, "map_while_cond").signature.name
    node.attr["f"].func.attr["more"].func.name = restore


def _saver_as_initialiser(graph):
    names = graph.collection_def["saved_model_main_op"].node_list.value
    names[0] = graph.saver_def.restore_op_name


def _own_file(graph):
    restore = next(n for n in _function(graph, "_traced_restore").node_def if n.op == "RestoreV2")
    restore.input[0] = "another:output:0"


def _own_file_in_the_call(graph):
    node = graph.graph_def.node.add(name="another", op="Const")
    node.attr["value"].tensor.dtype = types_pb2.DT_STRING
    node.attr["value"].tensor.string_val.append(b"/models/other/variables/variables")
    restore = next(n for n in graph.graph_def.node if n.name == graph.saver_def.restore_op_name)
    restore.input[0] = "another"


def _own_file_as_the_given_one(graph):
    name = graph.saver_def.filename_tensor_name.partition(":")[0]
    node = next(n for n in graph.graph_def.node if n.name == name)
    node.op = "Const"


def _constant_in_a_call(graph):
    """One of any size or type, which the function's own nodes do not show."""
    node = next(n for n in graph.graph_def.node if n.op == "StatefulPartitionedCall")
    node.attr["f"].func.attr["large"].tensor.dtype = types_pb2.DT_VARIANT


def _constant_of_the_caller(graph):
    node = _function(graph, "from_seeds").node_def.add(name="open", op="Const")
    node.attr["value"].placeholder = "large"


def _attribute_of_the_caller(graph):
    _function(graph, "from_seeds").signature.attr.add(name="large", type="tensor")


def _steered(graph):
    node = next(n for n in _function(graph, "from_seeds").node_def if n.input)
    node.attr["_forward_from"].list.i.append(0)


def _steered_argument(graph):
    _function(graph, "from_seeds").arg_attr[0].attr["_composite_device"].s = b"x"


def _slots(graph):
    graph.object_graph_def.nodes[0].slot_variables.add(slot_name="m")


def _constant_as_an_argument(graph):
    """Of 40 GB in a few bytes, which loading would unpack."""
    function = next(iter(graph.object_graph_def.concrete_functions.values()))
    values = function.canonicalized_input_signature.tuple_value.values
    least = values.add().list_value.values.add().bounded_tensor_spec_value.minimum
    least.dtype = types_pb2.DT_FLOAT
    least.float_val.append(1.0)
    for size in (100_000, 100_000):
        least.tensor_shape.dim.add(size=size)


def _class_as_an_argument(graph):
    node = next(
        n for n in graph.object_graph_def.nodes if n.WhichOneof("kind") == "bare_concrete_function"
    )
    values = node.bare_concrete_function.function_spec.fullargspec.list_value.values
    values.add().type_spec_value.type_spec_class_name = "any.Registered"


def _sparse_end(graph):
    end = graph.signature_def["serving_default"].outputs["more"].coo_sparse
    end.values_tensor_name = graph.saver_def.save_tensor_name


def _default_of_an_end(graph):
    graph.signature_def["serving_default"].defaults["labels"].dtype = types_pb2.DT_FLOAT


def _constant(graph):
    nodes = (node for function in graph.graph_def.library.function for node in function.node_def)
    return next(node for node in nodes if node.op == "Const").attr["value"].tensor


def _resource(graph):
    graph.object_graph_def.nodes.add().resource.SetInParent()


def _other_implementation(graph):
    _function(graph, "_traced_save").attr["api_implements"].s = b"from_seeds"


def _own_rewriter(graph):
    node = next(n for n in graph.graph_def.node if n.op == "StatefulPartitionedCall")
    settings = config_pb2.ConfigProto()
    settings.graph_options.rewrite_options.optimizers.append("evil")
    node.attr["config_proto"].s = settings.SerializeToString()


def _keras(graph):
    graph.object_graph_def.nodes[0].user_object.identifier = "_tf_keras_layer"


def _saveable(graph):
    graph.object_graph_def.nodes[0].saveable_objects["x"].save_function = 1


def _many_variables(graph):
    variable = next(
        n.variable for n in graph.object_graph_def.nodes if n.WhichOneof("kind") == "variable"
    )
    variable.shape.dim[0].size = 10**9


def _any_shape(graph):
    variable = next(
        n.variable for n in graph.object_graph_def.nodes if n.WhichOneof("kind") == "variable"
    )
    variable.shape.dim[0].size = -1


@pytest.mark.parametrize(
    "change, message",
    [
        (_huge_constant, "constants of 40,0.* bytes"),
        (_gradient_function, "internal_grad_fn.*WriteFile"),
        (_uncalled_function, "nobody_calls_me.*WriteFile"),
        (_call_of_saver, "called by something else"),
        (_hidden_call_of_saver, "attribute f without a value of its own"),
        (_saver_as_initialiser, "called by something else"),
        (_own_file, "a file of its own choice"),
        (_own_file_in_the_call, "a file of its own choice"),
        (_own_file_as_the_given_one, "a file of its own choice"),
        (_constant_in_a_call, "attribute f without a value of its own"),
        (_constant_of_the_caller, "attribute value without a value of its own"),
        (_attribute_of_the_caller, "leaves attributes to its callers"),
        (_steered, "the attribute _forward_from"),
        (_steered_argument, "the attribute _composite_device"),
        (_slots, "its own way of being saved"),
        (_constant_as_an_argument, "takes or gives a bounded_tensor_spec_value"),
        (_class_as_an_argument, "takes or gives a type_spec_value"),
        (_sparse_end, "serving_default is not of plain tensors"),
        (_default_of_an_end, "serving_default is not of plain tensors"),
        (lambda g: setattr(_constant(g), "dtype", 999), "is of the type 999"),
        (lambda g: g.ClearField("object_graph_def"), "has no objects"),
        (_other_implementation, "the attribute api_implements"),
        (_own_rewriter, "settings of its own: .'graph_options'"),
        (_resource, "is a resource"),
        (_keras, "_tf_keras_layer"),
        (_saveable, "its own way of being saved"),
        (_many_variables, "variables of .* bytes are declared"),
        (_any_shape, "no definite shape"),
        (lambda g: g.asset_file_def.add(filename="passwd"), "asset files: passwd"),
        (lambda g: g.meta_info_def.tags.append("train"), "tags"),
        (lambda g: g.meta_info_def.any_info.Pack(g.saver_def), "any_info"),
        (lambda g: g.collection_def["init"].node_list.value.append("x"), "collections: init"),
        (lambda g: g.graph_def.library.gradient.add(function_name="x"), "of the old kind"),
        (
            lambda g: g.meta_info_def.stripped_op_list.op.add(name="OfALibrary"),
            "declares the operation OfALibrary",
        ),
        (
            lambda g: setattr(_function(g, "_traced_save").signature, "name", "Identity"),
            "called Identity like an operation",
        ),
        (
            lambda g: setattr(g.graph_def.node[0], "device", "/job:worker/task:0"),
            "wants the device /job:worker",
        ),
        (lambda g: g.ClearField("saver_def"), "saver is not that"),
        (lambda g: g.object_graph_def.nodes[0].children.add(local_name="__class__"), "__class__"),
    ],
)
def test_an_edited_graph_is_refused(exported, change, message):
    tiny_deposits.edit_graph(exported, change)
    with pytest.raises(graph_check.RefusedError, match=message):
        submission_check.check(exported)


def test_messages_do_not_reach_a_terminal_s_controls(exported):
    tiny_deposits.edit_graph(
        exported, lambda g: g.asset_file_def.add(filename="a\x1b]0;title\u202eb" + 5000 * "c")
    )
    with pytest.raises(graph_check.RefusedError, match="asset files: a ]0;title bc") as caught:
        submission_check.check(exported)
    assert str(caught.value).isprintable() and len(str(caught.value)) == 1000


def test_a_file_that_is_cut_off_or_holds_two_graphs_is_refused(exported):
    path = exported / "saved_model.pb"
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])
    tiny_deposits.sign(exported)
    with pytest.raises(graph_check.RefusedError, match="cut off"):
        submission_check.check(exported)
    path.write_bytes(whole + whole)
    tiny_deposits.sign(exported)
    with pytest.raises(graph_check.RefusedError, match="holds 2 graphs"):
        submission_check.check(exported)


def test_the_number_of_nodes_is_bounded(exported):
    size = (exported / submission_check.DATA).stat().st_size
    path = exported / "saved_model.pb"
    assert "from_seeds" in graph_check.check(path, size).signature_def
    with pytest.raises(graph_check.RefusedError, match="nodes, 10 are allowed"):
        graph_check.check(path, size, graph_check.Limits(nodes=10))


@pytest.mark.parametrize(
    "change",
    [
        lambda graph: [
            graph.object_graph_def.nodes.add().user_object.CopyFrom(
                graph.object_graph_def.nodes[0].user_object
            )
            for _ in range(50_000)
        ],
        lambda graph: [
            setattr(graph.graph_def.library.function.add().signature, "name", f"empty_{i}")
            for i in range(50_000)
        ],
    ],
    ids=["objects", "functions"],
)
def test_so_are_those_of_objects_and_empty_functions(exported, change):
    tiny_deposits.edit_graph(exported, change)
    with pytest.raises(graph_check.RefusedError, match="50,000 are allowed"):
        submission_check.check(exported)


def test_nothing_that_is_allowed_has_state_beyond_variables_and_calls():
    """By TensorFlow's own description of its operations."""
    from tensorflow.python.framework import op_def_registry

    stateful = {
        name
        for name in operations.ALLOWED
        if (found := op_def_registry.get(name)) is not None and found.is_stateful
    }
    assert stateful == {"VarHandleOp", "ReadVariableOp", "StatefulPartitionedCall", "While"}
    assert not any(word in name for name in operations.ALLOWED for word in ("File", "Py", "Save"))
    assert np.all([name in operations.KNOWN for name in ("SaveV2", "RestoreV2", "Identity")])
