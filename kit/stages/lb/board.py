"""The report as tables that fit the terminal, and a few sentences."""

import csv
import io
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

from kit.base.events import Emit, Event
from kit.base.text import guarded
from kit.stages.lb.report import Report
from kit.store.ledger.standing import Line, place

SHOWN = 20
LONG = 40
# What stands in a score's place before there is one.
WAITING = {"requested": "unsure", "answered": "waiting"}
STUCK = 3600.0  # seconds without a result after which a submission may never get one


def show(report: Report, emit: Emit, width: int = 80) -> None:
    """Board, submissions, and what to make of them; a column without a single value is left out."""
    if report.seen.problem:
        emit(Event("warn", f"{report.seen.problem}: {report.seen.hint}" if report.seen.hint else report.seen.problem))
    if report.board and report.standing:
        rows = list[tuple[str, str, str]]()
        for before, row in zip((0, *(row.rank for row in report.board)), report.board, strict=False):
            rows += [("...", "", "")] if row.rank > before + 1 else []
            name = fitting(f"{'>' if row.mine else ' '} {row.name}", max(width - 20, 12))
            rows.append((str(row.rank), name, number(row.score)))
        age = f"{ago(report.standing.age)} old" if report.seen.problem or report.standing.age >= 60 else "now"
        title = f"{report.competition.name}: {report.standing.snapshot.lines} lines, {age}"
        emit(Event("table", title, {"header": ("rank", "  name", report.competition.metric), "rows": rows}))
    lines = report.submissions[-SHOWN:]
    if lines:
        hidden = len(report.submissions) - len(lines)
        title = f"submissions ({hidden} older ones with --json)" if hidden else "submissions"
        header, cells = zip(*(column for column in _columns(report, lines) if any(column[1])), strict=True)
        emit(Event("table", title, {"header": header, "rows": list(zip(*cells, strict=True))}))
        newest = lines[-1].attempt
        if newest.message or newest.state == "failed":
            what = "failed:" if newest.state == "failed" else f"scored {newest.score},"
            emit(Event("warn", f"{short(newest.submission.name)} {what} {newest.message}"))
    for text in sentences(report):
        emit(Event("say", text))


def _columns(report: Report, lines: Sequence[Line]) -> list[tuple[str, list[str]]]:
    tried = [line.attempt for line in lines]
    return [
        ("submission", [short(one.submission.name) for one in tried]),
        ("phase", [report.phase_of(line) for line in lines] if len(report.here) < len(report.submissions) else []),
        ("CV", [number(line.cv) for line in lines]),
        ("stressed", [number(line.stressed) for line in lines]),
        ("decision", [number(line.decided, "+") for line in lines]),
        ("public", [number(one.score) or WAITING.get(one.state, one.state) for one in tried]),
        ("gap", [number(line.gap, "+") for line in lines]),
        ("private", [number(one.private) for one in tried]),
        ("forecast", [number(line.forecast.value) for line in lines]),
        ("error", [number(line.surprise, "+") for line in lines]),
        ("rank", [f"{line.rank} ({line.moved:+d})" if line.moved else str(line.rank or "") for line in lines]),
        ("age", [ago((report.now - line.attempt.begun.time).total_seconds()) for line in lines]),
        ("CV 95 %", [f"{line.low:.4f}-{line.high:.4f}" for line in lines]),
        ("forecast interval", [f"{line.forecast.low:.4f}-{line.forecast.high:.4f}" for line in lines]),
        ("who", [one.begun.who[:12] for one in tried]),
        ("commit", [one.begun.commit for one in tried]),
    ]


def sentences(report: Report) -> list[str]:
    """What to make of the numbers."""
    standing, phase = report.standing, report.seen.phase
    texts = ["we are not on the board" if standing else "no snapshot of the leaderboard yet"]
    if standing and standing.snapshot.rank is not None:
        texts = [place(standing.snapshot, standing.moved)]
        if standing.ahead:
            ahead = fitting(standing.ahead.name, LONG)
            texts.append(f"{standing.distance:.4f} behind rank {standing.ahead.rank} ({ahead})")
        if standing.zones:
            zones = ", ".join(f"{name} to rank {last}" for name, last in standing.zones.items())
            texts.append(f"medal zone: {standing.medal or 'none'} ({zones})")
    if report.noise is not None:
        texts.append(
            f"on {report.competition.test_size} images a difference below {report.noise:.4f} is within the noise "
            "(95 % upper bound for two equally good submissions)"
        )
    elif report.submissions:
        texts.append("set competition.test_size to see how large a difference must be to exceed the noise")
    if found := report.agreement:
        texts.append(f"CV and score agree on the order of {found.alike} of {found.pairs} pairs of submissions")
    if report.finals:
        finals = [f"{short(line.attempt.submission.name)} ({number(estimate)})" for line, estimate in report.finals]
        texts.append(f"suggested final submissions, by CV and score together: {', '.join(finals)}")
    if report.submissions:
        texts.append(
            "CV and its interval come from the blend's out-of-fold predictions; test predictions average the fold "
            "models, which makes them slightly better and less confident"
        )
    if phase.name:
        end = f"ends {phase.end.astimezone():%d %B %Y %H:%M}" if phase.end else "has no end"
        texts.append(f"phase `{phase.name}` {end}")
        for one in [line.attempt for line in report.here if line.attempt.state == "answered"]:
            if (waited := (report.now - one.begun.time).total_seconds()) > STUCK:
                told = f"submission {one.remote} has had no result for {ago(waited)}; it counts against the limits"
                texts.append(f"{told}: kit lb --cancel --of {one.remote}")
        if report.submissions and not report.here:
            texts.append(f"nothing has been sent to phase `{phase.name}` yet: kit submit")
    if report.seen.remaining.counts:
        texts.append(f"submissions left: {report.seen.remaining.counts}{report.seen.remaining.until}")
    return texts


def fitting(name: str, room: int) -> str:
    """A name that others chose, without what would move the cursor, in so many columns; some letters take two."""
    name = "".join(letter if letter.isprintable() else " " for letter in name)
    return name if cell_len(name) <= room else set_cell_size(name, room - 1).rstrip() + "…"


def short(name: str) -> str:
    """The hash at the end of a candidate's name: enough to tell it from the others."""
    return name.rpartition("-")[2]


def number(value: float | None, sign: str = "") -> str:
    """Four decimals; empty for what is not known. With ``sign`` "+" a positive one has its sign too."""
    return "" if value is None else f"{value:{sign}.4f}"


def ago(seconds: float) -> str:
    """A time span in its largest unit."""
    for size, unit in ((86400, "d"), (3600, "h"), (60, "min")):
        if seconds >= size:
            return f"{int(seconds // size)} {unit}"
    return f"{max(int(seconds), 0)} s"


def csv_lines(report: Report) -> list[str]:
    """The submissions as comma-separated lines, a header first."""
    text, rows = io.StringIO(), report.rows()
    names = [name for name in rows[0] if name != "message"] if rows else []
    writer = csv.DictWriter(text, names, extrasaction="ignore", lineterminator="\n")
    writer.writeheader()
    writer.writerows({name: guarded(cell) for name, cell in line.items()} for line in rows)
    return text.getvalue().splitlines()
