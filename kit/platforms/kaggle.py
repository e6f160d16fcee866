"""Kaggle: tables and code competitions, through the official package (see `kit.platforms.kaggle_api`).

The tag is the submission's message. Its times are UTC without saying so, its scores text.
"""

import csv
import importlib
import io
import math
import zipfile
from collections import Counter
from contextlib import suppress
from datetime import UTC, datetime
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from kit.errors import ConfigError, PlatformError
from kit.platforms import PATIENCE, Platform, Refused, Remaining, Setting, Status, Unsure, midnight
from kit.platforms.credentials import require_kaggle
from kit.platforms.uploads import automation_notes, check_csv, inspect_zip, upload_teller
from kit.store.layout import SubmissionPaths
from kit.store.ledger import Attempt, BoardRow
from kit.store.ledger.facts import Request, Upload

PAGE = 100  # the most that Kaggle gives at once


class Kaggle(Platform):
    """A competition on Kaggle; raises `ConfigError` where ``competition.id`` is empty."""

    private_scores = True

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._competition = setting.config.competition
        if not self._competition.id:
            raise ConfigError("competition.id is empty", 'id = "digit-recognizer"   # the end of its address')
        self._without_scores = Counter[str]()
        self._unlisted = Counter[str]()

    def takes_table(self) -> bool:
        return not self._competition.code

    def file(self, paths: SubmissionPaths) -> Path:
        """The table, or the bundle that a notebook will run."""
        return paths.bundle if self._competition.code else paths.table

    def check(self, file: Path) -> list[str]:
        """The file's own shape, entry, kind of competition, deadline and limits; nothing is sent."""
        (inspect_zip if self._competition.code else check_csv)(file)
        about = self._about()
        if not about.user_has_entered:
            hint = f"accept its rules: https://www.kaggle.com/competitions/{self._competition.id}/rules"
            raise Refused(f"you have not joined {self._competition.id}", hint)
        if about.submissions_disabled:
            raise Refused(f"{self._competition.id} does not accept submissions now")
        if about.is_kernels_submissions_only != self._competition.code:
            wanted = str(about.is_kernels_submissions_only).lower()
            what = "notebooks only" if about.is_kernels_submissions_only else "tables"
            raise ConfigError(f"{self._competition.id} accepts {what}", f"[competition] code = {wanted}")
        late = about.deadline and about.deadline.replace(tzinfo=UTC) < datetime.now(UTC)
        notes = [f"the deadline was {about.deadline:%d %B %Y}: a submission is scored, but does not count"] * bool(late)
        with suppress(PlatformError):  # a competition whose pages are not shown says nothing of automatic entries
            pages = self._site.ask(lambda: self._site.api.competition_list_pages(self._competition.id))
            notes += automation_notes(str(page.content or "") for page in pages or ())
        return notes

    def remaining(self) -> Remaining:
        """What Kaggle allows the team now; its day is UTC's."""
        limits = self._site.ask(lambda: self._site.api.competition_get_submission_limits(self._competition.id))
        per_day = self._about().max_daily_submissions or None
        allowed = limits.num_allowed_now
        if limits.limited_by_total:  # rare: the competition's whole allowance ends, and no midnight renews it
            return Remaining(allowed, per_day, allowed, allowed + limits.num_total)
        return Remaining(allowed, per_day, None, None, midnight())

    def submit(self, file: Path, tag: str, journal: Attempt) -> str:
        """Send the table, or put up data set and notebook and submit that."""
        if self._competition.code:
            from kit.platforms.kaggle_code import prepare

            kernel, version = prepare(self._site, self._setting, file, tag, journal)

            def send() -> Any:
                journal.note(Request())
                call = self._site.api.competition_submit_code
                output = self._setting.config.notebook.output
                return call(output, tag, self._competition.id, kernel, version, quiet=True)
        else:
            journal.note(Upload())
            self._site.api.uploaded = lambda: journal.note(Request())
            self._site.api.tell = upload_teller(self._setting.emit)
            send = partial(self._site.api.competition_submit, str(file), tag, self._competition.id, quiet=True)
        answer = self._site.ask_once(send, lambda: journal.last(Request) is not None)
        if not answer.ref:
            raise Unsure(f"Kaggle answered the submission with {answer.message!r} and no submission number")
        return str(answer.ref)

    def find(self, digest: str, phase: str = "") -> list[tuple[str, str]]:
        """Our team's submissions by their message."""
        return [(str(row.ref), row.description) for row in self._list() if row.description.endswith(f"-{digest}")]

    def status(self, remote: str) -> Status:
        """Pending, complete or error; unknown for a moment after it was sent."""
        try:
            row = self._submission(remote)
        except PlatformError as error:
            self._unlisted[remote] += 1
            if "404" in error.message and self._unlisted[remote] < PATIENCE:
                return Status("waiting", message="not listed yet")
            raise
        state = row.status.name
        if state == "ERROR":
            return Status("failed", message=row.error_description or "Kaggle gives no reason")
        if state != "COMPLETE":
            return Status("waiting", message="pending")
        public, private = number(row.public_score), number(row.private_score)
        if public is None and private is None:
            self._without_scores[remote] += 1
            if self._without_scores[remote] < PATIENCE:
                return Status("waiting", message="complete, waiting for the score")
            return Status("failed", message="complete without a score")
        return Status("scored", private if public is None else public, private=private)

    def logs(self, remote: str) -> str:
        """The reason of an error, which Kaggle's own command does not show."""
        return str(self._submission(remote).error_description or "")

    def leaderboard(self) -> list[BoardRow]:
        """The whole public board; ours by the team's name, or by the rank that Kaggle tells us."""
        slug = self._competition.id
        answer = self._call("download_leaderboard", "ApiDownloadLeaderboardRequest", competition_name=slug)
        content = self._site.ask(lambda: answer.content)
        names = {row.team_name for row in self._list(pages=1) if row.team_name}
        return board_rows(content, names, self._about().user_rank or 0, self._site.username)

    @cached_property
    def _site(self) -> Any:
        require_kaggle(self._setting.emit)
        from kit.platforms.kaggle_api import Site

        return Site(self._competition.url, self._setting.waits)

    def _call(self, method: str, kind: str, **fields: str | int) -> Any:
        """One call that the package's own methods leave out, with a request of this kind."""
        site = self._site  # before the import, for without credentials the types need not be loaded
        request = getattr(importlib.import_module("kagglesdk.competitions.types.competition_api_service"), kind)()
        for name, value in fields.items():
            setattr(request, name, value)
        return site.call(method, request)

    def _about(self) -> Any:
        return self._call("get_competition", "ApiGetCompetitionRequest", competition_name=self._competition.id)

    def _submission(self, remote: str) -> Any:
        return self._call("get_submission", "ApiGetSubmissionRequest", ref=int(remote))

    def _list(self, pages: int = 50) -> list[Any]:
        """Our team's submissions, newest first."""
        rows: list[Any] = []
        call = partial(self._site.api.competition_submissions, self._competition.id, page_size=PAGE)
        for page in range(1, pages + 1):
            part = self._site.ask(partial(call, page_number=page)) or []
            rows += part
            if len(part) < PAGE:
                break
        return rows


