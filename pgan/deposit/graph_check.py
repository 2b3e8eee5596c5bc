"""Reads the graph of a SavedModel without running anything of it, and refuses what could do harm.

`saved_model.pb` is parsed as data. A graph passes if it is one graph of tag `serve` with

* operations of `operations.ALLOWED` only, in the graph, in every function of its library, whether
  it is called or not, and in the list of operations that it declares;
* the operations that read and write checkpoints in the two functions that its saver names, which
  nothing else calls; the reading one reads the file that it is given, in the call of it, too;
* objects of the four kinds that exports have: no resources with initialisers, no assets, no Keras
  layers, no saveables of its own; without objects TensorFlow would load the graph in an older way;
* arguments and results of functions that are plain tensors, signatures that name their ends;
* constants and variables of bounded declared size, and no more variables than its file can hold;
* no functions that are called like an operation, no gradient functions of the old kind, none whose
  attributes are filled in by the call, where a constant could hide, and no attributes that steer
  the runtime other than those that TensorFlow itself writes.

What this cannot see: a generator that draws its training images, or anything else that is wrong
with its images, since that is a matter of numbers, not of operations; errors in TensorFlow's own
parsers and kernels, which allowed operations with odd arguments could reach; loops that never end
and results that fill the memory. So a deposit should run under an account of its own that may write
nowhere else, with limited memory, and TensorFlow be kept up to date.
"""

import dataclasses
import math
import pathlib
from collections.abc import Sequence
from typing import Any

from google.protobuf import message
from tensorflow.core.framework import types_pb2
from tensorflow.core.protobuf import config_pb2, saved_model_pb2

from pgan.deposit import operations

_KINDS = ("user_object", "variable", "bare_concrete_function", "captured_tensor")
_OBJECTS = ("_generic_user_object", "trackable_list_wrapper", "signature_map")
# Bytes of an element; types that are not here hold no numbers. Texts are counted by their content.
_BYTES = {
    types_pb2.DT_BOOL: 1,
    types_pb2.DT_UINT8: 1,
    types_pb2.DT_INT8: 1,
    types_pb2.DT_BFLOAT16: 2,
    types_pb2.DT_HALF: 2,
    types_pb2.DT_INT32: 4,
    types_pb2.DT_UINT32: 4,
    types_pb2.DT_FLOAT: 4,
    types_pb2.DT_INT64: 8,
    types_pb2.DT_UINT64: 8,
    types_pb2.DT_DOUBLE: 8,
    types_pb2.DT_STRING: 16,
}
_FUNCTION_ATTRIBUTES = {"_construction_context", "_input_shapes"}
# Of nodes and arguments, among the names that begin so; `_kernel`, `_scoped_allocator` or
# `_forward_from` would choose kernels and the memory that they write to.
_HIDDEN_ATTRIBUTES = {
    "_class",
    "_collective_manager_ids",
    "_gradient_op_type",
    "_has_manual_control_dependencies",
    "_lower_using_switch_merge",
    "_num_original_outputs",
    "_output_shapes",
    "_read_only_resource_inputs",
    "_stateful_parallelism",
    "_user_specified_name",
}
# Of arguments and results. Others make objects of registered classes, or unpack constants.
_STRUCTURES = {
    None,
    "none_value",
    "bool_value",
    "int64_value",
    "string_value",
    "tensor_spec_value",
    "list_value",
    "tuple_value",
    "dict_value",
    "named_tuple_value",
}
# Of the configuration that calls of functions carry; others choose rewriters of the graph.
_CALL_SETTINGS = {"allow_soft_placement", "device_count", "experimental", "gpu_options"}
_LONGEST = 1000  # characters of a message
_DEVICES = ("", "/device:CPU:", "/device:GPU:")


class RefusedError(ValueError):
    """Something in a submission is not as it has to be; nothing of it was run.

    What the text quotes comes from the submission, so it is made printable.
    """

    def __init__(self, text: str):
        """Takes what is told to whoever submits, and kept in the ledger."""
        super().__init__(printable(text))


def printable(text: str) -> str:
    """A text without control characters, which terminals obey, and without end."""
    return "".join(c if c.isprintable() else " " for c in text)[:_LONGEST]


