"""From a module to plain code of it: one class whose layers are torch's own.

The module is traced (torch.fx): what it is made of is written out as attributes, what it
does as a forward method. A module that cannot be traced, or whose layers do not say how
they were made, is exported as a graph of torch's operators instead, which is longer to
read. Either way the code is run and compared before it is handed out.
"""

from __future__ import annotations

import inspect
import keyword
import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn

from metanas.core.errors import MetanasError

TOLERANCE = 1e-5
CONSTANTS = ("inf", "nan", "device")
CLOSE = re.compile(r";\s+\w+(?: = \w+)* = None\b.*$")
NOTE = re.compile(r"\s*#.*$")


@dataclass(frozen=True)
class Code:
    """A network as text.

    Args:
        attributes: Statements for ``__init__``.
        statements: The body of ``forward``; its last one returns.
        argument: The name under which the body knows the scaled images.
        weights: By the names that the attributes give them.
        imports: Lines that the text needs beside ``torch`` and ``nn``.
    """

    attributes: tuple[str, ...]
    statements: tuple[str, ...]
    argument: str
    weights: dict[str, torch.Tensor]
    imports: tuple[str, ...] = ()


class _UnwritableError(Exception):
    """This way of writing the module does not work."""


def plain_code(module: nn.Module, example: torch.Tensor) -> Code:
    """Code that computes what `module` does in evaluation mode.

    Args:
        module: In evaluation mode, on the CPU.
        example: A batch of two or more inputs, for comparison.

    Raises:
        MetanasError: If no way of writing it gives the module's outputs.
    """
    with torch.no_grad():
        expected = module(example)
    reasons = []
    for write in (_traced, _exported):
        try:
            code = write(module, example)
            given = _run(code, example)
        except Exception as error:  # noqa: BLE001 - a user's module can fail in any way
            reasons.append(f"{type(error).__name__}: {error}".splitlines()[0])
            continue
        if given.shape == expected.shape and torch.allclose(given, expected, atol=TOLERANCE):
            return code
        reasons.append("the code gives other outputs than the network")
    raise MetanasError(f"the network cannot be written as code: {'; '.join(reasons)}")


def class_text(code: Code, name: str = "Network") -> str:
    """The class as text: it maps scaled inputs to outputs."""
    return "\n".join(
        [
            f"class {name}(nn.Module):",
            "    def __init__(self) -> None:",
            "        super().__init__()",
            *(f"        {line}" for line in code.attributes),
            "",
            f"    def forward(self, {code.argument}: torch.Tensor) -> torch.Tensor:",
            *(f"        {line}" for line in code.statements),
        ]
    )


def _run(code: Code, example: torch.Tensor) -> torch.Tensor:
    text = "\n".join(["import torch", "from torch import nn", *code.imports, class_text(code)])
    scope: dict[str, Any] = {"__name__": "exported"}
    exec(compile(text, "model.py", "exec"), scope)
    network: nn.Module = scope["Network"]()
    network.load_state_dict(code.weights)
    with torch.no_grad():
        outputs: torch.Tensor = network.eval()(example)
    return outputs


# -- by tracing ------------------------------------------------------------------------


def _traced(module: nn.Module, example: torch.Tensor) -> Code:
    graph = fx.symbolic_trace(module).graph
    names = _Names()
    attributes: dict[str, str] = {}
    weights: dict[str, torch.Tensor] = {}
    for node in graph.nodes:
        path = str(node.target)
        if node.op == "call_module":
            layer = module.get_submodule(path)
            node.target = flat = names.of(path)
            attributes[flat] = f"self.{flat} = {_constructor(layer)}"
            weights |= {f"{flat}.{key}": tensor for key, tensor in layer.state_dict().items()}
        elif node.op == "get_attr":
            tensor = _attribute(module, path)
            node.target = flat = names.of(path)
            attributes[flat] = _tensor_text(flat, tensor)
            weights[flat] = tensor.detach()
    argument = _argument(graph)
    statements, imports = _body(graph)
    return Code(tuple(attributes.values()), statements, argument, weights, imports)


def _attribute(module: nn.Module, path: str) -> torch.Tensor:
    found: Any = module
    for part in path.split("."):
        found = getattr(found, part)
    if not isinstance(found, torch.Tensor):
        raise _UnwritableError(f"{path} is a {type(found).__name__}")
    return found


