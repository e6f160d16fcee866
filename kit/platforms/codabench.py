"""Codabench: upload, create, poll and read the board over its REST interface; both generations of the site.

Facts about the interface are in docs/platforms.md. A submission there has no message: the only mark that survives is
the name of its file, so the tag is that name.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from kit.errors import ConfigError, PlatformError
from kit.layout import SubmissionPaths
from kit.platforms import codabench_board as boards
from kit.platforms.base import BoardRow, Journal, Refused, Remaining, Setting, Status
from kit.platforms.codabench_needs import (
    check_dates,
    check_fact_sheet,
    check_participation,
    image_notes,
    inspect_zip,
    time_notes,
)
from kit.platforms.credentials import codabench_login, codabench_token, store_token, token_file
from kit.platforms.http import Api, checked_url, fetch_text, put_file, upload_teller
from kit.records import Event

PUBLIC_SITE = "https://www.codabench.org"
GIGABYTE = 1e9
# Scores are posted a moment after the status says Finished.
PATIENCE = 6
TAIL_LINES = 20
FAILURES = ("prediction_ingestion_stderr", "prediction_stderr", "scoring_ingestion_stderr", "scoring_stderr")
MANUAL = ("Add", "Add_And_Delete", "Add_And_Delete_Multiple")


class Codabench:
    """A competition on a Codabench site.

    Raises
    ------
    ConfigError
        Where ``competition.id`` is not a number or the address is not one.
    """

    private_scores = False

    def __init__(self, setting: Setting) -> None:
        self._setting = setting
        self._competition = setting.config.competition
        self._url = checked_url(self._competition.url or PUBLIC_SITE)
        if not self._competition.id.isdigit():
            raise ConfigError(
                f"competition.id = {self._competition.id!r} is not the number of a Codabench competition",
                f"it is the number in the address: {self._url}/competitions/1234/",
            )
        self._connection: Api | None = None
        self._detail: dict[str, Any] | None = None
        self._without_scores: dict[str, int] = {}

    def file(self, paths: SubmissionPaths) -> Path:
        """The bundle."""
        return paths.bundle

    def check(self, file: Path) -> list[str]:
        """Zip, participation, phase, quota, space, image and time limit, in this order; asks, sends nothing."""
        inspect_zip(file)
        detail = self._read_detail()
        check_participation(detail, self._url)
        phase = self._phase()
        check_dates(phase)
        check_fact_sheet(detail, self._competition.fact_sheet)
        answer = self._api().get(f"/api/can_make_submission/{phase['id']}/")
        if not answer["can"]:
            raise Refused(f"no submission to phase `{phase['name']}` now: {answer['reason']}", _resets())
        self._check_space(file)
        proof = file.with_name("proof.json")
        notes = image_notes(str(detail.get("docker_image") or ""), file)
        notes += time_notes(phase.get("execution_time_limit"), proof, self._competition.test_size)
        if detail.get("auto_run_submissions") is False:
            notes.append("submissions of this competition wait until an organiser starts them")
        return notes

    def remaining(self) -> Remaining:
        """Counts of the phase; failed submissions are free, cancelled and running ones are not; the day is UTC's."""
        phase = self._phase(fresh=True)
        if not phase.get("has_max_submissions"):
            return Remaining()
        per_day, per_person = phase.get("max_submissions_per_day"), phase.get("max_submissions_per_person")
        return Remaining(
            _left(per_day, phase.get("used_submissions_per_day")),
            per_day,
            _left(per_person, phase.get("used_submissions_per_person")),
            per_person,
            _midnight(),
        )

    def submit(self, file: Path, tag: str, journal: Journal) -> str:
        """Upload unless it is there already, then create the submission with one POST."""
        key = self._uploaded(file, tag, journal)
        phase = self._phase()
        body: dict[str, Any] = {"phase": phase["id"], "data": key, "tasks": [task["id"] for task in phase["tasks"]]}
        if self._competition.fact_sheet:
            body["fact_sheet_answers"] = self._competition.fact_sheet
        journal.note("request")
        answer = self._api().send_once("/api/submissions/", body, tag)
        return str(answer["id"])

    def find(self, digest: str) -> list[tuple[str, str]]:
        """Our own submissions of the phase by their file name; another account's are not listed to us."""
        rows = _pages(self._api(), "/api/submissions/", phase=self._phase()["id"])
        found = [(str(row["id"]), _stem(row)) for row in rows if not row.get("parent")]
        return sorted((row for row in found if row[1].endswith(f"-{digest}")), key=lambda row: -int(row[0]))

    def status(self, remote: str) -> Status:
        """Codabench's nine states as three; several tasks are their children's scores."""
        row = self._api().get(f"/api/submissions/{remote}/")
        state = row["status"]
        if state in ("Failed", "Cancelled"):
            return Status("failed", message=row.get("status_details") or state)
        if state != "Finished":
            return Status("waiting", message=state)
        rows = [self._child(child) for child in row.get("children") or ()] or [row]
        failed = [child for child in rows if child["status"] == "Failed"]
        if failed:
            return Status("failed", message=failed[0].get("status_details") or "a task failed")
        scores = boards.named_scores(rows)
        if len(scores) == 0 or any(not child["scores"] for child in rows):
            return self._unscored(remote)
        return Status("scored", boards.main_score(rows, self._read_detail(), self._competition.metric), scores=scores)

    def logs(self, remote: str) -> str:
        """The end of the first log that says why: a crash of ours is in the ingestion's standard error."""
        try:
            detail = self._api().get(f"/api/submissions/{remote}/get_details/")
        except PlatformError as error:
            return f"(the organisers hide the logs, or {error.message})"
        links = {log["name"]: log["data_file"] for log in detail.get("logs") or ()}
        for name in FAILURES:
            text = fetch_text(links[name], self._setting.waits).strip() if links.get(name) else ""
            if text:
                return "\n".join([f"{name}:", *text.splitlines()[-TAIL_LINES:]])
        return ""

    def leaderboard(self) -> list[BoardRow]:
        """The phase's board in its own order, which is the rank."""
        board = self._api().get(f"/api/phases/{self._phase()['id']}/get_leaderboard/")
        username = self._api().get("/api/my_profile/").get("username") or ""
        rows = boards.board_rows(board, username)
        if not boards.is_sorted(board):
            self._setting.emit(Event("warn", "the site lists the board in another order than its scores say"))
        return rows

    def publish(self, remote: str) -> str:
        """Put a submission on a board that its owner fills; nothing to do where the site does."""
        rules = {board.get("submission_rule") for board in self._read_detail().get("leaderboards") or ()}
        if not rules & set(MANUAL):
            return "this board fills itself"
        if self._api().get(f"/api/submissions/{remote}/").get("on_leaderboard"):
            return "it is on the board already"
        self._api().send("POST", f"/api/submissions/{remote}/submission_leaderboard_connection/", {})
        return "put on the board"

    def manual(self) -> bool:
        """Whether a scored submission stays off the board until its owner puts it there."""
        return any(board.get("submission_rule") in MANUAL for board in self._read_detail().get("leaderboards") or ())

    def _api(self) -> Api:
        if self._connection is None:
            token = codabench_token(self._url, self._setting.emit) or self._log_in()
            self._connection = Api(self._url, token, self._setting.waits)
        return self._connection

    def _log_in(self) -> str:
        login = codabench_login()
        anonymous = Api(self._url, "", self._setting.waits)
        try:
            answer = anonymous.send(
                "POST", "/api/api-token-auth/", {"username": login.username, "password": login.password}
            )
        except PlatformError as error:
            message = error.message.replace(login.password, "***")
            raise PlatformError(f"cannot log in as {login.username}: {message}", "see CODABENCH_PASSWORD") from None
        store_token(self._url, answer["token"])
        self._setting.emit(Event("say", f"logged in as {login.username}; the token is in {token_file(self._url)}"))
        return str(answer["token"])

    def _read_detail(self, *, fresh: bool = False) -> dict[str, Any]:
        if self._detail is None or fresh:
            self._detail = dict(self._api().get(f"/api/competitions/{self._competition.id}/"))
        return self._detail

    def _phase(self, *, fresh: bool = False) -> dict[str, Any]:
        phases = self._read_detail(fresh=fresh)["phases"]
        wanted = self._competition.phase.strip().lower()
        names = ", ".join(f"{phase['name']} ({phase['status']})" for phase in phases)
        for phase in phases:
            if wanted in (str(phase["name"]).lower(), str(phase["id"])) or (
                not wanted and phase["status"] == "Current"
            ):
                return dict(phase)
        what = f"no phase {self._competition.phase!r}" if wanted else "no current phase"
        raise ConfigError(f"competition {self._competition.id} has {what}", f"phases: {names}")

    def _check_space(self, file: Path) -> None:
        quota = self._api().get("/api/user_quota/")
        free = float(quota["quota"]) * GIGABYTE - float(quota["storage_used"])
        size = file.stat().st_size
        if size > free:
            raise Refused(
                f"{file.name} has {size / GIGABYTE:.2f} GB, your account has {free / GIGABYTE:.2f} GB left",
                f"delete old submissions at {self._url}/datasets/",
            )

    def _uploaded(self, file: Path, tag: str, journal: Journal) -> str:
        """The key of the uploaded file, of this attempt or of an earlier one that got so far."""
        known = journal.recall("uploaded")
        if known is not None:
            return str(known["key"])
        journal.note("upload")
        name = f"{tag}.zip"
        body = {"type": "submission", "request_sassy_file_name": name, "file_name": name}
        size = {"file_size": file.stat().st_size, "competition": int(self._competition.id)}
        slot = self._api().send("POST", "/api/datasets/", body | size)
        tell = upload_teller(self._setting.emit)
        put_file(slot["sassy_url"], file, _storage_headers(slot["sassy_url"]), self._setting.waits, tell)
        self._api().send("PUT", f"/api/datasets/completed/{slot['key']}/", {})
        journal.note("uploaded", key=slot["key"])
        return str(slot["key"])

    def _child(self, child: Any) -> dict[str, Any]:
        remote = child["id"] if isinstance(child, dict) else child
        return dict(self._api().get(f"/api/submissions/{remote}/"))

    def _unscored(self, remote: str) -> Status:
        self._without_scores[remote] = self._without_scores.get(remote, 0) + 1
        if self._without_scores[remote] < PATIENCE:
            return Status("waiting", message="Finished, scores to come")
        return Status("failed", message="finished without a score")


def _pages(api: Api, path: str, **query: Any) -> list[dict[str, Any]]:
    """All rows of a list, which newer sites cut into pages."""
    first = api.get(path, **query, page_size=100)
    if isinstance(first, list):
        return first
    rows, page = list(first["results"]), 1
    while first.get("next"):
        page += 1
        first = api.get(path, **query, page_size=100, page=page)
        rows += first["results"]
    return rows


def _stem(row: dict[str, Any]) -> str:
    return str(row.get("filename") or "").removesuffix(".zip")


def _storage_headers(url: str) -> dict[str, str]:
    """The type is part of the signature; Azure wants to know the kind of blob as well."""
    headers = {"Content-Type": "application/zip"}
    if ".blob.core." in url:
        headers |= {"x-ms-blob-type": "BlockBlob", "x-ms-version": "2018-03-28"}
    return headers


def _left(limit: int | None, used: int | None) -> int | None:
    return None if limit is None else max(0, limit - (used or 0))


def _midnight() -> datetime:
    return (datetime.now(UTC) + timedelta(days=1)).replace(hour=0, minute=0, second=0, microsecond=0)


def _resets() -> str:
    return f"the day ends at midnight UTC, {_midnight().astimezone():%H:%M on %d %B} here"
