"""Codabench: upload, create, poll and read the board over its REST interface; both generations of the site.

A submission there has no message: only the name of its file survives, so that is the tag (docs/platforms.md).
"""

from collections import Counter
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from typing import Any

from kit.base.events import Event
from kit.base.text import some
from kit.errors import ConfigError, PlatformError
from kit.platforms import PATIENCE, Absent, Platform, Refused, Remaining, Setting, Status, Unsure, midnight
from kit.platforms import codabench_answers as answers
from kit.platforms import codabench_needs as needs
from kit.platforms.codabench_answers import board_rows, main_score, named_scores
from kit.platforms.credentials import codabench_hint, codabench_login, codabench_token, store_token
from kit.platforms.http import Api, Shape, checked_url
from kit.platforms.uploads import automation_notes, check_csv, explain, fetch_text, inspect_zip, put_file, upload_teller
from kit.store.files import write_zip
from kit.store.layout import SubmissionPaths
from kit.store.ledger import Attempt, BoardRow, Phase
from kit.store.ledger.facts import Request, Upload, Uploaded

ENDED_BADLY = ("Failed", "Cancelled")
MANUAL = ("Add", "Add_And_Delete", "Add_And_Delete_Multiple")


class Codabench(Platform):
    """A competition on a site; raises `ConfigError` where ``competition.id`` is not a number or the address is none."""

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._competition = setting.config.competition
        self._url = checked_url(self._competition.url)
        if not self._competition.id.isdigit():
            said = f"competition.id = {self._competition.id!r} is not the number of a Codabench competition"
            raise ConfigError(said, f"it is the number in the address: {self._url}/competitions/1234/")
        self._detail: answers.Detail | None = None
        self._number = ""
        self._without_scores = Counter[str]()

    def takes_table(self) -> bool:
        """A phase that evidently has no program that runs a model gets predictions."""
        return self._read_detail().runs_models(self._phase()) == {False}

    def file(self, paths: SubmissionPaths) -> Path:
        """The bundle or, where results are scored, the table in a zip of its own."""
        if not self.takes_table():
            return paths.bundle
        sample = self._setting.config.data.sample_submission
        if paths.table.is_file():
            write_zip(paths.table_zip, {Path(sample or paths.table).name: paths.table})
        return paths.table_zip

    def phase(self, said: str = "") -> Phase:
        """A phase that the site does not name is told by what was said of it."""
        named = [phase for phase in self._read_detail().phases if said and phase.is_named(said)]
        if said and not named:
            return Phase(said)
        found = named[0] if named else self._phase()
        return Phase(str(found.id), found.name, found.end)

    def phase_of(self, remote: str) -> str:
        """Where there is only one, nobody has to be asked."""
        phases = self._read_detail().phases
        return str(phases[0].id) if len(phases) == 1 else str(self._row(remote).phase or "")

    def account(self) -> str:
        """The name of the account; its token alone does not say it."""
        return self._profile.username or ""

    def check(self, file: Path) -> list[str]:
        """File, participation, phase, quota, space, image and time limit, in this order; asks, sends nothing."""
        if self.takes_table():
            check_csv(file.with_suffix(".csv"))
        else:
            inspect_zip(file)
        detail = self._read_detail()
        needs.check_participation(detail, self._url)
        phase = self._phase()
        needs.check_dates(phase, detail.phases)
        needs.check_fact_sheet(detail, self._competition.fact_sheet)
        answer = self._api.get(f"/api/can_make_submission/{phase.id}/", answers.Permission)
        if not answer.can:
            ends = f"the count resets at midnight UTC ({midnight().astimezone():%H:%M on %d %B} local time)"
            today = "today" in (answer.reason or "")
            raise Refused(f"phase `{phase.name}` accepts no submission now: {answer.reason}", ends if today else "")
        needs.check_space(self._api.get("/api/user_quota/", needs.Quota), file, self._url)
        notes = needs.size_notes(file)
        notes += automation_notes(page or "" for page in (*(detail.pages or ()), detail.terms))
        if not self.takes_table():
            if None in detail.runs_models(phase):
                said = f"the site does not show whether phase `{phase.name}` runs a model or scores predictions"
                notes.append(f"{said}; the bundle is sent; if it scores predictions, upload a table of them by hand")
            limit = needs.time_limit(phase.execution_time_limit, detail.queue)
            notes += needs.image_notes(detail.docker_image or "", file)
            notes += needs.time_notes(limit, file.with_name("proof.json"), self._competition.test_size)
        if detail.auto_run_submissions is False:
            notes.append("an organiser of this competition has to start each submission")
        return notes

    def remaining(self) -> Remaining:
        """Counts of the phase; failed submissions are free, cancelled and running ones are not; the day is UTC's."""
        phase = self._phase(fresh=True)
        if not phase.has_max_submissions:
            return Remaining()
        per_day, per_person = phase.max_submissions_per_day, phase.max_submissions_per_person
        today = None if per_day is None else max(0, per_day - (phase.used_submissions_per_day or 0))
        total = None if per_person is None else max(0, per_person - (phase.used_submissions_per_person or 0))
        return Remaining(today, per_day, total, per_person, midnight())

    def submit(self, file: Path, tag: str, journal: Attempt) -> str:
        """Upload unless it is there already, then create the submission with one POST."""
        known = journal.last(Uploaded)  # by this attempt, or by an earlier one that got so far
        key = known.key if known else self._upload(file, tag, journal)
        phase = self._phase()
        body: dict[str, Any] = {"phase": phase.id, "data": key, "tasks": [task.id for task in phase.tasks]}
        if sheet := needs.check_fact_sheet(self._read_detail(), self._competition.fact_sheet):
            body["fact_sheet_answers"] = sheet
        journal.note(Request())
        try:
            return self._api.send_once("/api/submissions/", body, tag).id
        except Unsure as error:
            answer = answers.Permission(can=True)
            # An older site answers with a page about a server error where a limit is reached, and tells it only here.
            with suppress(PlatformError):
                answer = self._api.get(f"/api/can_make_submission/{phase.id}/", answers.Permission)
            raise Unsure("; ".join([error.message, *filter(None, [answer.reason])])) from None

    def find(self, digest: str, phase: str = "") -> list[tuple[str, str]]:
        """Our own submissions of the phase by their file name; another account's are not listed to us."""
        rows = answers.pages(self._api, "/api/submissions/", phase=phase or self._phase().id)
        found = [row for row in rows if not row.parent and row.tag.endswith(f"-{digest}")]
        return [(str(row.id), row.tag) for row in sorted(found, key=lambda row: -row.id)]

    def status(self, remote: str) -> Status:
        """Codabench's nine states as three; several tasks are their children's scores."""
        row = self._row(remote)
        if row.status in ENDED_BADLY:
            return Status("failed", message=row.status_details or row.status)
        if row.status != "Finished":
            return Status("waiting", message=row.status)
        parts = tuple(str(child) for child in row.children or ())
        rows = [self._row(child) for child in parts] or [row]
        failed = [child for child in rows if child.status in ENDED_BADLY]
        if failed:
            return Status("failed", message=failed[0].status_details or f"a task: {failed[0].status}")
        if any(not child.scores for child in rows):
            self._without_scores[remote] += 1
            if self._without_scores[remote] < PATIENCE:
                return Status("waiting", message="Finished, waiting for the scores")
            return Status("failed", message="finished without a score")
        value = main_score(rows, self._board(row), self._competition.metric)
        return Status("scored", value, scores=named_scores(rows), parts=parts)

    def logs(self, remote: str) -> str:
        """The end of the logs that say why; of several tasks of the first that failed, for their parent has none."""
        children = [self._row(child) for child in self._row(remote).children or ()]
        first = children[0].id if children else remote
        failed = next((child.id for child in children if child.status in ENDED_BADLY), first)
        try:
            detail = self._api.get(f"/api/submissions/{failed}/get_details/", answers.Details)
        except PlatformError as error:
            return f"(the organisers hide the logs, or {error.message})"
        waits = self._setting.waits
        return explain({log.name: fetch_text(log.data_file, waits) for log in detail.logs or () if log.data_file})

    def leaderboard(self) -> list[BoardRow]:
        """The phase's board in its own order, which is the rank."""
        board = self._api.get(f"/api/phases/{self._phase().id}/get_leaderboard/", answers.ListedBoard)
        rows, in_order = board_rows(board, self._profile.username or "")
        if not in_order:
            self._setting.emit(Event("warn", "the order of the leaderboard on the site does not match its scores"))
        return rows

    def cancel(self, remote: str) -> str:
        """Counts against the limits all the same; a worker that is about to finish may still overwrite it."""
        if self._api.get(f"/api/submissions/{remote}/cancel_submission/", answers.Cancelled).canceled:
            return f"submission {remote} is cancelled; it still counts against the limits"
        return f"submission {remote} has ended already"

    def rerun(self, remote: str) -> str:
        """Only organisers and accounts that they let do it may; raises `Refused` for the others."""
        return self._api.send_once(f"/api/submissions/{remote}/re_run_submission/", {}, f"rerun-{remote}").id

    def publish(self, remote: str) -> str:
        """Put a submission on a board that its owner fills; nothing to do where the site does."""
        row = self._row(remote)
        if self._board(row).submission_rule not in MANUAL:
            return "submissions appear on this leaderboard automatically"
        if row.on_leaderboard:
            return "the submission is already on the leaderboard"
        try:
            self._api.send("POST", f"/api/submissions/{remote}/submission_leaderboard_connection/", {}, Shape)
        except PlatformError:
            # The first try may have done it without an answer, and a second one is refused.
            if not self._row(remote).on_leaderboard:
                raise
        return "added to the leaderboard"

    def manual(self) -> bool:
        return any(board.submission_rule in MANUAL for board in self._read_detail().leaderboards or ())

    def _row(self, remote: int | str) -> answers.Row:
        return self._api.get(f"/api/submissions/{remote}/", answers.Row)

    def _board(self, row: answers.Row) -> answers.Board:
        """The board that a submission counts on, as the competition describes it; empty where it names none."""
        found = self._read_detail().leaderboards or (answers.Board(),)
        return next((board for board in found if board.id == row.leaderboard), found[0])

    @cached_property
    def _api(self) -> Api:
        token = codabench_token(self._url, self._setting.emit) or self._log_in()
        return Api(self._url, token, self._setting.waits, codabench_hint(self._url), self._log_in)

    def _log_in(self) -> str:
        username, password = codabench_login()
        anonymous, body = Api(self._url, "", self._setting.waits), {"username": username, "password": password}
        try:
            token = anonymous.send("POST", "/api/api-token-auth/", body, answers.Token).token
        except PlatformError as error:
            message = error.message.replace(password, "***")
            raise PlatformError(f"cannot log in as {username}: {message}", "see CODABENCH_PASSWORD") from None
        text = f"logged in as {username}; the token is in {store_token(self._url, token, username)}"
        self._setting.emit(Event("say", text))
        return token

    @cached_property
    def _profile(self) -> answers.Profile:
        return self._api.get("/api/my_profile/", answers.Profile)

    def _read_detail(self, *, fresh: bool = False) -> answers.Detail:
        if self._detail is None or fresh:
            try:
                self._detail = self._api.get(f"/api/competitions/{self._competition.id}/", answers.Detail)
            except Absent:
                # Benchmarks are competitions of another type.
                entered = answers.pages(self._api, "/api/competitions/", participating_in="true", type="any")
                named = some(f"{row.id} ({row.title})" for row in entered)
                said = f"{self._url} does not show a competition {self._competition.id}"
                register = f"register first: {self._url}/competitions/public/"
                raise Absent(said, f"[competition] id: one of {named}" if named else register) from None
        return self._detail

    def _phase(self, *, fresh: bool = False) -> answers.Phase:
        """The phase of the configuration, the current one, or the last that was open; it stays what it was first."""
        phases = self._read_detail(fresh=fresh).phases
        wanted = self._number or self._competition.phase
        found = [phase for phase in phases if (phase.is_named(wanted) if wanted else phase.status == "Current")]
        if not wanted:
            found += [phase for phase in reversed(phases) if phase.status == "Previous"]
        if not found:
            names = ", ".join(f"{phase.name} ({phase.status})" for phase in phases)
            what = f"no phase {self._competition.phase!r}" if wanted else "no phase that has begun"
            raise ConfigError(f"competition {self._competition.id} has {what}", f"phases: {names or 'none'}")
        self._number = str(found[0].id)
        return found[0]

    def _upload(self, file: Path, tag: str, journal: Attempt) -> str:
        """Upload the file and return its key."""
        journal.note(Upload())
        name = f"{tag}.zip"
        body = {"type": "submission", "request_sassy_file_name": name, "file_name": name}
        size = {"file_size": file.stat().st_size, "competition": int(self._competition.id)}
        slot = self._api.send("POST", "/api/datasets/", body | size, answers.Slot)
        headers = {"Content-Type": "application/zip"}  # a part of the signature
        if ".blob.core." in slot.sassy_url:  # Azure wants to know the kind of blob as well
            headers |= {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2018-03-28"}
        put_file(slot.sassy_url, file, self._setting.waits, upload_teller(self._setting.emit), headers)
        try:
            self._api.send("PUT", f"/api/datasets/completed/{slot.key}/", {}, Shape)
        except PlatformError as error:  # a courtesy: a submission is taken without it
            self._setting.emit(Event("warn", f"{error.message} after the upload was reported as complete; continuing"))
        journal.note(Uploaded(key=slot.key))
        return slot.key
