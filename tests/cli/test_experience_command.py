"""``metanas experience`` as users call it."""

from __future__ import annotations

from pathlib import Path

from helpers import last_json, metanas
from made_runs import made_runs


def test_trials_are_synced_and_shown(home: Path, template_database: Path) -> None:
    made_runs(template_database, home, 30, a_search=10, tasks=2)
    nothing = metanas("experience", "show", home=home)
    assert "metanas experience sync" in nothing.stdout
    result = last_json(metanas("experience", "sync", "--json", home=home))
    assert (result["new"], result["removed"], result["broken"], result["rows"]) == (30, 0, {}, 30)
    again = metanas("experience", "sync", "--full", home=home)
    assert again.stdout.startswith("30 new, 0 removed, 30 trials in ")
    assert again.stderr == ""
    shown = last_json(metanas("experience", "show", "--json", home=home))
    assert shown["trials"] == 30
    assert [(f["task"], f["space"], f["trials"], f["searches"]) for f in shown["found"]] == [
        ("task0", "made", 20, 2),
        ("task1", "made", 10, 1),
    ]
    table = metanas("experience", "show", home=home).stdout
    assert "MLflow at home" in table
    assert table.splitlines()[-1] == "30 trials"


def test_runs_of_others_are_imported_and_what_is_left_out_is_said(
    home: Path, tmp_path: Path, template_database: Path
) -> None:
    made_runs(template_database, home, 5)
    mapping = tmp_path / "map.toml"
    mapping.write_text(
        'experiment = "metanas"\ntask = "t"\n[objective]\nmetric = "accuracy"\ngoal = "max"\n'
        '[choices]\n"choice.width" = "width"\n'
    )
    command = ("experience", "import", "--mapping", str(mapping))
    said = metanas(*command, home=home)
    assert said.stdout.startswith("0 runs of 'metanas' are trials of task 't' now")
    assert "6 runs were left out:\n  6: metanas wrote it" in said.stderr
    mapping.write_text(mapping.read_text().replace("goal", "gaol"))
    wrong = metanas(*command, home=home)
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert wrong.stderr.startswith(f"ConfigError: {mapping}: 'gaol' is no key of objective")
    assert len(wrong.stderr.splitlines()) == 1


def test_the_mapping_that_help_shows_is_one(home: Path, tmp_path: Path) -> None:
    from metanas.stores.experience import read_mapping

    text = metanas("experience", "import", "--help", home=home).stdout
    example = text[text.index("experiment =") : text.index("Options:")]
    (tmp_path / "map.toml").write_text(example)
    (tmp_path / "my_net.py").write_text(
        "from metanas.core.space import Choice, Space\n"
        "choices = (Choice('width', (16, 32)), Choice('depth', (3, 4)))\n"
        "space = Space('s', choices, lambda *_: None)\n"
    )
    mapped = read_mapping(tmp_path / "map.toml")
    assert mapped.values_of({"conv_width": "small"}) == {"width": 16, "depth": 3}
    assert mapped.values_of({"conv_width": "32"}) == {"width": 32, "depth": 3}
    assert (mapped.where, mapped.epochs, mapped.cost) == (
        "params.net = 'cnn'", "n_epochs", "train_seconds"
    )  # fmt: skip
