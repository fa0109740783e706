from __future__ import annotations

import colorsys
import dataclasses
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from xml.etree import ElementTree

import pytest
from stories import ACCURACY, CHOICES, GRAPH, PARAMS, space_of, story, trial, trials

from metanas.core.front import wish
from metanas.core.history import Final
from metanas.core.objective import Objective
from metanas.core.space import Choice, check
from metanas.core.trial import Outcome, Trial
from metanas.report import Story, write_report
from metanas.report._page import page
from metanas.report._style import CSS
from metanas.report._words import duration, plain, quantity, short
from metanas.report.write import pictures_of

HOSTILE = "<script>alert(1)</script> & \"'$\\frac{ </title>\x00\x1b[31m\ud800]]>"
LATENCY = Objective("latency_ms", "ms", "min", limit=2.0)
PNG = b"\x89PNG\r\n"


def page_of(told: Story) -> str:
    return page(told, pictures_of(told))


def parsed(text: str) -> ElementTree.Element:
    """The page as XML, which is stricter than HTML."""
    assert text.startswith("<!DOCTYPE html>\n")
    return ElementTree.fromstring(text.removeprefix("<!DOCTYPE html>\n"))


def words(text: str) -> str:
    body = parsed(text).find("body")
    assert body is not None
    return plain(" ".join(body.itertext()))


def headline(text: str) -> str:
    return parsed(text).findtext(".//h1") or ""


def figures(folder: Path) -> set[str]:
    return {path.stem for path in (folder / "figures").iterdir()}


def with_latency(ended: list[Trial]) -> list[Trial]:
    found = []
    for each in ended:
        params = each.metrics.get("params")
        extra = {} if params is None else {"latency_ms": 0.5 + params / 2000}
        found.append(dataclasses.replace(each, metrics={**each.metrics, **extra}))
    return found


STORIES: dict[str, Callable[[], Story]] = {
    "nothing has ended": lambda: story((), aim=24),
    "all failed": lambda: story(trials(6, every=1)),
    "one trial": lambda: story(trials(1)),
    "some failed": lambda: story(trials(24, every=5)),
    "running": lambda: story(trials(7, every=3), final=False, aim=24),
    "several objectives with limits": lambda: story(
        with_latency(trials(30, every=7)),
        (dataclasses.replace(ACCURACY, limit=0.9), LATENCY, PARAMS),
    ),
    "no graph": lambda: story(trials(5), graph=()),
    "no choices": lambda: story(trials(5), choices=()),
    "no objective": lambda: story((), (), aim=3),
}


@pytest.fixture(params=STORIES, ids=lambda name: name.replace(" ", "-"))
def told(request: pytest.FixtureRequest) -> Story:
    return STORIES[request.param]()


def test_whatever_there_is_to_tell_gives_a_page_that_stands_alone(
    told: Story,
) -> None:
    text = page_of(told)
    found = parsed(text)
    assert found.findtext("head/title")
    assert found.get("lang") == "en"
    tags = {element.tag for element in found.iter()}
    assert not tags & {"script", "link", "img", "iframe", "image", "use"}
    assert not re.search(r"@import|url\(|xlink|src=|https?://", text)
    assert not [
        e for e in found.iter() if e.get("id") or any(key.startswith("on") for key in e.attrib)
    ]


def test_every_figure_says_what_it_shows(told: Story) -> None:
    for element in parsed(page_of(told)).iter("svg"):
        assert element.get("aria-hidden") or (element.get("role") and element.get("aria-label"))


def test_every_picture_is_there_as_a_png_file_too(told: Story, tmp_path: Path) -> None:
    path = write_report(told, tmp_path)
    assert path == tmp_path / "report.html"
    assert path.read_text(encoding="utf-8") == page_of(told)
    for path in (tmp_path / "figures").iterdir():
        assert path.suffix == ".png"
        assert path.read_bytes().startswith(PNG)
    wanted = {"time"} if told.trials else set()
    wanted |= {"failures"} if told.failures else set()
    wanted |= {"progress", "tradeoff"} if told.measured else set()
    wanted |= {"choices"} if told.measured and told.choices else set()
    wanted |= {"network"} if told.graph else set()
    assert figures(tmp_path) == wanted


