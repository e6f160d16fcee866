"""``kit clean``: raw images to ``data/``, with a ledger of everything that was dropped or noticed."""

from __future__ import annotations

import hashlib
import os
import tempfile
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from kit.clean.plan import Finding, Plan, plan
from kit.config import Config
from kit.errors import DataError
from kit.files import is_fresh, read_csv, sha256_file, sha256_json, write_atomic, write_csv, write_json
from kit.layout import Layout
from kit.records import Emit, Event, ImageArray, IntArray
from kit.sources import RawSet, open_source
from kit.sources.npz import check_classes

VERSION = 1


def clean(layout: Layout, config: Config, emit: Emit, *, force: bool = False) -> None:
    """Read the raw images, drop what must not be trained on, and write ``data/``.

    Raises
    ------
    DataError
        Where the raw files cannot be used, or nothing is left of a class.
    """
    raw = open_source(config.data, layout.root, "train")
    test = open_source(config.data, layout.root, "test") if config.data.test else None
    key = _key(layout, config, raw, test)
    outputs = [layout.images, layout.index, layout.dropped, layout.noted]
    if not force and is_fresh(layout.data_manifest, key, outputs):
        emit(Event("fresh", "clean", {"stage": "clean"}))
        return
    check_classes(raw.labels, raw.classes, f"data.train = {config.data.train!r}")
    layout.data_manifest.unlink(missing_ok=True)
    with Decoded(layout.data, raw) as decoded:
        result = _plan(layout, config, raw, decoded, emit)
        check_classes(raw.labels[result.keep], raw.classes, "after cleaning, the data")
        _write_kept(layout, raw, decoded, result)
    _write_findings(layout, raw, result, decoded.problems)
    if test is not None:
        _write_test(layout, test, raw.shape)
    _write_manifest(layout, raw, key, result, test)
    _tell(emit, layout, raw, result, decoded.problems)


def _key(layout: Layout, config: Config, raw: RawSet, test: RawSet | None) -> str:
    return sha256_json(
        {
            "version": VERSION,
            "raw": raw.fingerprint,
            "classes": raw.classes,
            "test": test.fingerprint if test else None,
            "clean": config.clean.model_dump(mode="json"),
            "overrides": sha256_file(layout.overrides) if layout.overrides.exists() else None,
        }
    )


class Decoded:
    """All raw images in a temporary memory-mapped file that is gone when the block ends.

    A set of 100,000 images does not fit in memory, and a compressed source cannot be read twice at no cost.
    """

    def __init__(self, folder: Path, raw: RawSet) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        descriptor, name = tempfile.mkstemp(prefix=".decoded.", suffix=".tmp", dir=folder)
        os.close(descriptor)
        self._path = Path(name)
        self._raw = raw
        self.problems: dict[int, str] = {}

    def __enter__(self) -> Decoded:
        shape = (len(self._raw.ids), *self._raw.shape, 3)
        self.images: ImageArray = np.memmap(self._path, np.uint8, "w+", shape=shape)
        for start, images, problems in self._raw.blocks():
            self.images[start : start + len(images)] = images
            self.problems.update(problems)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(FileNotFoundError):
            self._path.unlink()


def _plan(layout: Layout, config: Config, raw: RawSet, decoded: Decoded, emit: Emit) -> Plan:
    """Plan on the images that can be read, in the rows of the raw set."""
    usable = np.array([row for row in range(len(raw.ids)) if row not in decoded.problems], np.int64)
    whole = len(usable) == len(raw.ids)
    images = decoded.images if whole else decoded.images[usable]
    overrides = _overrides(layout.overrides, [raw.ids[row] for row in usable])

    def step(name: str) -> None:
        emit(Event("progress", f"clean: {name}", {"stage": "clean"}))

    found = plan(images, raw.labels[usable], config.clean, overrides=overrides, on_step=step)
    return found if whole else _in_raw_rows(found, usable)


def _in_raw_rows(found: Plan, usable: IntArray) -> Plan:
    def back(finding: Finding) -> Finding:
        twin = int(usable[finding.twin]) if finding.twin >= 0 else -1
        return Finding(int(usable[finding.row]), finding.reason, twin, finding.detail)

    return Plan(usable[found.keep], found.group, tuple(map(back, found.dropped)), tuple(map(back, found.noted)))


