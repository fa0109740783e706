"""Looking up spaces, tasks, strategies and the like by name, and giving them options.

A plug-in is a module that defines one constant: ``metanas.spaces.<name>.SPACE`` and so
on; a constant of another package, announced as an entry point of the group
``metanas.<kind>``; or a constant in a user's own file, named ``my_net.py:space``. A file
travels to workers as its text, never as a path or a pickle.

Listing reads files and imports nothing. Looking up imports the one module asked for.
"""

from __future__ import annotations

import ast
import hashlib
import importlib
import importlib.metadata
import importlib.util
import inspect
import sys
import types
from collections.abc import Callable, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from metanas.core.errors import ConfigError, MetanasError, PluginError, unknown
from metanas.core.paths import expanded
from metanas.core.space import Value

CONSTANTS: Mapping[str, str] = {
    "spaces": "SPACE",
    "tasks": "TASK",
    "strategies": "STRATEGY",
    "estimators": "ESTIMATOR",
    "objectives": "OBJECTIVE",
    "executors": "EXECUTOR",
}


_EXECUTING: ContextVar[str] = ContextVar("executing", default="")


@dataclass(frozen=True)
class Reference:
    """What to look up, and with which options: plain data that any process can resolve.

    Args:
        kind: One of `CONSTANTS`.
        name: Of the plug-in, or ``file.py:name``.
        options: Keyword arguments, sorted by name.
        source: The text of the user's own file.
    """

    kind: str
    name: str
    options: tuple[tuple[str, Any], ...] = ()
    source: str | None = None


@dataclass(frozen=True)
class Listed:
    """A plug-in that exists: its name, first line of documentation, and where it comes from."""

    name: str
    summary: str
    origin: str


