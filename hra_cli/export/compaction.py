"""Graphs in fewer bytes and nodes: torch's exporter gives long names to everything, and a node to every constant."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from onnx import ModelProto


def compact(graph: ModelProto) -> None:
    """Shortens the names of what lies between inputs and outputs, and keeps equal constants once."""
    inside = graph.graph
    new_names: dict[str, str] = {}
    constants: dict[bytes, str] = {}
    nodes = []
    for node in inside.node:
        if node.op_type == "Constant" and node.attribute[0].name == "value":
            tensor = node.attribute[0].t
            tensor.name = ""
            content = tensor.SerializeToString(deterministic=True)
            if content not in constants:
                constants[content] = f"c{len(constants)}"
                kept = inside.initializer.add()
                kept.CopyFrom(tensor)
                kept.name = constants[content]
            new_names[node.output[0]] = constants[content]
        else:
            nodes.append(node)
    results = {output.name for output in inside.output}
    for node in nodes:
        for output in node.output:
            if output and output not in results:
                new_names[output] = f"t{len(new_names)}"
    for node in nodes:
        node.name, node.doc_string = "", ""
        node.input[:] = [new_names.get(name, name) for name in node.input]
        node.output[:] = [new_names.get(name, name) for name in node.output]
    made = [type(node).FromString(node.SerializeToString()) for node in nodes]
    del inside.node[:]
    inside.node.extend(made)
    del inside.value_info[:]