def _overrides(path: Path, ids: list[str]) -> dict[int, str]:
    if not path.exists():
        return {}
    position = {name: row for row, name in enumerate(ids)}
    result = {}
    for line in read_csv(path):
        if line.get("id") not in position or line.get("action") not in ("keep", "drop"):
            raise DataError(f"{path.name}: {line} names no image or no action", "id,action with action keep or drop")
        result[position[line["id"]]] = line["action"]
    return result


def _write_kept(layout: Layout, raw: RawSet, decoded: Decoded, result: Plan) -> None:
    def fill(file: Any) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (len(result.keep), *raw.shape, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        for start in range(0, len(result.keep), 1024):
            file.write(decoded.images[result.keep[start : start + 1024]].tobytes())

    write_atomic(layout.images, fill)
    groups = _merged_groups(raw, result)
    rows = (
        (
            raw.ids[row],
            int(raw.labels[row]),
            group,
            "train",
            hashlib.sha256(decoded.images[row].tobytes()).hexdigest(),
        )
        for row, group in zip(result.keep.tolist(), groups, strict=True)
    )
    write_csv(layout.index, ("id", "label", "group", "role", "sha256"), rows)


def _merged_groups(raw: RawSet, result: Plan) -> list[str]:
    """The groups found by cleaning joined with the user's own: two rows linked by either share a name."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(result.keep)
    owners = np.asarray(raw.groups)[result.keep] if raw.groups else np.arange(n)
    _, own = np.unique(owners, return_inverse=True)
    rows = np.arange(n)
    to_groups = np.r_[n + result.group, 2 * n + own]  # three sets of nodes: rows, groups found, groups given
    graph = coo_array((np.ones(2 * n), (np.r_[rows, rows], to_groups)), shape=(3 * n, 3 * n))
    _, component = connected_components(graph, directed=False)
    _, first, inverse = np.unique(component[:n], return_index=True, return_inverse=True)
    return [raw.ids[row] for row in result.keep[first[inverse]].tolist()]


def _write_findings(layout: Layout, raw: RawSet, result: Plan, problems: dict[int, str]) -> None:
    unreadable = [Finding(row, "unreadable", -1, reason) for row, reason in sorted(problems.items())]
    header = ("id", "reason", "twin", "detail")
    for path, findings in ((layout.dropped, [*unreadable, *result.dropped]), (layout.noted, result.noted)):
        write_csv(path, header, (_line(raw, finding) for finding in findings))


def _line(raw: RawSet, finding: Finding) -> tuple[str, str, str, str]:
    twin = raw.ids[finding.twin] if finding.twin >= 0 else ""
    return raw.ids[finding.row], finding.reason, twin, finding.detail


def _write_test(layout: Layout, test: RawSet, shape: tuple[int, int]) -> None:
    if test.shape != shape:
        raise DataError(f"test images are {test.shape}, training images {shape}", "[data] image_size = 96")
    images = test.all_images()
    write_atomic(layout.test_images, lambda file: np.save(file, images, allow_pickle=False))
    digests = (hashlib.sha256(image.tobytes()).hexdigest() for image in images)
    write_csv(layout.test_index, ("id", "sha256"), zip(test.ids, digests, strict=True))


def _write_manifest(layout: Layout, raw: RawSet, key: str, result: Plan, test: RawSet | None) -> None:
    files = [layout.images, layout.index] + ([layout.test_images, layout.test_index] if test else [])
    write_json(
        layout.data_manifest,
        {
            "key": key,
            "version": VERSION,
            "raw": len(raw.ids),
            "kept": len(result.keep),
            "classes": list(raw.classes),
            "shape": [*raw.shape, 3],
            "test": len(test.ids) if test else 0,
            "files": {path.name: sha256_file(path) for path in files},
        },
    )


def _tell(emit: Emit, layout: Layout, raw: RawSet, result: Plan, problems: dict[int, str]) -> None:
    reasons: Iterable[str] = (finding.reason for finding in result.dropped)
    dropped = Counter(reasons) + Counter({"unreadable": len(problems)} if problems else {})
    noted = Counter(finding.reason for finding in result.noted)
    rows = [("kept", len(result.keep), "")]
    rows += [(reason, count, "dropped") for reason, count in dropped.most_common()]
    rows += [(reason, count, "listed") for reason, count in noted.most_common()]
    emit(Event("table", f"{len(raw.ids)} raw images", {"header": ("images", "count", ""), "rows": rows}))
    emit(Event("wrote", "", {"paths": [layout.images, layout.index, layout.dropped, layout.noted]}))
