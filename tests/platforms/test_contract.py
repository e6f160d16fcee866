"""What every platform of the table does, whatever is behind it: check, remaining, submit, find, status, logs, board."""

from __future__ import annotations

import contextlib
import importlib
import inspect
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pytest
from servers.codabench import Codabench
from servers.kaggle import Kaggle
from servers.project import MODEL, make_candidate, make_project

from kit.base.events import silent
from kit.config import Config, load
from kit.errors import KitError, PlatformError
from kit.images.sources import raw
from kit.platforms import PLATFORMS, Platform, Waits, open_platform
from kit.stages.clean.clean import clean
from kit.store.files import write_zip
from kit.store.layout import Layout
from kit.store.ledger.facts import Fact, Request, newest

pytestmark = pytest.mark.stage

F = TypeVar("F", bound=Fact)
TAG = "kit-20261121T054000Z-3f9c2ab1"
SITES: dict[str, tuple[type[Any] | None, dict[str, Any], dict[str, Any]]] = {
    "codabench-march": (Codabench, {"later": False}, {"platform": "codabench", "id": "7"}),
    "codabench-later": (Codabench, {"later": True}, {"platform": "codabench", "id": "7"}),
    "kaggle": (Kaggle, {}, {"platform": "kaggle", "id": "cells"}),
    "kaggle-code": (Kaggle, {"code": True}, {"platform": "kaggle", "id": "cells", "code": True}),
}
# The others of the table need no site: they score on this machine.
SITES |= {name: (None, {}, {}) for name in PLATFORMS if name not in {keys["platform"] for *_, keys in SITES.values()}}


class Notes:
    """A journal in memory."""

    def __init__(self) -> None:
        self.facts: list[Fact] = []

    def note(self, step: Fact) -> None:
        self.facts.append(step)

    def last(self, kind: type[F]) -> F | None:
        return newest(self.facts, kind)


