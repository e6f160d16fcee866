"""A Codabench site on loopback, of the generation of March 2026 or of later that year.

Bodies are those of the real site where they are known: what it sends to a participant, and no more.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs, urlsplit

from servers.base import Answer, Request, Server

TOKEN = "27bfa137350e732461adaec6069cd9dc0cbbc718"
DAILY = "Reached maximum allowed submissions for today for this phase"
WALK = ["Submitting", "Submitted", "Preparing", "Running", "Scoring", "Running", "Finished"]
ROUTES = [
    ("login", r"POST /api/api-token-auth/"),
    ("profile", r"GET /api/my_profile/"),
    ("space", r"GET /api/user_quota/"),
    ("competition", r"GET /api/competitions/(\d+)/"),
    ("competitions", r"GET /api/competitions/"),
    ("can", r"GET /api/can_make_submission/(\d+)/"),
    ("slot", r"POST /api/datasets/"),
    ("put", r"PUT /storage/([\w-]+)"),
    ("completed", r"PUT /api/datasets/completed/([\w-]+)/"),
    ("connect", r"POST /api/submissions/(\d+)/submission_leaderboard_connection/"),
    ("create", r"POST /api/submissions/"),
    ("details", r"GET /api/submissions/(\d+)/get_details/"),
    ("status", r"GET /api/submissions/(\d+)/"),
    ("list", r"GET /api/submissions/"),
    ("cancel", r"GET /api/submissions/(\d+)/cancel_submission/"),
    ("rerun", r"POST /api/submissions/(\d+)/re_run_submission/"),
    ("board", r"GET /api/phases/(\d+)/get_leaderboard/"),
    ("log", r"GET /storage/log/([\w-]+)"),
]


class Storage(Server):
    """The storage host: another address, which must never see a token."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}

    def phase_of(self, method: str, path: str) -> str:
        return "put" if method == "PUT" else "log"

    def answer(self, request: Request) -> Answer:
        name = urlsplit(request.path).path
        if request.phase == "put":
            if request.headers.get("content-type") != "application/zip":
                return Answer(403, "<Error><Code>SignatureDoesNotMatch</Code></Error>")
            self.objects[name] = request.body
            return Answer(200, "")
        return Answer(200, self.objects.get(name, b""))