@dataclasses.dataclass(frozen=True)
class Limits:
    """Sizes that a graph may have; a paper-sized generator has a tenth of each.

    Attributes:
        nodes: Nodes of the graph and all functions, functions and objects.
        constant_bytes: Of all constants, as declared.
        variable_bytes: Of all variables, as declared.
    """

    nodes: int = 50_000
    constant_bytes: int = 2**25
    variable_bytes: int = 2**31


_LIMITS = Limits()


def check(path: pathlib.Path, data_bytes: int, limits: Limits = _LIMITS) -> Any:
    """Checks the graph of a SavedModel.

    Args:
        path: Its file `saved_model.pb`.
        data_bytes: Size of the file with its variables.
        limits: Sizes that are allowed.

    Returns:
        It, a `MetaGraphDef` message.

    Raises:
        RefusedError: If it does not pass; says what was found where.
    """
    content = saved_model_pb2.SavedModel()
    try:
        content.ParseFromString(path.read_bytes())
    except message.DecodeError:
        raise RefusedError(f"{path.name} is cut off or no SavedModel") from None
    if len(content.meta_graphs) != 1:
        raise RefusedError(f"{path.name} holds {len(content.meta_graphs)} graphs, wanted is one")
    graph = content.meta_graphs[0]
    _check_head(graph)
    functions = _functions(graph)
    savers = _savers(graph, functions)
    _check_operations(graph, functions, savers)
    _check_attributes(graph, functions)
    _check_calls(graph, functions, savers)
    _check_objects(graph, data_bytes, limits)
    _check_sizes(graph, limits)
    return graph


def _check_head(graph) -> None:
    """What a graph says about itself: tags, assets, initialisers, signatures."""
    if list(graph.meta_info_def.tags) != ["serve"]:
        raise RefusedError(f"the graph has the tags {list(graph.meta_info_def.tags)}, not serve")
    if graph.meta_info_def.HasField("any_info"):
        raise RefusedError("the graph carries a message of an unknown type (any_info)")
    if graph.asset_file_def:
        names = [asset.filename for asset in graph.asset_file_def]
        raise RefusedError(f"the graph reads asset files: {', '.join(names)}")
    strangers = sorted(set(graph.collection_def) - {"saved_model_main_op"})
    if strangers:
        raise RefusedError(f"the graph has collections: {', '.join(strangers)}")
    if graph.graph_def.library.gradient:
        raise RefusedError("the graph has gradient functions of the old kind")
    for operation in graph.meta_info_def.stripped_op_list.op:
        if operation.name not in operations.KNOWN:
            raise RefusedError(f"the graph declares the operation {operation.name}")
    for key, signature in graph.signature_def.items():
        ends = (*signature.inputs.values(), *signature.outputs.values())
        if signature.defaults or any(end.WhichOneof("encoding") != "name" for end in ends):
            raise RefusedError(f"the signature {key} is not of plain tensors")


def _functions(graph) -> dict[str, Any]:
    functions = {}
    for function in graph.graph_def.library.function:
        name = function.signature.name
        if name in operations.KNOWN:
            raise RefusedError(f"a function is called {name} like an operation")
        if name in functions:
            raise RefusedError(f"there are two functions {name}")
        strange = sorted(set(function.attr) - _FUNCTION_ATTRIBUTES)
        if strange:
            raise RefusedError(f"the function {name} has the attribute {strange[0]}")
        functions[name] = function
    return functions


def _savers(graph, functions) -> dict[str, str]:
    """{function that saves: node that calls it, function that restores: node that calls it}."""
    nodes = {node.name: node for node in graph.graph_def.node}
    if len(nodes) < len(graph.graph_def.node):
        raise RefusedError("two nodes of the graph have the same name")
    saver = graph.saver_def
    found = {}
    for name in (saver.save_tensor_name.partition(":")[0], saver.restore_op_name):
        node = nodes.get(name)
        called = "" if node is None else node.attr["f"].func.name
        if node is None or node.op != "StatefulPartitionedCall" or called not in functions:
            raise RefusedError("the graph's saver is not that of tf.saved_model.save")
        found[called] = name
    if len(found) != 2:
        raise RefusedError("the graph saves and restores by the same function")
    given = nodes[saver.restore_op_name].input[:1]
    name = saver.filename_tensor_name.partition(":")[0]
    if list(given) != [name] or nodes[name].op != "Placeholder":
        raise RefusedError("the graph restores variables from a file of its own choice")
    return found