@pytest.fixture(params=SITES)
def opened(
    request: pytest.FixtureRequest, tmp_path: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> Iterator[tuple[Platform, Path]]:
    make, options, keys = SITES[request.param]
    if make is None:
        layout, config = _local(tmp_path / "project", request.param)
        yield _open(layout, config, waits)
        return
    with make(**options) as site:
        monkeypatch.setenv("CODABENCH_TOKEN", site.token)
        monkeypatch.setenv("KAGGLE_API_TOKEN", site.token)
        layout, config = make_project(tmp_path / "project", url=site.url, **keys)
        yield _open(layout, config, waits)


def _local(root: Path, platform: str = "local") -> tuple[Layout, Config]:
    """Sixteen hidden images that the bundle, which looks at the brightness, gets right but for one."""
    root.mkdir()
    labels = np.arange(16) % 2
    images = np.where(labels[:, None, None, None] == 1, 200, 50).astype(np.uint8) * np.ones((1, 8, 8, 3), np.uint8)
    np.savez(root / "hidden.npz", images=images, labels=np.where(np.arange(16) == 3, 0, labels))
    (root / "kit.toml").write_text(
        f'[competition]\nplatform = "{platform}"\n[data]\ntrain = "hidden.npz"\ntruth = "hidden.npz"\n'
        '[clean]\nexact = "keep"\nnear = "off"\ncontamination = false\n'
    )
    layout = Layout(root)
    config = load(layout.config)
    clean(layout, config, silent)  # for the baselines of the board
    return layout, config


def _open(layout: Layout, config: Config, waits: Waits) -> tuple[Platform, Path]:
    paths = make_candidate(layout)
    paths.table.write_text("id,label\na,0\nb,1\n")
    platform = open_platform(layout, config, waits)
    return platform, platform.file(paths)


def settle(platform: Platform, remote: str) -> Any:
    for _ in range(30):
        status = platform.status(remote)
        if status.state != "waiting":
            return status
    raise AssertionError("it never ends")


@pytest.mark.parametrize("name", PLATFORMS)
def test_every_platform_has_the_whole_surface_with_its_arguments(name: str) -> None:
    module, attribute = PLATFORMS[name].split(":")
    made = getattr(importlib.import_module(module), attribute)
    surface = {key: value for key, value in vars(Platform).items() if inspect.isfunction(value) and key[0] != "_"}
    assert set(surface) >= {"check", "remaining", "submit", "status", "logs", "leaderboard"}
    for key, value in surface.items():
        assert list(inspect.signature(getattr(made, key)).parameters) == list(inspect.signature(value).parameters), key
    assert isinstance(made.private_scores, bool)


def test_a_good_file_is_accepted_and_checking_it_spends_nothing(opened: tuple[Platform, Path]) -> None:
    platform, file = opened
    before = platform.remaining()
    assert all(isinstance(note, str) for note in platform.check(file))
    assert platform.remaining() == before


def test_a_missing_file_is_refused_without_being_sent(opened: tuple[Platform, Path]) -> None:
    platform, file = opened
    with pytest.raises(KitError):
        platform.check(file.with_name("nothing"))
    assert platform.find("3f9c2ab1") == []


def test_a_submission_is_found_by_the_end_of_its_tag_and_by_nothing_else(opened: tuple[Platform, Path]) -> None:
    platform, file = opened
    remote = platform.submit(file, TAG, Notes())
    assert platform.find("3f9c2ab1") == [(remote, TAG)]
    assert platform.find("00000000") == []


def test_a_submission_costs_one_of_the_day(opened: tuple[Platform, Path]) -> None:
    platform, file = opened
    before = platform.remaining().now
    platform.submit(file, TAG, Notes())
    after = platform.remaining().now
    assert (before is None and after is None) or before == after + 1


def test_a_submission_ends_scored_and_stands_on_the_board_as_ours(opened: tuple[Platform, Path]) -> None:
    platform, file = opened
    remote = platform.submit(file, TAG, Notes())
    status = settle(platform, remote)
    assert status.state == "scored"
    if isinstance(status.score, float) and platform.manual() is False:
        settle(platform, remote)
    rows = platform.leaderboard()
    mine = [row for row in rows if row.mine]
    assert [row.rank for row in rows] == list(range(1, len(rows) + 1))
    if rows:
        assert len(mine) == 1
        assert mine[0].score == pytest.approx(status.score, abs=1e-4)
        assert [row.score for row in rows] == sorted((row.score for row in rows), reverse=True)


def test_an_unknown_submission_is_an_error_that_a_user_can_read(opened: tuple[Platform, Path]) -> None:
    platform, _ = opened
    with pytest.raises(PlatformError):
        settle(platform, "424242")


def test_logs_are_text(opened: tuple[Platform, Path]) -> None:
    platform, file = opened
    remote = platform.submit(file, TAG, Notes())
    settle(platform, remote)
    assert isinstance(platform.logs(remote), str)


def test_the_count_starts_again_at_a_midnight_of_utc_that_is_to_come(opened: tuple[Platform, Path]) -> None:
    left = opened[0].remaining()
    if left.resets is not None:
        assert left.resets.utcoffset() == timedelta(0)
        assert timedelta(0) < left.resets - datetime.now(UTC) <= timedelta(days=1)
        assert (left.resets.hour, left.resets.minute, left.resets.second) == (0, 0, 0)
    assert left.per_day is None or 0 <= (left.today or 0) <= left.per_day


def test_a_second_tag_is_a_second_submission_and_both_are_found_by_their_own(opened: tuple[Platform, Path]) -> None:
    platform, file = opened
    other = "kit-20261121T054001Z-aaaaaaaa"
    first, second = platform.submit(file, TAG, Notes()), platform.submit(file, other, Notes())
    assert first != second
    assert platform.find("aaaaaaaa") == [(second, other)] and platform.find("3f9c2ab1") == [(first, TAG)]


def test_the_request_is_noted_before_it_leaves_wherever_it_spends(opened: tuple[Platform, Path]) -> None:
    platform, file = opened
    notes = Notes()
    platform.submit(file, TAG, notes)
    assert (notes.last(Request) is not None) == (platform.remaining().now is not None)


def test_publishing_says_what_happened_and_does_no_harm(opened: tuple[Platform, Path]) -> None:
    platform, file = opened
    remote = platform.submit(file, TAG, Notes())
    settle(platform, remote)
    assert platform.manual() is False
    assert "automatically" in platform.publish(remote)
    assert settle(platform, remote).state == "scored"


def test_a_failure_is_told_with_its_reason(opened: tuple[Platform, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    platform, file = opened
    for kind in (Codabench, Kaggle):
        monkeypatch.setattr(kind, "fails_with", "NameError: no")
    write_zip(file, {"model.py": MODEL.replace(b"np.asarray(X)", b"np.asarray(Y)")})
    remote = platform.submit(file, TAG, Notes())
    status = settle(platform, remote)
    assert status.state == "failed" and status.score is None
    assert "NameError" in platform.logs(remote)
    assert not any(row.mine for row in platform.leaderboard())


def test_rules_that_forbid_automatic_entries_are_quoted_before_anything_is_sent(
    opened: tuple[Platform, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    platform, file = opened
    for kind in (Codabench, Kaggle):
        monkeypatch.setattr(kind, "rules", "<p>Be nice.</p><p>Entries made by automated means are void.</p>")
    limited = platform.remaining().now is not None  # a site, which was read anew with this
    quoted = [note for note in platform.check(file) if "Entries made by automated means are void." in note]
    assert len(quoted) == int(limited)


def test_a_submission_is_of_the_phase_that_it_was_sent_to(opened: tuple[Platform, Path]) -> None:
    platform, file = opened
    remote, phase = platform.submit(file, TAG, Notes()), platform.phase()
    assert platform.phase_of(remote) == phase.id and platform.phase(phase.id) == phase
    assert platform.find("3f9c2ab1", phase.id) == [(remote, TAG)]


def test_what_a_platform_does_not_offer_is_an_error_and_changes_nothing(opened: tuple[Platform, Path]) -> None:
    platform, file = opened
    remote = platform.submit(file, TAG, Notes())
    before = platform.remaining()
    with pytest.raises(PlatformError):
        platform.rerun(remote)
    with contextlib.suppress(PlatformError):
        assert "still counts" in platform.cancel(remote)
    assert platform.remaining() == before and len(platform.find("3f9c2ab1")) == 1


def test_the_local_platform_scores_a_tag_once(tmp_path: Path, waits: Waits) -> None:
    platform, file = _open(*_local(tmp_path / "project"), waits)
    assert platform.submit(file, TAG, Notes()) == platform.submit(file, TAG, Notes())
    assert platform.status(TAG).score == 15 / 16


def test_the_local_platform_scores_all_parts_of_the_hidden_images(
    tmp_path: Path, waits: Waits, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(raw, "BLOCK_BYTES", 1)  # one image
    monkeypatch.setattr(raw, "PART_BYTES", 7 * 192)  # 7, 7 and 2
    platform, file = _open(*_local(tmp_path / "project"), waits)
    platform.submit(file, TAG, Notes())
    assert platform.status(TAG).score == 15 / 16
