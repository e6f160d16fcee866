"""Every hint in the source that names a command: it parses, it is provoked, pasted, and what failed ends well."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from hint_scenarios import NOT_PASTED, SCENARIOS
from hints import COMMAND, SHELL, Clock, Place, Shown, UsageError, World, executed, parse, places, without_tensorflow

from kit.config import Config
from kit.errors import KitError
from kit.store.layout import Layout

pytestmark = pytest.mark.stage

# Hints that come of the same damage are one case.
TOGETHER = {scenario: [name for name in SCENARIOS if SCENARIOS[name] is scenario] for scenario in SCENARIOS.values()}
CASES = [
    pytest.param(names, id=names[0], marks=[pytest.mark.tf] * any("kit augment" in name for name in names))
    for names in TOGETHER.values()
]


@pytest.mark.parametrize("line", ["kit trian net", "kit train net --fould 0", "kit compare RUN OTHER", "kit sweep"])
def test_a_command_with_a_mistake_does_not_parse(line: str) -> None:
    with pytest.raises(UsageError):
        parse(line)


def test_every_command_in_a_hint_parses() -> None:
    wrong = []
    for place in places():
        for line in place.commands():
            try:
                parse(line)
            except (UsageError, ValueError) as error:
                wrong.append(f"{place.file.name} line {place.first}: {line!r}: {error}")
    assert not wrong


def test_every_hint_that_names_a_command_has_a_scenario_and_every_scenario_its_hint() -> None:
    found = {place.name for place in places()}
    assert not found - set(SCENARIOS | NOT_PASTED), "without a scenario"
    assert not set(SCENARIOS | NOT_PASTED) - found, "no such hint"
    assert not set(SCENARIOS) & set(NOT_PASTED)


@pytest.fixture(scope="module")
def finished(drawn_project: tuple[Layout, Config], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The drawn project with everything up to its bundle, in a folder whose name has to be quoted."""
    root = tmp_path_factory.mktemp("finished") / "a project"
    shutil.copytree(drawn_project[0].root, root)
    clock = Clock()
    with pytest.MonkeyPatch.context() as patch, without_tensorflow(patch, clock):
        world = World(root, clock, patch)
        world.edit("classes =", 'truth = "raw/train.csv"\nclasses =')
        for line in ("kit train", "kit bundle", "kit forecast"):
            world.say(line)
    yield root


@pytest.fixture
def world(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    root, clock = tmp_path / "a project", Clock()
    shutil.copytree(finished, root)
    monkeypatch.setenv("HOME", str(tmp_path))
    with without_tensorflow(monkeypatch, clock):
        made = World(root, clock, monkeypatch)
        with made.stack:
            yield made


@pytest.mark.matrix
@pytest.mark.filterwarnings("ignore")  # of the official package of Kaggle and what it imports
@pytest.mark.parametrize("names", CASES)
def test_a_hint_mends_what_it_is_shown_for(world: World, names: list[str]) -> None:
    known = {place.name: place for place in places()}
    scenario, shown_by = SCENARIOS[names[0]], [known[name] for name in names]
    scenario.damage(world)
    with executed({place.file for place in shown_by}) as lines:
        shown = world.shown(scenario.wanted)
    for place in shown_by:
        ran = {(place.file, line) for line in range(place.first, place.last + 1)} & lines
        assert ran or not place.is_run, f"{place.name} was not reached: {shown}"
    told = [hint(place, shown) for place in shown_by]
    scenario.repair(world)
    followed: list[str] = []
    for line in dict.fromkeys(told):
        followed.append(line)
        (world.paste if scenario.instead else partial(follow, followed=followed, world=world))(line)
    while not scenario.instead:
        again = world.shown(scenario.wanted)
        if again.error is None:
            assert not any(place.pattern.search(line) for place in shown_by for line in again.lines), followed
            return
        other = pasted(again.error)
        assert other not in followed, f"{again.error.message}: {other!r} was followed already"
        followed.append(other)
        follow(other, world, followed)


def test_what_repairs_a_variant_of_a_sweep_can_be_pasted_too(world: World) -> None:
    error = world.shown("kit compare net net~seed-1 other").error
    assert error is not None and error.hint == "kit train net~seed-1"
    follow(error.hint, world, [])
    assert "run `kit stress net~seed-1`" in world.shown("kit compare net net~seed-1 other").lines[-1]
    follow("kit stress net~seed-1", world, [])
    assert world.shown("kit compare net net~seed-1 other").error is None


def hint(place: Place, shown: Shown) -> str:
    """What a user copies: the command in the line that the place shows."""
    found = [told[match.start() :] for told in shown.lines if (match := place.pattern.search(told))]
    assert found, f"{place.text!r} is not in {shown.lines}"
    return found[0]


def pasted(error: KitError) -> str:
    """The hint of an error on the way, which has to name a command as well."""
    assert COMMAND.search(error.hint) or SHELL.search(error.hint), f"{error.message}: {error.hint!r} names no command"
    return error.hint


def follow(line: str, world: World, followed: list[str]) -> None:
    """Paste a hint; where that ends in another hint, follow it first, and none twice."""
    while True:
        try:
            world.paste(line)
            return
        except KitError as error:
            other = pasted(error)
            assert other not in followed, f"{error.message}: {other!r} was followed already"
            followed.append(other)
            follow(other, world, followed)
