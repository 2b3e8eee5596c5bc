"""Signatures are those of the card, and the same when they are served and when they are loaded."""

import pytest
import tiny_deposits
from tensorflow.core.framework import types_pb2

from pgan.deposit import graph_check, submission_check


@pytest.fixture
def exported(tmp_path):
    return tiny_deposits.export(tmp_path)


def _signature(graph, key):
    """The object of a signature, which `tf.saved_model.load` runs."""
    nodes = graph.object_graph_def.nodes
    [signatures] = [n for n in nodes if n.user_object.identifier == "signature_map"]
    return next(nodes[c.node_id] for c in signatures.children if c.local_name == key)


def _call(graph, key):
    """The node of a signature, which TensorFlow Serving runs."""
    names = [end.name.partition(":")[0] for end in graph.signature_def[key].outputs.values()]
    return next(node for node in graph.graph_def.node if node.name == names[0])


def _other_function_loaded(graph):
    """Another one of the same arguments and results, as a site that has two would write."""
    function = _signature(graph, "from_seeds").bare_concrete_function
    name = function.concrete_function_name
    library = graph.graph_def.library.function
    twin = library.add()
    twin.CopyFrom(next(one for one in library if one.signature.name == name))
    twin.signature.name += "_twin"
    saved = graph.object_graph_def.concrete_functions
    saved[twin.signature.name].CopyFrom(saved[name])
    function.concrete_function_name = twin.signature.name


def _other_function_served(graph):
    other = _call(graph, "serving_default")
    _call(graph, "float_images").attr["f"].func.CopyFrom(other.attr["f"].func)


def _result_of_no_call(graph):
    graph.signature_def["from_seeds"].outputs["images"].name = "from_seeds_seeds:0"


def _arguments_exchanged(graph):
    node = _call(graph, "from_seeds")
    node.input[0], node.input[2] = node.input[2], node.input[0]


def _keywords_exchanged(graph):
    names = _signature(graph, "from_seeds").bare_concrete_function.argument_keywords
    names[0], names[2] = names[2], names[0]


def _keywords_exchanged_by_specification(graph):
    function = _signature(graph, "from_seeds").bare_concrete_function
    values = function.function_spec.fullargspec.named_tuple_value.values
    names = next(v.value.list_value.values for v in values if v.key == "kwonlyargs")
    names[0].string_value, names[2].string_value = names[2].string_value, names[0].string_value


def _other_result(graph):
    graph.signature_def["from_seeds"].outputs["images"].name += "1"


def _second_map(graph):
    root = graph.object_graph_def.nodes[0]
    root.children.add(local_name="signatures", node_id=root.children[0].node_id)


def _second_of_a_name(graph):
    nodes = graph.object_graph_def.nodes
    [signatures] = [n for n in nodes if n.user_object.identifier == "signature_map"]
    other = next(c.node_id for c in signatures.children if c.local_name == "serving_default")
    signatures.children.add(local_name="from_seeds", node_id=other)


def _loaded_alone(graph):
    del graph.signature_def["serving_default"]


def _other_type(graph):
    graph.signature_def["from_seeds"].outputs["images"].dtype = types_pb2.DT_STRING


def _no_signature(graph):
    del graph.signature_def["from_seeds"]


@pytest.mark.parametrize(
    "change, message",
    [
        (_no_signature, "no signature 'from_seeds'"),
        (_other_type, "from_seeds goes from .*, which is not what the card says"),
        (_other_function_loaded, "from_seeds has another function when it is served"),
        (_other_function_served, "float_images has another function when it is served"),
        (_result_of_no_call, "from_seeds has another function"),
        (_arguments_exchanged, "from_seeds has another order of arguments"),
        (_keywords_exchanged, "from_seeds has another order of arguments"),
        (_keywords_exchanged_by_specification, "from_seeds has another order of arguments"),
        (_other_result, "from_seeds has another order of results"),
        (_second_map, "no map of signatures"),
        (_second_of_a_name, "from_seeds is no single function when it is loaded"),
        (_loaded_alone, "when it is served and .*serving_default when it is loaded"),
    ],
)
def test_signatures_that_are_not_the_same_to_everybody_are_refused(exported, change, message):
    tiny_deposits.edit_graph(exported, change)
    with pytest.raises(graph_check.RefusedError, match=message):
        submission_check.check(exported)


def test_a_signature_of_one_argument_passes(exported):
    """Its argument may be given without its name, so TensorFlow writes it in another list."""
    tiny_deposits.save_graph(
        exported, lambda labels: 0.0, more={"doubled": lambda labels: {"twice": 2.0 * labels}}
    )
    assert submission_check.check(exported)["resolution"] == 16
