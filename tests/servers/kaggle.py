"""Kaggle on loopback: the services that the official package calls, with the bodies it expects."""

from __future__ import annotations

import csv
import io
import json
import re
import zipfile
from datetime import UTC, datetime
from typing import Any

from servers.base import Answer, Request, Server

TOKEN = "KGAT_0123456789abcdef0123456789abcdef"
PHASES = {
    "IntrospectToken": "login",
    "GetCompetition": "competition",
    "GetSubmissionLimits": "limits",
    "StartSubmissionUpload": "slot",
    "CreateSubmission": "create",
    "CreateCodeSubmission": "create-code",
    "ListSubmissions": "list",
    "GetSubmission": "status",
    "DownloadLeaderboard": "board",
    "GetDatasetStatus": "dataset-status",
    "StartBlobUpload": "blob",
    "CreateDataset": "dataset",
    "CreateDatasetVersion": "dataset-version",
    "SaveKernel": "kernel",
    "GetKernelSessionStatus": "kernel-status",
    "ListKernelSessionOutput": "kernel-log",
    "GetAcceleratorQuotaStatistics": "quota",
    "ListCompetitionPages": "pages",
}


class Storage(Server):
    """The upload host, resumable; ``cut`` breaks the first upload after so many bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.objects: dict[str, bytes] = {}
        self.cut = 0

    def phase_of(self, method: str, path: str) -> str:
        return "put"

    def answer(self, request: Request) -> Answer:
        have = self.objects.get(request.path, b"")
        place = request.headers.get("content-range", "")
        query = re.fullmatch(r"bytes \*/(\d+)", place)
        if query:
            if len(have) == int(query.group(1)):
                return Answer(200, "")
            return Answer(308, "", {"Range": f"bytes=0-{len(have) - 1}"} if have else {})
        start = re.fullmatch(r"bytes (\d+)-\d+/\d+", place)
        if start:
            assert int(start.group(1)) == len(have)
            self.objects[request.path] = have + request.body
            return Answer(200, "")
        if self.cut:
            self.objects[request.path], self.cut = request.body[: self.cut], 0
            return Answer(503, "busy")
        self.objects[request.path] = request.body
        return Answer(200, "")


class Kaggle(Server):
    """One competition, ``cells``; ``code`` makes it one for notebooks."""

    fails_with = ""
    """A reason that every submission fails with."""
    rules = ""
    """What a page of the competition says."""

    def __init__(self, code: bool = False) -> None:
        super().__init__()
        self.code = code
        self.token = TOKEN
        self.storage = Storage()
        self.submissions: list[dict[str, Any]] = []
        self.pending = 2
        self.score, self.private, self.error = "0.87123", "", ""
        self.entered, self.deadline = True, "2099-01-01T00:00:00Z"
        self.limit, self.used, self.total = 5, 0, 0
        self.others = [(f"team {number}", f"{0.95 - number / 1000:.5f}") for number in range(150)]
        self.datasets: dict[str, dict[str, Any]] = {}
        self.kernels: dict[str, list[dict[str, Any]]] = {}
        self.walks = {"dataset": ["BLOBS_RECEIVED", "READY"], "kernel": ["QUEUED", "RUNNING", "COMPLETE"]}
        self.steps = {"dataset": 0, "kernel": 0}
        self.kernel_log, self.kernel_failure = "", ""
        self.invalid: dict[str, list[str]] = {}
        self.gpu_hours = (12.5, 30.0)

    def __enter__(self) -> Kaggle:
        self.storage.__enter__()
        super().__enter__()
        return self

    def __exit__(self, *arguments: object) -> None:
        super().__exit__(*arguments)
        self.storage.__exit__(*arguments)

    def phase_of(self, method: str, path: str) -> str:
        return PHASES.get(path.rpartition("/")[2], "unknown")

    def created(self) -> int:
        return len(self.submissions)

    def forget(self) -> None:
        """Back to the beginning, for the next round."""
        self.submissions.clear()
        self.datasets.clear()
        self.kernels.clear()
        self.used, self.steps = 0, {"dataset": 0, "kernel": 0}

    def fault_body(self, status: int) -> Answer:
        return Answer(status, {"code": status, "message": f"fault {status}"})

    def answer(self, request: Request) -> Answer:
        if request.path == "/forget":
            self.forget()
            return Answer(200, "")
        if request.path == "/created":
            return Answer(200, str(self.created()))
        if request.phase == "unknown" or not request.path.startswith("/v1/"):
            return self.fault_body(404)
        if request.headers.get("authorization") != f"Bearer {self.token}":
            return Answer(401, {"code": 401, "message": "Unauthenticated"})
        return getattr(self, "_" + request.phase.replace("-", "_"))(json.loads(request.body or b"{}"))

    def _login(self, body: dict[str, Any]) -> Answer:
        return Answer(200, {"active": True, "username": "student"})

    def _competition(self, body: dict[str, Any]) -> Answer:
        if body["competitionName"] != "cells":
            return Answer(403, {"code": 403, "message": "Permission 'competitions.participate' was denied"})
        return Answer(
            200,
            {"ref": "cells", "maxDailySubmissions": self.limit, "userRank": 0, "teamCount": 151,
             "deadline": self.deadline, "isKernelsSubmissionsOnly": self.code, "userHasEntered": self.entered},
        )  # fmt: skip

    def _limits(self, body: dict[str, Any]) -> Answer:
        counts = {"numToday": self.used, "numTotal": self.used, "numAllowedNow": self.limit - self.used}
        return Answer(200, {**counts, "limitedByTotal": bool(self.total)})

    def _slot(self, body: dict[str, Any]) -> Answer:
        return Answer(200, {"token": f"blob-{len(self.requests)}", "createUrl": self._upload_url()})

    _blob = _slot

    def _upload_url(self) -> str:
        return f"{self.storage.url}/upload/{len(self.requests)}"

    def _create(self, body: dict[str, Any]) -> Answer:
        if self.used >= self.limit:
            message = "Submission not allowed: your team has used its daily allowance"
            return Answer(400, {"code": 400, "message": message})
        self.used += 1
        self.submissions.append(
            {"ref": 1000 + len(self.submissions), "date": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}0Z",
             "description": body["submissionDescription"], "fileName": "submission.csv", "status": "PENDING",
             "teamName": "we", "submittedBy": "student", "step": 0, "body": body}
        )  # fmt: skip
        return Answer(200, {"message": "Successfully submitted to cells", "ref": self.submissions[-1]["ref"]})

    _create_code = _create

    def _shown(self, row: dict[str, Any]) -> dict[str, Any]:
        scores = {"publicScore": self.score, "privateScore": self.private} if row["status"] == "COMPLETE" else {}
        error = {"errorDescription": self.error or self.fails_with} if row["status"] == "ERROR" else {}
        return {key: value for key, value in row.items() if key not in ("step", "body")} | scores | error

    def _list(self, body: dict[str, Any]) -> Answer:
        rows = [self._shown(row) for row in reversed(self.submissions)]
        first = (body.get("page", 1) - 1) * body["pageSize"]
        return Answer(200, {"submissions": rows[first : first + body["pageSize"]], "nextPageToken": ""})

    def _status(self, body: dict[str, Any]) -> Answer:
        row = next((row for row in self.submissions if row["ref"] == body.get("ref")), None)
        if row is None:
            return Answer(404, {"code": 404, "message": "Submission not found"})
        row["step"] += 1
        if row["step"] == 1:
            return Answer(404, {"code": 404, "message": "Submission not found"})
        if row["step"] > self.pending:
            row["status"] = "ERROR" if self.error or self.fails_with else "COMPLETE"
        return Answer(200, self._shown(row))

    def _board(self, body: dict[str, Any]) -> Answer:
        rows = list(self.others)
        if any(row["status"] == "COMPLETE" for row in self.submissions):
            rows.append(("we", self.score))
        rows.sort(key=lambda row: -float(row[1]))
        text, content = io.StringIO(), io.BytesIO()
        writer = csv.writer(text)
        writer.writerow(["Rank", "TeamId", "TeamName", "LastSubmissionDate", "Score"])
        writer.writerows([i, 500 + i, name, "2026-11-20 10:00:00", score] for i, (name, score) in enumerate(rows, 1))
        with zipfile.ZipFile(content, "w") as archive:
            archive.writestr("cells-publicleaderboard.csv", text.getvalue())
        return Answer(200, content.getvalue())

    def _dataset_status(self, body: dict[str, Any]) -> Answer:
        if f"{body['ownerSlug']}/{body['datasetSlug']}" not in self.datasets:
            return Answer(403, {"code": 403, "message": "Permission 'datasets.get' was denied"})
        return Answer(200, {"status": self._walk("dataset")})

    def _walk(self, kind: str) -> str:
        self.steps[kind] += 1
        return self.walks[kind][min(self.steps[kind], len(self.walks[kind])) - 1]

    def _dataset(self, body: dict[str, Any]) -> Answer:
        self.datasets[f"{body['ownerSlug']}/{body['slug']}"] = body
        return Answer(200, {"url": "https://www.kaggle.com/datasets/x", "status": "ok", "error": ""})

    def _dataset_version(self, body: dict[str, Any]) -> Answer:
        self.datasets[f"{body['ownerSlug']}/{body['datasetSlug']}"] = body
        return Answer(200, {"url": "https://www.kaggle.com/datasets/x", "status": "ok", "error": ""})

    def _kernel(self, body: dict[str, Any]) -> Answer:
        versions = self.kernels.setdefault(body["slug"], [])
        versions.append(body)
        made = {"ref": body["slug"], "url": "", "versionNumber": len(versions), "error": ""}
        return Answer(200, {**made, **self.invalid})

    def _kernel_status(self, body: dict[str, Any]) -> Answer:
        versions = self.kernels[f"{body['userName']}/{body['kernelSlug']}"]
        if body.get("versionLabel") != str(len(versions)):
            return Answer(200, {"status": "COMPLETE"})  # of another version than the one that was pushed last
        state = self._walk("kernel")
        return Answer(200, {"status": state, "failureMessage": self.kernel_failure if state == "ERROR" else ""})

    def _kernel_log(self, body: dict[str, Any]) -> Answer:
        lines = self.kernel_log.splitlines(keepends=True)
        pieces = [{"stream_name": "stderr", "time": float(place), "data": line} for place, line in enumerate(lines)]
        return Answer(200, {"files": [], "log": json.dumps(pieces), "nextPageToken": ""})

    def _quota(self, body: dict[str, Any]) -> Answer:
        used, allowed = (f"{hours * 3600:.0f}s" for hours in self.gpu_hours)
        return Answer(200, {"gpuQuota": {"timeUsed": used, "totalTimeAllowed": allowed}})

    def _pages(self, body: dict[str, Any]) -> Answer:
        return Answer(
            200, {"pages": [{"name": "description", "content": "Cells!"}, {"name": "rules", "content": self.rules}]}
        )