def test_the_same_story_gives_the_same_bytes(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        write_report(STORIES["some failed"](), tmp_path / folder)
    for path in (tmp_path / "one").rglob("*.*"):
        assert (
            path.read_bytes()
            == (tmp_path / "two" / path.relative_to(tmp_path / "one")).read_bytes()
        )


def test_the_headline_tells_the_search_in_a_sentence() -> None:
    told = STORIES["some failed"]()
    best, final = told.result.best, told.result.final
    assert best is not None
    assert final is not None
    said = headline(page_of(told))
    assert said.startswith(f"{len(told.trials)} architectures were tried on {told.task} in ")
    for part in (
        duration(told.seconds),
        f"the winner, trial {best.number},",
        quantity("accuracy", "", final.outcome.metrics["accuracy"], "test "),
        quantity("params", "", best.metrics["params"]),
        f"it was picked as {told.result.why}.",
    ):
        assert part in said


def test_a_running_search_has_a_leader_and_no_test_score() -> None:
    told = STORIES["running"]()
    text = page_of(told)
    assert headline(text).startswith("7 of 24 trials have ended")
    assert "the best so far" in headline(text)
    assert "test accuracy" not in words(text)
    assert f"metanas resume {told.name}" in words(text)
    assert "metanas export" not in words(text)


def test_a_score_of_another_trial_is_not_the_winners() -> None:
    told = story(trials(8))
    other = Final(999, 9, Outcome("completed", {"accuracy": 0.123}, 1.0))
    changed = dataclasses.replace(told, result=dataclasses.replace(told.result, final=other))
    assert "test accuracy" not in headline(page_of(changed))


def test_a_failed_final_training_is_told() -> None:
    told = story(trials(8))
    assert told.result.best is not None
    failed = Final(told.result.best.number, 9, Outcome("diverged", {}, 1.0, "the loss became nan"))
    changed = dataclasses.replace(told, result=dataclasses.replace(told.result, final=failed))
    said = words(page_of(changed))
    assert "diverged, the loss became nan" in said
    assert "test accuracy" not in said


def test_when_all_failed_the_page_says_how_and_why() -> None:
    told = STORIES["all failed"]()
    text = page_of(told)
    assert headline(text).startswith("No architecture succeeded")
    for status, count in told.failures.items():
        assert f"{count} {status.replace('_', ' ')}" in headline(text)
        assert f"{status} on purpose" in words(text)


def test_that_none_failed_is_said_and_not_drawn() -> None:
    told = story(trials(5))
    assert "no trial failed" in words(page_of(told))
    assert pictures_of(told).failures is None


def test_the_table_of_several_objectives_is_the_front() -> None:
    told = STORIES["several objectives with limits"]()
    text = page_of(told)
    numbers = [
        int(cell.text or "")
        for cell in parsed(text).iterfind(".//table[1]/tbody/tr/th")
        if (cell.text or "").isdigit()
    ]
    assert told.result.best is not None
    assert numbers[0] == told.result.best.number
    assert sorted(numbers) == sorted(trial.number for trial in told.result.front)
    for objective in told.objectives[:2]:
        assert wish(objective) in words(text)


def test_the_table_of_one_objective_is_the_ten_best() -> None:
    told = story(trials(40))
    text = page_of(told)
    rows = parsed(text).findall(".//table/tbody/tr")
    best = sorted((t.metrics["accuracy"] for t in told.trials), reverse=True)[:10]
    assert [row.findtext("td") for row in rows] == [short(value) for value in best]
    assert "won" in (rows[0].get("class") or "")


def test_trials_from_memory_are_not_counted_as_tried() -> None:
    ended = trials(12)
    ended[-1] = dataclasses.replace(ended[-1], cached=True, seconds=0.0)
    text = page_of(story(ended))
    assert headline(text).startswith("11 architectures were tried")
    assert "1 answered from memory" in words(text)


# -- what comes from outside -------------------------------------------------------


def hostile() -> list[Story]:
    """One story without a winner and one with, in which everything that is a name is hostile."""
    choices = (Choice(HOSTILE, (HOSTILE, "other")), Choice("depth", (1, 2, 3), ordered=True))
    objective = Objective(HOSTILE, HOSTILE, "max", limit=0.1)
    ended = []
    for each in trials(9, choices, every=4):
        metrics = {HOSTILE: each.metrics["accuracy"]} if each.metrics else {}
        proposal = dataclasses.replace(each.proposal, reason=HOSTILE, settings={HOSTILE: HOSTILE})
        ended.append(dataclasses.replace(each, proposal=proposal, metrics=metrics, error=HOSTILE))
    told = story(
        ended,
        (objective, dataclasses.replace(PARAMS, name="cost")),
        name=HOSTILE,
        task=HOSTILE,
        space=HOSTILE,
        strategy=HOSTILE,
        tracking_uri=HOSTILE,
        choices=choices,
        task_facts={"rows": {HOSTILE: 3}, "classes": [HOSTILE]},
    )
    graph = tuple(dataclasses.replace(node, label=HOSTILE, operation=HOSTILE) for node in GRAPH)
    return [
        told,
        story(ended, (objective,), choices=choices, name=HOSTILE, task=HOSTILE, graph=graph),
    ]


def test_whatever_names_hold_is_shown_and_never_run() -> None:
    for told in hostile():
        text = page_of(told)
        assert "<script" not in text
        assert "\x00" not in text
        assert "\x1b" not in text
        assert plain(HOSTILE) in words(text)
        assert parsed(text).find(".//script") is None


def test_names_with_signs_of_formulas_are_drawn_as_they_are(tmp_path: Path) -> None:
    told = hostile()[-1]
    write_report(told, tmp_path)
    assert figures(tmp_path) == {"progress", "failures", "time", "choices", "network"}


def test_a_tracking_server_is_a_link_only_where_it_is_one() -> None:
    for uri, count in (("https://example.org/mlflow", 1), ("javascript:alert(1)", 0)):
        found = parsed(page_of(story(trials(2), tracking_uri=uri)))
        assert len(found.findall(".//a")) == count


# -- size and shape ----------------------------------------------------------------


def test_five_thousand_trials_make_a_page_below_two_megabytes() -> None:
    many = Choice("many", tuple(f"operation number {number}" for number in range(30)))
    choices = (*CHOICES, many, *(Choice(f"c{n}", tuple(range(6))) for n in range(6)))
    text = page_of(story(trials(5000, choices, every=11), choices=choices))
    assert len(text.encode()) < 2_000_000


def test_choices_of_one_option_and_of_many_are_shown() -> None:
    many = Choice("many", tuple(f"operation number {number}" for number in range(30)))
    choices = (Choice("only", ("this",)), many)
    found = parsed(page_of(story(trials(60, choices), choices=choices)))
    assert [each.text for each in found.iterfind(".//h3")] == ["many", "only"]
    strips = found.findall(".//div[@class='strips']/figure")
    assert "best 6 shown" in "".join(strips[0].itertext())


def test_metrics_that_some_trials_lack_leave_those_out() -> None:
    ended = trials(10)
    ended[3] = dataclasses.replace(ended[3], metrics={"params": 5.0})
    ended[4] = dataclasses.replace(ended[4], metrics={"accuracy": 0.5})
    told = story(ended)
    assert len(told.measured) == 9
    chart = parsed(page_of(told)).find(".//svg[@role='img']")
    assert chart is not None
    assert "9 trials" in (chart.get("aria-label") or "")


def test_trials_without_any_size_say_so() -> None:
    ended = [dataclasses.replace(t, metrics={"accuracy": 0.5 + t.number / 100}) for t in trials(5)]
    told = story(ended)
    assert "tell no size" in words(page_of(told))
    assert pictures_of(told).tradeoff is None


@pytest.mark.parametrize("value", [0.0, -1e308, 1e308, 5e-324, 1e-12, 123456789.0])
def test_a_metric_can_have_any_finite_value(value: float) -> None:
    metrics = [{"loss": value}, {"loss": value}, {"loss": 1.0}]
    space = space_of(CHOICES)
    values = {choice.name: choice.options[0] for choice in CHOICES}
    ended = [trial(n, check(space, values), metrics=m) for n, m in enumerate(metrics)]
    told = story(ended, (Objective("loss", "", "min"),), final=False)
    text = page_of(told)
    assert "nan" not in re.sub(r"[a-z]*nan[a-z]+|metanas", "", text)


# -- files -------------------------------------------------------------------------


def test_a_figure_that_there_is_nothing_for_any_more_goes(tmp_path: Path) -> None:
    write_report(STORIES["some failed"](), tmp_path)
    (tmp_path / "figures" / "mine.png").write_bytes(b"kept")
    write_report(story(trials(3)), tmp_path)
    assert "failures" not in figures(tmp_path)
    assert "mine" in figures(tmp_path)


def test_a_report_that_cannot_be_finished_leaves_the_older_one_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write_report(story(trials(3)), tmp_path)
    before = {each: each.read_bytes() for each in tmp_path.rglob("*.*")}

    def full(self: Path, data: bytes) -> int:
        with self.open("wb") as file:
            file.write(data[: len(data) // 2])
        raise OSError("no space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match="no space"):
        write_report(story(trials(9)), tmp_path)
    assert path.exists()
    assert {each: each.read_bytes() for each in tmp_path.rglob("*.*")} == before


def test_importing_the_report_imports_nothing_heavy() -> None:
    code = (
        "import sys, metanas.report; "
        "print([m for m in ('torch', 'matplotlib', 'ray', 'mlflow') if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


# -- colours -----------------------------------------------------------------------


def variables() -> list[dict[str, str]]:
    """The colours of the style sheet, light and dark."""
    blocks = re.findall(r":root\{(.*?)\}", CSS, flags=re.S)
    return [dict(re.findall(r"--(\w+):\s*(#[0-9a-f]{3,6})", block)) for block in blocks]


def luminance(colour: str) -> float:
    digits = colour[1:] if len(colour) == 7 else "".join(2 * digit for digit in colour[1:])
    parts = [int(digits[at : at + 2], 16) / 255 for at in (0, 2, 4)]
    red, green, blue = (p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """As WCAG 2 defines it."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_text_and_marks_stand_out(mode: int) -> None:
    colours = variables()[mode]
    for ground in ("page", "card"):
        for text in ("ink", "muted"):
            assert contrast(colours[text], colours[ground]) >= 4.5
    for text in ("winner", "best"):
        assert contrast(colours[text], colours["card"]) >= 4.5
    for mark in ("trial", "failed"):
        assert contrast(colours[mark], colours["card"]) >= 3.0
    for ground in ("layer", "pool", "join", "plain"):
        assert contrast(colours["ink"], colours[ground]) >= 7.0


@pytest.mark.parametrize("mode", [0, 1], ids=["light", "dark"])
def test_the_winner_and_failures_differ_from_trials_in_more_than_lightness(mode: int) -> None:
    hues = {}
    for name in ("trial", "winner"):
        colour = variables()[mode][name]
        red, green, blue = (int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))
        hues[name] = colorsys.rgb_to_hsv(red, green, blue)[0]
    assert abs(hues["trial"] - hues["winner"]) > 0.2
