from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metanas.core.errors import ConfigError, PluginError
from metanas.core.plugins import (
    CONSTANTS,
    Reference,
    executing,
    listing,
    options_of,
    read_source,
    reference,
    resolve,
)
from metanas.core.space import Space

FILE = '''
"""A user's own file."""
from metanas.core.space import Choice, Space

def build(values, shape, outputs):
    raise NotImplementedError

space = Space("mine", (Choice("width", (1, 2)),), build)

def made(*, width: int = 1, rate: float = 0.5, fast: bool = False, name: str = "a", top: int | None = None):
    return width, rate, fast, name, top
'''


def written(folder: Path, text: str = FILE, name: str = "my_net.py") -> str:
    (folder / name).write_text(text)
    return str(folder / name)


@pytest.mark.parametrize("kind", sorted(CONSTANTS))
def test_every_plug_in_that_is_listed_can_be_looked_up_and_says_what_it_is(kind: str) -> None:
    found = listing(kind)
    assert [listed.name for listed in found] == sorted(listed.name for listed in found)
    for listed in found:
        assert listed.summary
        assert resolve(reference(kind, listed.name)) is not None


def test_the_listing_knows_the_first_plug_ins() -> None:
    assert {"cnn", "nasbench201"} <= {listed.name for listed in listing("spaces")}
    assert {"random", "evolution"} <= {listed.name for listed in listing("strategies")}
    assert {"digits", "mnist5k", "parquet"} <= {listed.name for listed in listing("tasks")}
    assert "classification" not in {listed.name for listed in listing("tasks")}


@pytest.mark.parametrize("name", ["evolutoin", "../evolution", "_cells", "", "os.path"])
def test_an_unknown_name_is_refused_with_the_known_ones(name: str) -> None:
    with pytest.raises(
        PluginError, match=rf"no '{name}' in strategies.* Known: .*evolution.*random"
    ):
        reference("strategies", name)


def test_a_name_that_is_nearly_right_gets_a_suggestion() -> None:
    with pytest.raises(PluginError, match="did you mean 'evolution'"):
        reference("strategies", "evolutoin")


def test_an_unknown_kind_is_refused() -> None:
    with pytest.raises(ConfigError, match="no kind 'spices'; did you mean 'spaces'"):
        listing("spices")


def test_an_unknown_option_is_refused_with_the_known_ones() -> None:
    message = "strategies 'evolution' has no option 'populaton'; did you mean 'population'"
    with pytest.raises(ConfigError, match=message):
        reference("strategies", "evolution", {"populaton": 5})


def test_a_plug_in_without_options_refuses_any() -> None:
    with pytest.raises(ConfigError, match="spaces 'cnn' has no option 'cells'. Known: none"):
        reference("spaces", "cnn", {"cells": 1})


def test_options_are_bound_to_the_plug_in() -> None:
    wanted = reference("strategies", "evolution", {"sample": "2", "population": "4"})
    assert wanted.options == (("population", 4), ("sample", 2))
    assert set(options_of(wanted)) == {"population", "sample"}
    with pytest.raises(ConfigError, match="sample is 9"):
        resolve(reference("strategies", "evolution", {"sample": 9, "population": 4}))(None)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ({"width": "3"}, ("width", 3)),
        ({"rate": "1e-3"}, ("rate", 1e-3)),
        ({"rate": 1}, ("rate", 1.0)),
        ({"fast": "yes"}, ("fast", True)),
        ({"fast": "False"}, ("fast", False)),
        ({"name": "7"}, ("name", "7")),
        ({"top": "7"}, ("top", 7)),
    ],
)
def test_text_is_brought_to_the_declared_type(
    tmp_path: Path, given: dict[str, Any], expected: tuple[str, Any]
) -> None:
    found = reference("spaces", f"{written(tmp_path)}:made", given).options
    assert found == (expected,)
    assert type(found[0][1]) is type(expected[1])


@pytest.mark.parametrize(
    ("given", "kind"),
    [
        ({"width": "3.5"}, "int"),
        ({"width": True}, "int"),
        ({"rate": "fast"}, "float"),
        ({"rate": True}, "float"),
        ({"fast": "perhaps"}, "bool"),
        ({"name": 3}, "str"),
        ({"width": None}, "int"),
    ],
)
def test_a_value_of_the_wrong_type_is_refused(
    tmp_path: Path, given: dict[str, Any], kind: str
) -> None:
    (name,) = given
    with pytest.raises(ConfigError, match=f"option '{name}' of spaces .*, expected {kind}"):
        reference("spaces", f"{written(tmp_path)}:made", given)


def test_a_file_of_the_user_travels_as_its_text(tmp_path: Path) -> None:
    path = written(tmp_path)
    wanted = reference("spaces", f"{path}:space")
    Path(path).unlink()
    assert wanted.name == "my_net.py:space"
    assert wanted.source == FILE
    space = resolve(Reference(*(wanted.kind, wanted.name, wanted.options, wanted.source)))
    assert isinstance(space, Space)
    assert space.name == "mine"


def test_a_file_that_was_read_before_is_not_read_again(tmp_path: Path) -> None:
    name, source = read_source("spaces", f"{written(tmp_path)}:space")
    assert reference("spaces", name, source=source) == Reference("spaces", name, (), FILE)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("x = 1\nimport no_such_module\n", "my_net.py:2 fails on import: ModuleNotFoundError"),
        ("x = (\n", "my_net.py:1 fails on import: SyntaxError"),
        ("spice = 1\n", "no 'space' in my_net.py; did you mean 'spice'"),
    ],
)
def test_a_file_that_cannot_be_used_is_named_with_its_line(
    tmp_path: Path, text: str, message: str
) -> None:
    with pytest.raises(PluginError, match=message):
        reference("spaces", f"{written(tmp_path, text)}:space")


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="cannot read '.*none.py': No such file"):
        reference("spaces", f"{tmp_path}/none.py:space")


def test_a_file_that_is_no_text_is_named(tmp_path: Path) -> None:
    (tmp_path / "bytes.py").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PluginError, match="cannot read '.*bytes.py'"):
        reference("spaces", f"{tmp_path}/bytes.py:space")


def test_an_option_that_may_be_none_is_given_as_none(tmp_path: Path) -> None:
    file = tmp_path / "mine.py"
    file.write_text("def strategy(context, *, size: int | None = 3):\n    return size\n")
    for text, expected in (("none", None), ("4", 4)):
        found = reference("strategies", f"{file}:strategy", {"size": text})
        assert resolve(found)(None) == expected


def test_readers_are_known_by_the_suffix_of_a_file() -> None:
    from metanas.core.plugins import readers

    assert readers()[".parquet"] == "parquet"


def test_a_file_knows_while_it_is_run_that_it_is_a_plug_in(tmp_path: Path) -> None:
    text = "from metanas.core.plugins import executing\nname = executing()\n"
    assert resolve(reference("spaces", f"{written(tmp_path, text)}:name")) == "my_net.py"
    assert executing() == ""


def test_a_home_of_nobody_is_refused() -> None:
    with pytest.raises(ConfigError, match="there is no folder '~nobody-here' here"):
        read_source("spaces", "~nobody-here/my_net.py:space")
