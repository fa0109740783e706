"""Writes the folder of a winner: code, weights, recipe, sample, check, and ONNX if it can."""

from __future__ import annotations

import importlib.util
import json
import logging
import os
import shutil
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from metanas.core.errors import ConfigError
from metanas.export import _texts

if TYPE_CHECKING:
    import torch
    from torch import nn

    from metanas.export._code import Code

FILES = {
    *("README.md", "__pycache__", "check.py", "model.onnx", "model.py", "recipe.json"),
    *("sample.safetensors", "weights.safetensors"),
}
ONNX_NEEDS = ("onnx", "onnxscript")


@dataclass(frozen=True)
class Winner:
    """A trained network and what is known of it.

    Args:
        name: Of the search.
        title: One line on what it is.
        module: With its weights, on the CPU.
        mean: Of the pixels it was trained on, ``[channels]``.
        deviation: The same.
        samples: Up to eight inputs, ``[n, *shape]``, uint8.
        classes: What each output stands for.
        recipe: How it was made: plain JSON.
    """

    name: str
    title: str
    module: nn.Module
    mean: torch.Tensor
    deviation: torch.Tensor
    samples: npt.NDArray[np.uint8]
    classes: Sequence[str]
    recipe: Mapping[str, Any]


def write_folder(winner: Winner, to: Path, *, onnx: bool = True) -> str:
    """Write the folder, whole or not at all.

    Args:
        winner: What to write.
        to: The folder; it must not exist, or be empty or an earlier export.
        onnx: Whether to write ``model.onnx`` where its packages are installed.

    Returns:
        Why there is no ``model.onnx``; "" if there is one.

    Raises:
        ConfigError: If something else is at `to`.
        MetanasError: If the network cannot be written as code.
    """
    to = to.resolve()
    check_place(to)
    part = to.with_name(f".{to.name}.part-{os.getpid()}")
    old = to.with_name(f".{to.name}.old-{os.getpid()}")
    shutil.rmtree(part, ignore_errors=True)
    try:
        part.mkdir(parents=True)
        missing = _write(winner, part, onnx)
        if to.exists():
            to.replace(old)
        part.replace(to)
    except OSError as error:
        raise ConfigError(f"cannot write {to}: {error.strerror or error}") from None
    finally:
        shutil.rmtree(part, ignore_errors=True)
    shutil.rmtree(old, ignore_errors=True)
    return missing


def check_place(to: Path) -> None:
    """Show that a folder can be written, before there is anything to lose.

    Raises:
        ConfigError: If something else than an export is there, or nothing can be written.
    """
    if to.exists() and not _replaceable(to):
        raise ConfigError(f"{to} is there already and is no export, choose another folder")
    above = next(folder for folder in to.parents if folder.exists())
    if not above.is_dir() or not os.access(above, os.W_OK):
        raise ConfigError(f"cannot write {to}: {above} is not writable")


def remove_folder(to: Path) -> bool:
    """Remove an export that no longer holds; whether there was one.

    Raises:
        ConfigError: If something else lies there or beside it, or it cannot be removed.
    """
    if not to.is_dir() or not any(to.iterdir()):
        return False
    if to.is_symlink() or not _replaceable(to):
        raise ConfigError(f"{to} holds what no export wrote, and is left as it is")
    try:
        shutil.rmtree(to)
    except OSError as error:
        raise ConfigError(f"cannot remove {to}: {error.strerror or error}") from None
    return True