def _tensor_text(name: str, tensor: torch.Tensor) -> str:
    empty = f"torch.zeros({tuple(tensor.shape)}, dtype={tensor.dtype})"
    if isinstance(tensor, nn.Parameter):
        return f"self.{name} = nn.Parameter({empty}, requires_grad={tensor.requires_grad})"
    return f'self.register_buffer("{name}", {empty})'


def _constructor(layer: nn.Module) -> str:
    """How a layer of torch was made, from what it remembers of its arguments."""
    kind = type(layer)
    if getattr(nn, kind.__name__, None) is not kind:
        raise _UnwritableError(f"{kind.__name__} is no layer of torch.nn")
    written = []
    for parameter in inspect.signature(kind).parameters.values():
        if parameter.name in ("device", "dtype") or not hasattr(layer, parameter.name):
            continue
        value = getattr(layer, parameter.name)
        if parameter.name == "bias" or isinstance(value, torch.Tensor):
            value = value is not None and value is not False
        if not isinstance(value, int | float | str | tuple | list | None):
            raise _UnwritableError(f"{kind.__name__}.{parameter.name} is a {type(value).__name__}")
        value = _short(value)
        if parameter.default is parameter.empty:
            written.append(repr(value))
        elif value != parameter.default and value != _short(parameter.default):
            written.append(f"{parameter.name}={value!r}")
    return f"nn.{kind.__name__}({', '.join(written)})"


def _short(value: Any) -> Any:
    """(3, 3) as 3, which every layer that takes the one takes the other for."""
    if isinstance(value, tuple) and len(value) > 1 and len(set(value)) == 1:
        return value[0]
    return value


class _Names:
    """Flat names for paths of modules, each its own."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}

    def of(self, path: str) -> str:
        if path not in self._taken:
            name = re.sub(r"\W", "_", path)
            if not name.isidentifier() or keyword.iskeyword(name) or hasattr(nn.Module, name):
                name = f"layer_{name}"
            while name in self._taken.values():
                name += "_"
            self._taken[path] = name
        return self._taken[path]


def _argument(graph: fx.Graph) -> str:
    """The name of the input, made one that hides nothing of Python's."""
    node = next(node for node in graph.nodes if node.op == "placeholder")
    node._rename("x")
    node.target = node.name
    return str(node.name)


def _body(graph: fx.Graph) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The statements of ``forward``, without what fx adds to free memory, and their imports."""
    for node in graph.nodes:
        node.type = None
    text = graph.python_code("self")
    lines = [line.strip() for line in text.src.splitlines()]
    start = next(i for i, line in enumerate(lines) if line.startswith("def forward"))
    body = [NOTE.sub("", CLOSE.sub("", line)) for line in lines[start + 1 :]]
    words = set(re.findall(r"\w+", "\n".join(body)))
    used = {name: value for name, value in text.globals.items() if name in words}
    imports = tuple(filter(None, (_import(name, value) for name, value in used.items())))
    return tuple(line for line in body if line), imports


def _import(name: str, value: Any) -> str:
    if value is torch or inspect.isbuiltin(value):
        return ""
    if inspect.ismodule(value) and value.__name__.split(".")[0] in ("torch", "math"):
        return f"import {value.__name__} as {name}"
    if name in CONSTANTS:
        return f"from {'torch' if name == 'device' else 'math'} import {name}"
    raise _UnwritableError(f"it uses {name}, which is no part of torch")


# -- by torch's own export -------------------------------------------------------------


def _exported(module: nn.Module, example: torch.Tensor) -> Code:
    batch = torch.export.Dim("batch", min=1)
    program = torch.export.export(module, (example,), dynamic_shapes=({0: batch},))
    unlifted = program.module()
    graph: fx.Graph = unlifted.graph
    names = _Names()
    attributes: dict[str, str] = {}
    weights: dict[str, torch.Tensor] = {}
    for node in list(graph.nodes):
        if node.op == "call_module":  # guards on the shapes of inputs
            graph.erase_node(node)
        elif node.op == "get_attr":
            tensor = _attribute(unlifted, str(node.target))
            node.target = flat = names.of(str(node.target))
            attributes[flat] = _tensor_text(flat, tensor)
            weights[flat] = tensor.detach()
    graph.set_codegen(fx.graph.CodeGen())
    argument = _argument(graph)
    statements, imports = _body(graph)
    *before, last = statements
    if last.startswith("return ("):  # a tuple of one
        last = re.sub(r"^return \((\w+),\)$", r"return \1", last)
    return Code(tuple(attributes.values()), (*before, last), argument, weights, imports)