def _check_operations(graph, functions, savers) -> None:
    """Operations of all nodes, and the devices that they want."""
    save, restore = savers
    allowed = {save: operations.SAVING, restore: operations.RESTORING}
    parts = [("the graph", graph.graph_def.node, operations.ALLOWED)]
    parts += [
        (f"the function {name}", function.node_def, allowed.get(name, operations.ALLOWED))
        for name, function in functions.items()
    ]
    for where, nodes, names in parts:
        for node in nodes:
            if node.op not in names:
                raise RefusedError(
                    f"{where} has the operation {node.op} (node {node.name}), which no generator "
                    "needs; it was not run"
                )
            if not any(node.device == d or (d and node.device.startswith(d)) for d in _DEVICES):
                raise RefusedError(f"{where} wants the device {node.device} (node {node.name})")
            if "config_proto" in node.attr:
                _check_call_settings(node.attr["config_proto"].s, where)
    arguments = functions[restore].signature.input_arg
    for node in functions[restore].node_def:
        given = node.input[0] if node.input else ""
        if node.op == "RestoreV2" and (not arguments or given != arguments[0].name):
            raise RefusedError(
                "the function that restores variables reads a file of its own choice"
            )


def _check_attributes(graph, functions) -> None:
    """Attributes of nodes and arguments have their values in them, and none steers the runtime."""
    parts = [("the graph", graph.graph_def.node)]
    parts += [(f"the function {name}", one.node_def) for name, one in functions.items()]
    sets = [(where, node.attr) for where, nodes in parts for node in nodes]
    for name, function in functions.items():
        if function.signature.attr:
            raise RefusedError(f"the function {name} leaves attributes to its callers")
        sets += [(f"the function {name}", one.attr) for one in function.arg_attr.values()]
    for where, attributes in sets:
        for name, value in attributes.items():
            if name[:1] == "_" and name not in _HIDDEN_ATTRIBUTES:
                raise RefusedError(f"{where} has the attribute {name}, which no generator needs")
            named = [value.func] if value.WhichOneof("value") == "func" else value.list.func
            if value.WhichOneof("value") == "placeholder" or any(one.attr for one in named):
                raise RefusedError(f"{where} has the attribute {name} without a value of its own")


def _check_call_settings(text: bytes, where: str) -> None:
    settings = config_pb2.ConfigProto()
    try:
        settings.ParseFromString(text)
    except message.DecodeError:
        raise RefusedError(f"{where} has a call with settings that cannot be read") from None
    strange = {field.name for field, _ in settings.ListFields()} - _CALL_SETTINGS
    if strange or settings.experimental.ListFields():
        raise RefusedError(f"{where} has a call with settings of its own: {sorted(strange)}")


def _check_calls(graph, functions, savers) -> None:
    """Functions that are called exist, and those of the saver are called by nothing else."""
    bodies = [node for function in functions.values() for node in function.node_def]
    calls = [
        name
        for node in (*graph.graph_def.node, *bodies)
        for value in node.attr.values()
        for name in _called(value)
    ]
    missing = sorted(set(calls) - set(functions))
    if missing:
        raise RefusedError(f"the graph calls a function that is not there: {missing[0]}")
    outside = [*graph.object_graph_def.concrete_functions]
    for node in graph.object_graph_def.nodes:
        outside += [node.captured_tensor.concrete_function]
        outside += [node.bare_concrete_function.concrete_function_name]
    outside += [one.gradient_func for one in graph.graph_def.library.registered_gradients]
    for name, node in savers.items():
        users = [
            other.name
            for other in graph.graph_def.node
            if any(text.lstrip("^").partition(":")[0] == node for text in other.input)
        ]
        ends = [
            key
            for key, signature in graph.signature_def.items()
            for end in (*signature.inputs.values(), *signature.outputs.values())
            if end.name.partition(":")[0] == node
        ]
        begins = graph.collection_def["saved_model_main_op"].node_list.value
        if calls.count(name) != 1 or name in outside or users or ends or node in begins:
            raise RefusedError(f"the saver's function {name} is called by something else")