def _replaceable(to: Path) -> bool:
    """Empty, or an export and nothing beside it: what else lies there is not ours to remove."""
    if not to.is_dir():
        return False
    names = {path.name for path in to.iterdir()}
    if not names:
        return True
    try:
        recipe = json.loads((to / "recipe.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return False
    return names <= FILES and isinstance(recipe, dict) and "weights_sha256" in recipe


def _write(winner: Winner, folder: Path, onnx: bool) -> str:
    import torch
    from safetensors.torch import save

    from metanas.export._code import plain_code

    view = (1, -1, *(1 for _ in winner.samples.shape[2:]))
    mean, deviation = winner.mean.view(view), winner.deviation.view(view)
    inputs = torch.from_numpy(np.ascontiguousarray(winner.samples))
    scaled = (inputs.float() - mean) / deviation
    module = winner.module.eval()
    with torch.no_grad():
        outputs = module(scaled)
    code = plain_code(module, scaled)
    weights = {f"network.{name}": tensor for name, tensor in code.weights.items()}
    weights |= {"mean": mean, "deviation": deviation}
    _bytes(folder / "weights.safetensors", save({n: _own(t) for n, t in weights.items()}))
    sample = {"inputs": _own(inputs), "outputs": _own(outputs)}
    _bytes(folder / "sample.safetensors", save(sample))
    _text(folder / "model.py", _model_text(winner, code, outputs.shape[1], mean))
    _text(folder / "check.py", _texts.CHECK.format())
    recipe = {**winner.recipe, "classes": list(winner.classes)}
    _text(folder / "recipe.json", json.dumps(recipe, indent=2) + "\n")
    missing = "it was not asked for"
    if onnx:
        needed = [name for name in ONNX_NEEDS if importlib.util.find_spec(name) is None]
        missing = f"{' and '.join(needed)} not installed (the extra 'onnx')" if needed else ""
        if not needed:
            _write_onnx(folder, inputs.float())
    _text(folder / "README.md", _readme_text(winner, missing))
    return missing


def _own(tensor: torch.Tensor) -> torch.Tensor:
    return tensor.detach().contiguous().clone()


def _text(path: Path, content: str) -> None:
    """In UTF-8 whatever the locale; a file's name that is no text stays readable."""
    path.write_text(content, encoding="utf-8", errors="backslashreplace")


def _bytes(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def _model_text(winner: Winner, code: Code, outputs: int, mean: torch.Tensor) -> str:
    from metanas.export._code import class_text

    shape = winner.samples.shape[1:]
    return _texts.MODEL.format(
        title=_in_docstring(winner.title),
        shape=", ".join(map(str, shape)),
        shape_tuple=tuple(shape),
        outputs=outputs,
        view=", ".join(map(str, mean.shape)),
        imports="".join(f"{line}\n" for line in code.imports),
        classes=repr(list(winner.classes)),
        network=class_text(code),
    )


def _in_docstring(text: str) -> str:
    """Names of tasks are a user's: they may hold what would end the docstring or change it."""
    return text.replace("\\", "\\\\").replace('"', '\\"')


def _readme_text(winner: Winner, missing: str) -> str:
    recipe = winner.recipe
    scores = ", ".join(f"{name} {value:.4f}" for name, value in recipe["test"].items())
    return _texts.README.format(
        name=winner.name,
        title=winner.title,
        shape=", ".join(map(str, winner.samples.shape[1:])),
        scores=f"Scored once on test data: {scores}." if scores else "Not scored on test data.",
        onnx="" if missing else "| `model.onnx` | the same network for other runtimes |\n",
        architecture="\n".join(f"- {k}: {v}" for k, v in recipe["architecture"].items()),
    )


def _write_onnx(folder: Path, inputs: torch.Tensor) -> None:
    """Through the exported code itself, so that both files hold the same network."""
    import torch

    spec = importlib.util.spec_from_file_location("exported_model", folder / "model.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    level = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.onnx.export(
                module.load(),
                (inputs,),
                str(folder / "model.onnx"),
                input_names=["images"],
                output_names=["scores"],
                dynamic_shapes=({0: torch.export.Dim("n", min=1)},),
                dynamo=True,
                external_data=False,
                verbose=False,
            )
    finally:
        logging.disable(level)
    shutil.rmtree(folder / "__pycache__", ignore_errors=True)
