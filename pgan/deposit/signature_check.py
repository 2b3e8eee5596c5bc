"""Whether the signatures of a graph are those of its card, and the same to everybody who runs it.

A SavedModel has its signatures twice. TensorFlow Serving runs the nodes that `signature_def` names;
`tf.saved_model.load`, by which a deposit measures and draws, runs functions of the object
`signatures`. Where the two differ, a deposit would measure one generator and others serve another.

What this cannot see: Serving gives the variables what the graph's saver reads, loading what the
checkpoint says of itself, and the variables that a call captures are compared by number only, as
their names differ in honest exports; so the same function may be served with other weights.
"""

from collections.abc import Mapping
from typing import Any

from pgan import serving_graph
from pgan.deposit import graph_check
from pgan.deposit.graph_check import RefusedError

_INITIALISER = "__saved_model_init_op"  # Of signature_def alone; it runs nothing, see graph_check.
_CALLS = ("StatefulPartitionedCall", "PartitionedCall")


def check(graph: Any, card: Mapping[str, Any]) -> None:
    """Checks the signatures of a graph that `graph_check.check` has passed.

    Args:
        graph: Its `MetaGraphDef`.
        card: Model card of the export.

    Raises:
        RefusedError: If the signature that images are drawn by is not what the card says, or a
            signature runs another function when it is served than when it is loaded.
    """
    _check_types(graph.signature_def, card)
    served = {key for key in graph.signature_def if key != _INITIALISER}
    loaded = _loaded(graph.object_graph_def.nodes)
    if served != set(loaded):
        raise RefusedError(
            f"the graph has the signatures {', '.join(sorted(served))} when it is served and "
            f"{', '.join(sorted(loaded))} when it is loaded; they have to be the same"
        )
    for key in sorted(served):
        part = _difference(graph, graph.signature_def[key], loaded[key])
        if part:
            raise RefusedError(
                f"the signature {key} has another {part} when it is served than when it is loaded, "
                "so that what is measured is not what would be served"
            )


def _loaded(nodes) -> dict[str, Any]:
    """{name: bare concrete function} of the object that `load` makes signatures of."""
    found = _children(nodes[0], nodes).get("signatures", [])
    if len(found) != 1 or found[0].user_object.identifier != "signature_map":
        raise RefusedError("the graph's objects have no map of signatures")
    functions = {}
    for key, children in _children(found[0], nodes).items():
        one = children[0].bare_concrete_function
        if len(children) != 1 or not one.concrete_function_name:
            raise RefusedError(f"the signature {key} is no single function when it is loaded")
        functions[key] = one
    return functions


def _children(node, nodes) -> dict[str, list[Any]]:
    """{name: objects of that name}; of several, `load` would take the last."""
    found: dict[str, list[Any]] = {}
    for child in node.children:
        if not 0 <= child.node_id < len(nodes):
            raise RefusedError(f"the object {child.local_name} is not there")
        found.setdefault(child.local_name, []).append(nodes[child.node_id])
    return found


def _difference(graph, signature, function) -> str:
    """What of a signature is not that of the function that is loaded for it; "" if nothing is."""
    callers = {end.name.partition(":")[0] for end in signature.outputs.values()}
    node = next((n for n in graph.graph_def.node if callers == {n.name}), None)
    if node is None or node.op not in _CALLS:
        return "function"
    name = function.concrete_function_name
    saved = graph.object_graph_def.concrete_functions
    if node.attr["f"].func.name != name or name not in saved:
        return "function"
    # As TensorFlow writes them: arguments and results by name, in the order of the names.
    names = sorted(signature.inputs)
    given = [_tensor(signature.inputs[key].name) for key in names]
    specification = function.function_spec.fullargspec.named_tuple_value.values
    arguments = {pair.key: pair.value.list_value.values for pair in specification}
    listed = [*arguments.get("args", ()), *arguments.get("kwonlyargs", ())]
    if (
        list(function.argument_keywords) != names
        or (specification and [value.string_value for value in listed] != names)
        or list(map(_tensor, node.input[: len(names)])) != given
    ):
        return "order of arguments"
    if len(node.input) != len(names) + len(saved[name].bound_inputs):
        return "number of variables"
    results = sorted(saved[name].output_signature.dict_value.fields)
    ends = {key: f"{node.name}:{number}" for number, key in enumerate(results)}
    if {key: _tensor(end.name) for key, end in signature.outputs.items()} != ends:
        return "order of results"
    return ""


def _tensor(name: str) -> str:
    """Such as "node:0" of "node"."""
    return name if ":" in name else f"{name}:0"


def _check_types(signatures: Mapping[str, Any], card: Mapping[str, Any]) -> None:
    """The signature that images are drawn by has the types and shapes that the card says."""
    name, size = "from_seeds", card["resolution"]
    if name not in signatures:
        raise RefusedError(f"the graph has no signature {name!r}")
    inputs = {key: _type(value) for key, value in signatures[name].inputs.items()}
    outputs = {key: _type(value) for key, value in signatures[name].outputs.items()}
    wanted_inputs = dict.fromkeys(serving_graph.SIGNATURES[name], ("DT_INT64", [-1]))
    wanted_inputs["labels"] = ("DT_FLOAT", [-1, len(card["findings"])])
    if inputs != wanted_inputs or outputs != {"images": ("DT_UINT8", [-1, size, size, 1])}:
        raise RefusedError(
            f"the signature {name} goes from {inputs} to {outputs}, which is not what the card "
            f"says: {len(card['findings'])} findings, {size} px"
        )


def _type(info) -> tuple[str, list[int]]:
    """Such as ("DT_UINT8", [-1, 16, 16, 1])."""
    return graph_check.type_name(info.dtype), [dim.size for dim in info.tensor_shape.dim]