def _called(value) -> list[str]:
    """Names of functions in an attribute."""
    named = [value.func] if value.WhichOneof("value") == "func" else value.list.func
    return [function.name for function in named]


def _check_objects(graph, data_bytes, limits) -> None:
    """Objects that loading makes in Python, and the size of the variables."""
    total = 0
    if not graph.object_graph_def.nodes:
        raise RefusedError("the graph has no objects; wanted is one of tf.saved_model.save")
    for function in graph.object_graph_def.concrete_functions.values():
        _check_structure(function.canonicalized_input_signature)
        _check_structure(function.output_signature)
    for number, node in enumerate(graph.object_graph_def.nodes):
        kind = node.WhichOneof("kind")
        if kind not in _KINDS:
            raise RefusedError(f"object {number} is a {kind}, which exports do not have")
        if kind == "user_object" and node.user_object.identifier not in _OBJECTS:
            raise RefusedError(f"object {number} is a {node.user_object.identifier}")
        specification = node.bare_concrete_function.function_spec
        _check_structure(specification.fullargspec)
        _check_structure(specification.input_signature)
        own = node.saveable_objects, node.slot_variables, node.registered_name
        if any(own) or node.registered_saver:
            raise RefusedError(f"object {number} brings its own way of being saved or loaded")
        if node.user_object.metadata:
            raise RefusedError(f"object {number} has metadata")
        hidden = [child.local_name for child in node.children if child.local_name[:1] == "_"]
        if hidden:
            raise RefusedError(f"object {number} sets the hidden attribute {hidden[0]}")
        if kind == "variable":
            variable = node.variable
            where = f"the variable {variable.name}"
            total += _size(variable.dtype, [dim.size for dim in variable.shape.dim], where)
    if total > min(limits.variable_bytes, data_bytes):
        raise RefusedError(
            f"variables of {total:,} bytes are declared; their file has {data_bytes:,} and "
            f"{limits.variable_bytes:,} are allowed"
        )


def _check_structure(value) -> None:
    """Arguments or results of a function, which loading makes into Python objects."""
    kind = value.WhichOneof("kind")
    if kind not in _STRUCTURES:
        raise RefusedError(f"a function takes or gives a {kind}, which exports do not have")
    inner = [*value.list_value.values, *value.tuple_value.values]
    inner += value.dict_value.fields.values()
    inner += [pair.value for pair in value.named_tuple_value.values]
    for one in inner:
        _check_structure(one)


def _check_sizes(graph, limits) -> None:
    """How many nodes there are, and how large their constants are when they are unpacked."""
    functions = graph.graph_def.library.function
    nodes = [*graph.graph_def.node, *(node for one in functions for node in one.node_def)]
    count = len(nodes) + len(functions) + len(graph.object_graph_def.nodes)
    if count > limits.nodes:
        raise RefusedError(f"the graph has {count:,} nodes, {limits.nodes:,} are allowed")
    total = 0
    for node in nodes:
        for name, value in node.attr.items():
            tensors = list(value.list.tensor)
            if value.WhichOneof("value") == "tensor":
                tensors.append(value.tensor)
            for tensor in tensors:
                # A value may be written once and stand for an array of any shape.
                sizes = [dim.size for dim in tensor.tensor_shape.dim]
                total += _size(tensor.dtype, sizes, f"the attribute {name} of {node.name}")
                total += tensor.ByteSize()
    if total > limits.constant_bytes:
        raise RefusedError(
            f"constants of {total:,} bytes are declared, {limits.constant_bytes:,} are allowed"
        )


def type_name(dtype: int) -> str:
    """Such as "DT_FLOAT"; the number of a type that there is not."""
    known = dtype in types_pb2.DataType.values()
    return types_pb2.DataType.Name(dtype) if known else str(dtype)


def _size(dtype: int, sizes: Sequence[int], where: str) -> int:
    if dtype not in _BYTES:
        raise RefusedError(f"{where} is of the type {type_name(dtype)}")
    if min(sizes, default=0) < 0:
        raise RefusedError(f"{where} has no definite shape")
    return math.prod(sizes) * _BYTES[dtype]
