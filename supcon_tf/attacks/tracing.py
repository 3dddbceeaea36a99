"""Functions as TensorFlow compiles them, and what their graphs give away."""

import functools
from collections.abc import Callable
from typing import Any

import tensorflow as tf

from supcon_tf.errors import UserError

# They leave a value what it is, if all other operands are constants or variables.
_PASSING = {
    *("Identity", "Cast", "Reshape", "Squeeze", "EnsureShape", "StopGradient"),
    *("Mul", "RealDiv", "AddV2", "Sub", "Maximum", "Minimum", "ClipByValue"),
}
_CALLS = {"PartitionedCall", "StatefulPartitionedCall"}
_CONSTANTS = {"Const", "ReadVariableOp"}
_PYTHON = {"PyFunc", "PyFuncStateless", "EagerPyFunc"}


def traced(function: Callable, *signature: tf.TensorSpec) -> tuple[Callable, Any]:
    """The function compiled, and its trace; as it is, and None, where that fails.

    Raises:
        UserError: if the function does.
    """
    compiled = tf.function(function, input_signature=signature, autograph=False)
    try:
        return compiled, compiled.get_concrete_function()
    except UserError:
        raise
    # NumPy code, a branch on a value, a batch taken apart: each raises something else.
    # A function that is at fault itself raises again when it is called on values.
    except Exception:
        return function, None


def last_operation(trace: Any) -> str:
    """The operation that makes the first output what it is, such as "Softmax".

    Scaling and shifting by constants, clipping and casts are passed over.
    """
    bodies = [trace.function_def, *trace.graph.as_graph_def().library.function]
    functions = {body.signature.name: body for body in bodies}
    nodes = {
        name: {node.name: node for node in body.node_def}
        for name, body in functions.items()
    }

    def output(function: str, place: int) -> str:
        body = functions[function]
        return operation(function, body.ret[body.signature.output_arg[place].name])

    @functools.cache
    def operation(function: str, value: str) -> str:
        # "node:output:number", or the name alone of an argument.
        name, *place = value.split(":")
        node = nodes[function].get(name)
        if node is None:
            return ""
        if node.op in _CALLS:
            return output(node.attr["f"].func.name, int(place[-1]))
        if node.op not in _PASSING:
            return str(node.op)
        operands = [one for one in node.input if not one.startswith("^")]
        found = [operation(function, one) for one in operands]
        varying = [one for one in found if one not in _CONSTANTS]
        if len(varying) != 1:
            return "" if varying else "Const"
        # Keras computes it as relu6(x + 3) / 6.
        hard = varying == ["Relu6"] and node.op in ("RealDiv", "Mul")
        return "HardSigmoid" if hard else varying[0]

    return output(bodies[0].signature.name, 0) if trace.outputs else ""


def depends_on_input(trace: Any) -> bool:
    """Whether a path of operations leads from the first input to the first output."""
    reached, unread = set(), [trace.outputs[0].op]
    while unread:
        operation = unread.pop()
        if operation not in reached:
            reached.add(operation)
            unread += [one.op for one in operation.inputs]
    return trace.inputs[0].op in reached


def calls_python(trace: Any) -> bool:
    """Whether Python functions (`tf.numpy_function`, `tf.py_function`) are in it."""
    graph = trace.graph.as_graph_def()
    bodies = [graph.node, *(function.node_def for function in graph.library.function)]
    return any(node.op in _PYTHON for nodes in bodies for node in nodes)