def number(text: str | None) -> float | None:
    """A score that Kaggle gives as text; None where it gives none, or no finite one."""
    try:
        value = float(text or "nan")
    except ValueError:
        return None
    return value if math.isfinite(value) else None


def board_rows(content: bytes, names: set[str], rank: int, username: str = "") -> list[BoardRow]:
    """The lines of a zip with one table, best first; ours by a member's name, else the team's, else our rank."""
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            text = archive.read(archive.namelist()[0]).decode("utf-8-sig")
    except (zipfile.BadZipFile, IndexError, UnicodeDecodeError):
        raise PlatformError("Kaggle's leaderboard is not a zip with a table") from None
    rows = [row for row in csv.DictReader(io.StringIO(text)) if number(row.get("Score")) is not None]
    if any(row.get("TeamName") is None for row in rows):
        raise PlatformError("Kaggle's leaderboard has lines without a TeamName")
    members = [(row.get("TeamMemberUserNames") or "").lower().split(",") for row in rows]
    by_member = [bool(username) and username.lower() in map(str.strip, names) for names in members]
    by_name = [row["TeamName"] in names for row in rows]
    by_rank = [place == rank for place in range(1, len(rows) + 1)]
    mine = next((found for found in (by_member, by_name) if any(found)), by_rank)
    return [
        BoardRow(place, row["TeamName"], float(row["Score"]), own)
        for place, (row, own) in enumerate(zip(rows, mine, strict=True), start=1)
    ]