class Codabench(Server):
    """One competition with two phases; ``later`` is the newer generation of the site."""

    fails_with = ""
    """A log of a failure that every submission ends with."""
    rules = ""
    """What a page of the competition says."""

    def __init__(self, later: bool = False) -> None:
        super().__init__()
        self.later = later
        self.storage = Storage()
        self.username, self.password, self.token = "student", "correct horse", TOKEN
        self.submissions: list[dict[str, Any]] = []
        self.datasets: dict[str, dict[str, Any]] = {}
        self.walk = list(WALK)
        self.outcome, self.details = "Finished", "scoring_hostname-vm"
        self.score = "0.8712345678"
        self.log = ""
        self.logs: dict[str, str] = {}  # by name, beside the one of the program that runs the model
        self.deleted: set[int] = set()
        self.results_only, self.robot, self.child_lines = False, False, False
        self.masked = False  # hides reference data, and programs unless the competition makes them available
        self.rule = "Force_Best"
        self.others = [("ada", "0.93"), ("grace", "0.90"), ("edsger", "0.85")]
        self.tasks = [1]
        self.child_outcomes: dict[int, str] = {}
        self.phases = [self._phase(1, "Warm-up", "Previous"), self._phase(2, "Development", "Current")]
        self.detail: dict[str, Any] = {
            "id": 7,
            "title": "Cells",
            "participant_status": "approved",
            "docker_image": "codalab/codalab-legacy:gpu310",
            "auto_run_submissions": True,
            "fact_sheet": None,
        }
        self.used, self.limit = 0, 5
        self.quota = {"quota": 15, "storage_used": 3675.0}
        self.page = 50
        # What happens between the check and the request: another upload of the account, the organisers' veto.
        self.taken_meanwhile, self.denied_meanwhile, self.used_meanwhile = 0.0, False, False

    def _phase(self, number: int, name: str, status: str) -> dict[str, Any]:
        return {
            "id": number, "index": number - 1, "start": "2020-01-01T00:00:00Z", "end": None, "name": name,
            "status": status, "execution_time_limit": 60, "has_max_submissions": True,
            "max_submissions_per_person": 100, "hide_output": False, "hide_prediction_output": False,
            "hide_score_output": False, "starting_kit": None, "public_data": None,
        }  # fmt: skip

    def __enter__(self) -> Codabench:
        self.storage.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *arguments: object) -> None:
        super().__exit__(*arguments)
        self.storage.__exit__(*arguments)

    def phase_of(self, method: str, path: str) -> str:
        line = f"{method} {urlsplit(path).path}"
        return next((name for name, pattern in ROUTES if re.fullmatch(pattern, line)), "unknown")

    def forget(self) -> None:
        """Back to the beginning, for the next round."""
        self.submissions.clear()
        self.datasets.clear()
        self.used = 0

    def answer(self, request: Request) -> Answer:
        if request.path == "/forget":
            self.forget()
            return Answer(200, "")
        if request.path == "/created":
            return Answer(200, str(self.created()))
        if request.path == "/switch":
            self.switch()
            return Answer(200, "")
        if request.phase == "unknown":
            return Answer(404, {"detail": "Not found."})
        if request.phase not in ("login", "board") and request.headers.get("authorization") != f"Token {self.token}":
            given = "authorization" in request.headers
            detail = "Invalid token." if given else "Authentication credentials were not provided."
            return Answer(401 if self.later else 403, {"detail": detail})
        found = next(
            match
            for name, pattern in ROUTES
            if name == request.phase and (match := re.fullmatch(pattern, self._line(request)))
        )
        return getattr(self, f"_{request.phase}")(request, *found.groups())

    def _line(self, request: Request) -> str:
        return f"{request.method} {urlsplit(request.path).path}"

    def created(self) -> int:
        """How many submissions exist."""
        return sum(row["parent"] is None for row in self.submissions)

    def switch(self) -> None:
        """The current phase ends, and another one, `Final`, begins."""
        for phase in self.phases:
            phase["status"] = "Previous"
        self.phases.append(self._phase(len(self.phases) + 1, "Final", "Current"))

    def _login(self, request: Request) -> Answer:
        if request.json() == {"username": self.username, "password": self.password}:
            return Answer(200, {"token": self.token})
        return Answer(400, {"non_field_errors": ["Unable to log in with provided credentials."]})

    def _profile(self, request: Request) -> Answer:
        return Answer(200, {"username": self.username, "name": None, "email": "s@example.org", "github_info": None})

    def _space(self, request: Request) -> Answer:
        return Answer(200, self.quota)

    def _competition(self, request: Request, number: str) -> Answer:
        if number != "7":
            return Answer(404, {"detail": "Not found."})
        kinds = ["reference_data", "scoring_program"] + ["input_data", "ingestion_program"] * (not self.results_only)
        if self.masked:
            kinds = [kind for kind in kinds if kind.endswith("program") and self.detail.get("make_programs_available")]
        sets = [{"id": place, "type": kind, "name": kind} for place, kind in enumerate(kinds)]
        names = [{"task": f"00e82360-{i}", "id": i, "key": f"00e82360-{i}", "name": f"task{i}"} for i in self.tasks]
        programs = {"ingestion_program": None} if self.masked and "ingestion_program" not in kinds else {}
        tasks = [{**task, **programs, "public_datasets": sets} for task in names]
        used = {"max_submissions_per_day": self.limit, "used_submissions_per_day": self.used}
        phases = [{**phase, **used, "used_submissions_per_person": self.used, "tasks": tasks} for phase in self.phases]
        column = {"id": 1, "title": "Accuracy", "key": "accuracy", "index": 0, "sorting": "desc", "precision": 4}
        board = {"id": 1, "title": "Results", "primary_index": 0, "submission_rule": self.rule, "columns": [column]}
        pages = [{"title": "Rules", "content": self.rules}]
        return Answer(200, {"pages": pages, **self.detail, "phases": phases, "leaderboards": [board]})

    def _competitions(self, request: Request) -> Answer:
        query = parse_qs(urlsplit(request.path).query)
        mine = query.get("participating_in") == ["true"] and query.get("type") == ["any"]
        rows = [{"id": 7, "title": "Cells", "competition_type": "competition"}] if mine else []
        return Answer(200, {"count": 1, "next": None, "previous": None, "results": rows} if self.later else rows)

    def _can(self, request: Request, phase: str) -> Answer:
        if self.detail["participant_status"] != "approved":
            reason = "User not approved to participate in this competition"
            return Answer(200, {"can": False, "reason": reason})
        return Answer(
            200, {"can": False, "reason": DAILY} if self.used >= self.limit else {"can": True, "reason": None}
        )

    def _slot(self, request: Request) -> Answer:
        body = request.json()
        if "file_size" not in body:
            return Answer(400, {"file_size": "This field is required."})
        if "name" in body:
            return Answer(400, {"name": ["You already have a dataset by this name, please delete that dataset."]})
        if len(body["file_name"]) > 64:
            return Answer(400, {"file_name": ["Ensure this field has no more than 64 characters."]})
        free = self.quota["quota"] * 1e9 - self.quota["storage_used"] - self.taken_meanwhile
        if body["file_size"] > free:
            text = f"Insufficient space. Your available space is {free / 1e9:.1f} GB. The file size is 16.0 GB."
            return Answer(400, {"data_file": [text]})
        key = f"42dd2d1d-e656-{len(self.datasets)}"
        self.datasets[key] = body
        return Answer(201, {"key": key, "sassy_url": f"{self.storage.url}/storage/{key}?Signature=abc&Expires=1"})

    def _completed(self, request: Request, key: str) -> Answer:
        return Answer(200, {"key": key})

    def _create(self, request: Request) -> Answer:
        body = request.json()
        if self.denied_meanwhile:
            return Answer(403, {"detail": "You do not have access to this competition to make a submission"})
        phase = next((phase for phase in self.phases if phase["id"] == body["phase"]), None)
        if phase is None or body["data"] not in self.datasets:
            message = f"Object with key={body['data']} does not exist."
            return Answer(400, {"data": [message]})
        if self.later and phase["status"] != "Current":
            return Answer(400, {"non_field_errors": ["This phase is not currently accepting submissions."]})
        if self.used_meanwhile:
            self.used = self.limit
        if self.used >= self.limit:
            return Answer(400, {"non_field_errors": [DAILY]}) if self.later else self._error(500)
        if problem := self._fact_sheet_problem(body.get("fact_sheet_answers")):
            return Answer(400, {"non_field_errors": [problem]})
        if not set(body["tasks"]) <= set(self.tasks):
            return Answer(400, {"tasks": [f'Invalid pk "{body["tasks"][0]}" - object does not exist.']})
        self.used += 1
        return Answer(201, self._add(body))

    def _fact_sheet_problem(self, answers: dict[str, Any] | None) -> str:
        """What the real site's serializer says of answers; it looks at none where there are none."""
        sheet = self.detail["fact_sheet"]
        if not answers:
            return ""
        if set(answers) != set(sheet):
            return "Fact Sheet keys do not match Answer keys"
        for key, value in answers.items():
            if sheet[key]["selection"] and value not in sheet[key]["selection"]:
                return f"{key}: {value} is not a valid selection from {sheet[key]}"
            if not value and sheet[key]["is_required"] == "true":
                return f"{sheet[key]['title']}({key}) requires an answer"
        return ""

    def _add(self, body: dict[str, Any]) -> dict[str, Any]:
        stem, _, extension = self.datasets[body["data"]]["file_name"].rpartition(".")
        row = {
            "id": len(self.submissions) + 1, "data": body["data"], "phase": body["phase"], "status": "Submitting",
            "status_details": None, "filename": f"{stem[:35]}.{extension}", "description": "", "md5": None,
            "fact_sheet_answers": body.get("fact_sheet_answers"), "organization": None, "queue": None,
            "created_when": f"{datetime.now(UTC):%Y-%m-%d %H:%M}", "scores": [],
        }  # fmt: skip
        self.submissions.append({**row, "parent": None, "children": [], "step": 0, "board": False, "task": {"id": 1}})
        if len(self.tasks) > 1:
            for task in self.tasks:
                child = {**row, "id": len(self.submissions) + 1, "parent": row["id"], "task": {"id": task}}
                self.submissions.append({**child, "children": [], "step": 0, "board": False})
                self.submissions[row["id"] - 1]["children"].append(child["id"])
        return row

    def _row(self, row: dict[str, Any]) -> dict[str, Any]:
        shown = {key: value for key, value in row.items() if key not in ("step", "board", "data", "md5")}
        extra = {"precision": 4, "is_primary": True} if self.later else {}
        score = {"id": row["id"], "index": 0, "score": self.score, "column_key": "accuracy", **extra}
        posted = row["status"] == "Finished" and row["step"] > len(self.walk)
        shown["scores"] = [score] if posted and self.outcome == "Finished" else []
        return {
            **shown, "pk": row["id"], "owner": self.username, "leaderboard": 1,
            "phase_name": next(phase["name"] for phase in self.phases if phase["id"] == row["phase"]),
            "on_leaderboard": row["board"], "has_children": bool(row["children"]), "auto_run": True,
            "is_soft_deleted": False,
        }  # fmt: skip

    def _status(self, request: Request, number: str) -> Answer:
        row = next((row for row in self.submissions if row["id"] == int(number)), None)
        if row is None or row["id"] in self.deleted:
            return Answer(404, {"detail": "Not found."})
        if row["status"] == "Cancelled":
            return Answer(200, self._row(row))
        row["step"] += 1
        row["status"] = self.walk[min(row["step"], len(self.walk)) - 1]
        row["status_details"] = "scoring_hostname-vm"
        if row["status"] == "Finished":
            outcome = "Failed" if self.fails_with else self.outcome
            row["status"] = self.child_outcomes.get(row["id"], outcome)
            row["status_details"] = self.details
            for child in row["children"]:
                self.submissions[child - 1]["step"] = len(self.walk) + 1
            if self.rule.startswith("Force") and row["status"] == "Finished":
                row["board"] = row["step"] > len(self.walk) or bool(row["children"])
        return Answer(200, self._row(row))

    def _list(self, request: Request) -> Answer:
        query = parse_qs(urlsplit(request.path).query)
        shown = [row for row in self.submissions if row["id"] not in self.deleted]
        rows = [self._row(row) for row in shown if str(row["phase"]) in query.get("phase", [])]
        if not self.later:
            return Answer(200, rows)
        number = int(query.get("page", ["1"])[0])
        part = rows[(number - 1) * self.page : number * self.page]
        following = f"{self.url}/api/submissions/?page={number + 1}" if number * self.page < len(rows) else None
        sizes = [50, 100, 500, "all"]
        return Answer(
            200,
            {"count": len(rows), "next": following, "previous": None, "page_size": self.page, "results": part,
             "allowed_page_sizes": sizes},
        )  # fmt: skip

    def _details(self, request: Request, number: str) -> Answer:
        self.storage.objects["/storage/log/err"] = (self.fails_with or self.log).encode()
        link = f"{self.storage.url}/storage/log/err?Signature=abc"
        names = ["prediction_stdout", "prediction_stderr", "prediction_ingestion_stdout", "scoring_stderr"]
        logs = [{"name": name, "data_file": f"{self.storage.url}/storage/log/none?Signature=abc"} for name in names]
        for name, text in self.logs.items():
            self.storage.objects[f"/storage/log/{name}"] = text.encode()
            logs.append({"name": name, "data_file": f"{self.storage.url}/storage/log/{name}?Signature=abc"})
        logs.append({"name": "prediction_ingestion_stderr", "data_file": link})
        return Answer(200, {"logs": logs, "data_file": link, "prediction_result": None, "leaderboards": []})

    def _cancel(self, request: Request, number: str) -> Answer:
        row = self.submissions[int(number) - 1]
        over = row["status"] in ("Finished", "Failed", "Cancelled")
        row["status"] = row["status"] if over else "Cancelled"
        return Answer(200, {"canceled": not over})

    def _rerun(self, request: Request, number: str) -> Answer:
        if not self.robot:
            return Answer(403, {"detail": "You do not have permission to re-run submissions"})
        row = self.submissions[int(number) - 1]
        return Answer(200, {"id": self._add({"data": row["data"], "phase": row["phase"]})["id"]})

    def _connect(self, request: Request, number: str) -> Answer:
        if self.rule.startswith("Force"):
            return Answer(403, {"detail": "Users are not allowed to edit the leaderboard on this Competition"})
        self.submissions[int(number) - 1]["board"] = True
        return Answer(200, {})

    def _board(self, request: Request, phase: str) -> Answer:
        rows = [
            (name, score, 900 + place, f"/profiles/user/{name}/") for place, (name, score) in enumerate(self.others)
        ]
        for row in self.submissions:
            if row["board"] and not row["parent"] and str(row["phase"]) == phase and row["id"] not in self.deleted:
                shown = f"{float(self.score):.4f}"
                line = row["children"][-1] if self.child_lines else row["id"]  # a rule keeps the last task's only
                rows.append(("A Display Name", shown, line, f"/profiles/user/{self.username}/"))
        rows.sort(key=lambda row: -float(row[1]))
        column = {
            "id": 1, "title": "Accuracy", "key": "accuracy", "index": 0, "sorting": "desc", "precision": 4,
            "hidden": False, "computation": None, "computation_indexes": None,
        }  # fmt: skip
        lines = [
            {"id": number, "owner": name, "slug_url": slug, "organization": None,
             "created_when": "2026-11-21T05:34:57.989248Z", "detailed_results": [], "fact_sheet_answers": None,
             "scores": [{"id": number, "index": 0, "score": score, "column_key": "accuracy", "task_id": 1}]}
            for name, score, number, slug in rows
        ]  # fmt: skip
        tasks = [{"name": "task0", "id": 1, "colWidth": 2, "columns": [column]}]
        board = {"title": "Results", "id": 1, "primary_index": 0, "fact_sheet_keys": None}
        return Answer(200, {**board, "submissions": lines, "tasks": tasks})