def read_source(kind: str, name: str) -> tuple[str, str | None]:
    """A plug-in's name without folders, and the text of the user's own file where it names one.

    Raises:
        PluginError: If the file cannot be read.
        ConfigError: If its path begins with a ``~`` that is nobody's.
    """
    path, separator, attribute = name.rpartition(":")
    if not separator:
        return name, None
    try:
        text = expanded(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise PluginError(f"{kind}: cannot read '{path}': {reason}") from None
    return f"{Path(path).name}:{attribute}", text


def reference(
    kind: str, name: str, options: Mapping[str, Any] | None = None, source: str | None = None
) -> Reference:
    """Refer to a plug-in, checked: the border where names and options enter.

    Args:
        kind: One of `CONSTANTS`.
        name: Of the plug-in, or ``file.py:name``.
        options: By name; text is brought to the type that the plug-in declares.
        source: The text of the user's own file, where it was read before.

    Raises:
        PluginError: If there is no such name, or the file cannot be read or imported.
        ConfigError: If the plug-in does not have one of the options.
    """
    if source is None:
        name, source = read_source(kind, name)
    elif ":" in name:
        path, _, attribute = name.rpartition(":")
        name = f"{Path(path).name}:{attribute}"
    bare = Reference(kind, name, (), source)
    given = {} if options is None else options
    return Reference(kind, name, tuple(sorted(_checked(bare, given).items())), source)


def resolve(wanted: Reference) -> Any:
    """The plug-in that a reference names, with its options bound.

    A constant that takes options becomes a function that has them already: what it does
    with its remaining arguments is the business of its kind.

    Raises:
        PluginError: If it is not there, or its module fails to import.
    """
    plugin = _constant(wanted.kind, wanted.name, wanted.source)
    if not wanted.options:
        return plugin
    options = dict(wanted.options)
    return lambda *args, **kwargs: plugin(*args, **{**options, **kwargs})


def listing(kind: str) -> list[Listed]:
    """All plug-ins of a kind, sorted by name, without importing any.

    Raises:
        ConfigError: If there is no such kind.
    """
    if kind not in CONSTANTS:
        raise ConfigError(f"no kind '{kind}'{unknown(kind, CONSTANTS)}")
    found = {name: Listed(name, _summary(path), "metanas") for name, path in _files(kind).items()}
    for entry in _entry_points(kind):
        found.setdefault(entry.name, Listed(entry.name, "", entry.value))
    return [found[name] for name in sorted(found)]


def readers() -> dict[str, str]:
    """Which task plug-in reads which files: what each module's ``READS`` says, by suffix."""
    found: dict[str, str] = {}
    for name, path in _files("tasks").items():
        for node in _parsed(path).body:
            if isinstance(node, ast.Assign) and _targets(node, "READS"):
                found |= dict.fromkeys(ast.literal_eval(node.value), name)
    for entry in _entry_points("tasks"):
        module = importlib.import_module(entry.module)
        for suffix in getattr(module, "READS", ()):
            found.setdefault(suffix, entry.name)
    return found


def options_of(wanted: Reference) -> dict[str, inspect.Parameter]:
    """The options that a plug-in takes: its keyword-only parameters with a default."""
    plugin = _constant(wanted.kind, wanted.name, wanted.source)
    if not callable(plugin):
        return {}
    parameters = inspect.signature(plugin, eval_str=True).parameters.values()
    return {
        parameter.name: parameter
        for parameter in parameters
        if parameter.kind is parameter.KEYWORD_ONLY and parameter.default is not parameter.empty
    }


def _checked(wanted: Reference, options: Mapping[str, Any]) -> dict[str, Any]:
    if not options:
        _constant(wanted.kind, wanted.name, wanted.source)
        return {}
    known = options_of(wanted)
    for name in options:
        if name not in known:
            raise ConfigError(
                f"{wanted.kind} '{wanted.name}' has no option '{name}'{unknown(name, known)}"
            )
    return {
        name: _coerced(value, known[name], f"option '{name}' of {wanted.kind} '{wanted.name}'")
        for name, value in options.items()
    }


def _coerced(value: Any, parameter: inspect.Parameter, where: str) -> Value | None:
    """Bring a value, perhaps the text of one, to the type that the parameter declares."""
    kinds: dict[type, Callable[[str], Value]] = {int: int, float: float, str: str, bool: _boolean}
    declared = parameter.annotation
    optional = type(None) in getattr(declared, "__args__", ())
    if optional and (value is None or (isinstance(value, str) and value.lower() == "none")):
        return None
    for kind in (bool, int, float, str):
        if declared is kind or kind in getattr(declared, "__args__", ()):
            break
    else:
        kind = type(parameter.default)
    if isinstance(value, kind) and not (kind is not bool and isinstance(value, bool)):
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    try:
        if isinstance(value, str):
            return kinds[kind](value)
    except (ValueError, KeyError):
        pass
    raise ConfigError(f"{where} is {value!r}, expected {kind.__name__}")


def _boolean(text: str) -> bool:
    if text.lower() in ("true", "yes", "on", "1"):
        return True
    if text.lower() in ("false", "no", "off", "0"):
        return False
    raise ValueError(text)


def _files(kind: str) -> dict[str, Path]:
    """Built-in plug-ins of a kind: the modules that define its constant."""
    package = importlib.util.find_spec(f"metanas.{kind}")
    folders = [] if package is None else list(package.submodule_search_locations or ())
    return {
        path.stem: path
        for folder in folders
        for path in sorted(Path(folder).glob("[!_]*.py"))
        if _defines(path, CONSTANTS[kind])
    }


def _parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"))


def _defines(path: Path, constant: str) -> bool:
    return any(_targets(node, constant) for node in _parsed(path).body)


def _targets(node: ast.stmt, constant: str) -> bool:
    targets = node.targets if isinstance(node, ast.Assign) else []
    annotated = [node.target] if isinstance(node, ast.AnnAssign) else []
    return any(isinstance(t, ast.Name) and t.id == constant for t in (*targets, *annotated))


def _summary(path: Path) -> str:
    text = ast.get_docstring(_parsed(path)) or ""
    return text.partition("\n")[0].rstrip(".")


def _entry_points(kind: str) -> list[importlib.metadata.EntryPoint]:
    return list(importlib.metadata.entry_points(group=f"metanas.{kind}"))


@lru_cache(maxsize=64)
def _constant(kind: str, name: str, source: str | None) -> Any:
    if source is not None:
        return _from_source(kind, name, source)
    try:
        importlib.import_module(f"metanas.{kind}")
        module = importlib.import_module(f"metanas.{kind}.{name}") if name.isidentifier() else None
    except ModuleNotFoundError as error:
        if error.name not in (f"metanas.{kind}", f"metanas.{kind}.{name}"):
            raise PluginError(
                f"{kind} '{name}' needs '{error.name}', which is not installed"
            ) from None
        module = None
    if module is not None and hasattr(module, CONSTANTS[kind]):
        return getattr(module, CONSTANTS[kind])
    for entry in _entry_points(kind):
        if entry.name == name:
            try:
                return entry.load()
            except Exception as error:
                raise PluginError(
                    f"{kind} '{name}' from {entry.value} fails on import: "
                    f"{type(error).__name__}: {error}"
                ) from error
    names = [listed.name for listed in listing(kind)]
    raise PluginError(f"no '{name}' in {kind}{unknown(name, names)}")


def executing() -> str:
    """The name of the user's file that is being run as the source of a plug-in, or ""."""
    return _EXECUTING.get()


def _from_source(kind: str, name: str, source: str) -> Any:
    """Run a user's file as a module of a fixed name, and take one constant out of it."""
    filename, _, attribute = name.rpartition(":")
    digest = hashlib.sha256(source.encode()).hexdigest()[:12]
    module_name = f"metanas_user_{digest}"
    module = sys.modules.get(module_name)
    if module is None:
        module = types.ModuleType(module_name)
        module.__file__ = filename
        sys.modules[module_name] = module
        mark = _EXECUTING.set(filename)
        try:
            exec(compile(source, filename, "exec"), module.__dict__)
        except MetanasError:
            del sys.modules[module_name]
            raise
        except (Exception, SystemExit) as error:
            del sys.modules[module_name]
            place = _line_of(error, filename)
            raise PluginError(
                f"{kind}: {filename}{place} fails on import: {type(error).__name__}: {error}"
            ) from error
        finally:
            _EXECUTING.reset(mark)
    if not hasattr(module, attribute):
        names = [n for n in vars(module) if not n.startswith("_")]
        raise PluginError(f"{kind}: no '{attribute}' in {filename}{unknown(attribute, names)}")
    return getattr(module, attribute)


def _line_of(error: BaseException, filename: str) -> str:
    if isinstance(error, SyntaxError):
        return f":{error.lineno}"
    place, traceback = "", error.__traceback__
    while traceback is not None:
        if traceback.tb_frame.f_code.co_filename == filename:
            place = f":{traceback.tb_lineno}"
        traceback = traceback.tb_next
    return place
