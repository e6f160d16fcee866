"""What the ledger and the platforms need of the files that other stages wrote of a candidate, and no more."""

from __future__ import annotations

from kit.store.record import Part


class Interval(Part, extra="ignore"):
    """A score with its 95 % interval."""

    score: float
    low: float
    high: float


class Validated(Part, extra="ignore"):
    """Of ``ensemble.json``: the cross-validated score, on how many rows, and the score of the stressed rows."""

    cv: Interval
    rows: int = 0
    stressed: Interval | None = None


class Proof(Part, extra="ignore"):
    """Of ``proof.json``: the file that was proven, and how long it took for how many images."""

    sha256: str
    images: int = 0
    predict_seconds: float | None = None
    load_seconds: float = 0.0


class Expected(Part, extra="ignore"):
    """Of ``forecast.json``: what `kit forecast` said of a submission, which never knew its own score."""

    value: float
    low: float
    high: float
    basis: str
    level: float
