"""``kit clean``: raw images to ``data/``, with a ledger of everything that was dropped or noticed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kit.clean.decoded import Decoded, decode
from kit.clean.gallery import contact_sheets
from kit.clean.plan import Finding, Plan, plan
from kit.clean.quality import odd_sizes
from kit.clean.sheets import png
from kit.config import Config
from kit.errors import DataError
from kit.files import is_fresh, read_csv, sha256_file, sha256_json, write_atomic, write_csv, write_json
from kit.layout import Layout
from kit.records import Emit, Event, ImageArray, IntArray
from kit.sources import RawSet, open_source
from kit.sources.join import joined
from kit.sources.npz import check_classes

VERSION = 1


def clean(layout: Layout, config: Config, emit: Emit, *, force: bool = False) -> None:
    """Read the raw images, drop what must not be trained on, and write ``data/``.

    Raises
    ------
    DataError
        Where the raw files cannot be used, or nothing is left of a class.
    """
    raw, train_rows = _open(layout, config)
    test = open_source(config.data, layout.root, "test") if config.data.test else None
    key = _key(layout, config, raw, test)
    outputs = [layout.images, layout.index, layout.dropped, layout.noted]
    outputs += [layout.test_images, layout.test_index] if test else []
    if not force and is_fresh(layout.data_manifest, key, outputs):
        emit(Event("fresh", "clean", {"stage": "clean"}))
        return
    check_classes(raw.labels[:train_rows], raw.classes, f"data.train = {config.data.train!r}")
    layout.data_manifest.unlink(missing_ok=True)
    with decode(layout.data, raw) as decoded:
        if not len(decoded.rows):
            raise DataError(f"none of {len(raw.ids)} images can be read; {raw.ids[0]!r}: {decoded.problems[0]}")
        result = _plan(layout, config, raw, decoded, emit)
        kept = decoded.rows[result.keep]
        check_classes(raw.labels[kept[kept < train_rows]], raw.classes, "after cleaning, the data")
        _write_kept(layout, raw, decoded, result, train_rows)
        _draw_sheets(layout, raw, decoded, result)
    unseen = _write_test(layout, test, raw.shape)
    _write_findings(layout, raw, decoded, result, unseen)
    _write_manifest(layout, raw, key, result, test)
    _tell(emit, layout, raw, result, decoded.problems)
    if unseen:
        emit(Event("warn", f"{len(unseen)} test images cannot be read and are predicted as black ones: {layout.noted}"))


def _open(layout: Layout, config: Config) -> tuple[RawSet, int]:
    """The labelled images, external ones last, and how many are not external."""
    raw = open_source(config.data, layout.root, "train")
    if not config.data.external:
        return raw, len(raw.ids)
    return joined(raw, open_source(config.data, layout.root, "external")), len(raw.ids)


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


def _plan(layout: Layout, config: Config, raw: RawSet, decoded: Decoded, emit: Emit) -> Plan:
    """Plan on the images that can be read; the plan's rows are theirs."""
    overrides = _overrides(layout.overrides, raw, decoded.rows)

    def step(name: str) -> None:
        emit(Event("progress", f"clean: {name}", {"stage": "clean"}))

    found = plan(decoded.images, raw.labels[decoded.rows], config.clean, overrides=overrides, on_step=step)
    if raw.sizes is None or not config.clean.quality:
        return found
    odd = odd_sizes(raw.sizes[decoded.rows[found.keep]], found.keep)
    return replace(found, noted=(*found.noted, *odd))


def _overrides(path: Path, raw: RawSet, rows: IntArray) -> dict[int, str]:
    """A person's word on images, by row of the readable ones; one on an unreadable image has no effect."""
    if not path.exists():
        return {}
    position = {raw.ids[row]: place for place, row in enumerate(rows.tolist())}
    known = set(raw.ids)
    result = {}
    for line in read_csv(path, for_people=True):
        if line.get("id") not in known or line.get("action") not in ("keep", "drop"):
            raise DataError(f"{path.name}: {line} names no image or no action", "id,action with action keep or drop")
        if line["id"] in position:
            result[position[line["id"]]] = line["action"]
    return result


def _write_kept(layout: Layout, raw: RawSet, decoded: Decoded, result: Plan, train_rows: int) -> None:
    def blocks() -> Iterator[ImageArray]:
        for start in range(0, len(result.keep), 1024):
            yield decoded.images[result.keep[start : start + 1024]]

    digests = _write_images(layout.images, len(result.keep), raw.shape, blocks())
    kept = decoded.rows[result.keep]
    columns: dict[str, Iterable[object]] = {
        "id": [raw.ids[row] for row in kept],
        "label": raw.labels[kept].tolist(),
        "group": _merged_groups(raw, kept, result.group),
        "role": ["train" if row < train_rows else "train-only" for row in kept],
        "sha256": digests,
    }
    if raw.weights is not None:
        columns["weight"] = raw.weights[kept].tolist()
    write_csv(layout.index, columns, zip(*columns.values(), strict=True))


def _write_images(path: Path, n: int, shape: tuple[int, int], blocks: Iterable[ImageArray]) -> list[str]:
    """Write an array (n, H, W, 3) block by block; returns the SHA-256 of each image."""
    digests: list[str] = []

    def fill(file: Any) -> None:
        header = {"descr": "|u1", "fortran_order": False, "shape": (n, *shape, 3)}
        np.lib.format.write_array_header_1_0(file, header)
        for block in blocks:
            digests.extend(hashlib.sha256(image.tobytes()).hexdigest() for image in block)
            file.write(block.tobytes())

    write_atomic(path, fill, need=n * shape[0] * shape[1] * 3)
    return digests


def _merged_groups(raw: RawSet, kept: IntArray, found: IntArray) -> list[str]:
    """The groups found by cleaning joined with the user's own: two rows linked by either share a name."""
    from scipy.sparse import coo_array
    from scipy.sparse.csgraph import connected_components

    n = len(kept)
    own = _own_groups([raw.groups[row] for row in kept] if raw.groups else [""] * n)
    rows = np.arange(n)
    to_groups = np.r_[n + found, 2 * n + own]  # three sets of nodes: rows, groups found, groups given
    graph = coo_array((np.ones(2 * n), (np.r_[rows, rows], to_groups)), shape=(3 * n, 3 * n))
    _, component = connected_components(graph, directed=False)
    _, first, inverse = np.unique(component[:n], return_index=True, return_inverse=True)
    return [raw.ids[row] for row in kept[first[inverse]].tolist()]


def _own_groups(names: list[str]) -> IntArray:
    """Numbers of the user's groups; a row without one is alone."""
    keys = [("group", name) if name else ("row", str(row)) for row, name in enumerate(names)]
    numbers = {key: number for number, key in enumerate(dict.fromkeys(keys))}
    return np.array([numbers[key] for key in keys], np.int64)


def _draw_sheets(layout: Layout, raw: RawSet, decoded: Decoded, result: Plan) -> None:
    """A contact sheet for every reason, so that a person can look; those of an earlier cleaning go."""
    for old in layout.sheets.glob("*.png"):
        old.unlink()
    names = [raw.ids[row] for row in decoded.rows.tolist()]
    for reason, picture in contact_sheets(decoded.images, raw.labels[decoded.rows], result, names).items():
        write_atomic(layout.sheets / f"{reason}.png", png(picture))


def _write_findings(layout: Layout, raw: RawSet, decoded: Decoded, result: Plan, unseen: dict[str, str]) -> None:
    def line(finding: Finding) -> tuple[str, str, str, str]:
        twin = raw.ids[decoded.rows[finding.twin]] if finding.twin >= 0 else ""
        return raw.ids[decoded.rows[finding.row]], finding.reason, twin, finding.detail

    header = ("id", "reason", "twin", "detail")
    unreadable = [(raw.ids[row], "unreadable", "", why) for row, why in sorted(decoded.problems.items())]
    write_csv(layout.dropped, header, [*unreadable, *map(line, result.dropped)], for_people=True)
    unseen_lines = [(name, "unreadable-test", "", why) for name, why in unseen.items()]
    write_csv(layout.noted, header, [*map(line, result.noted), *unseen_lines], for_people=True)


def _write_test(layout: Layout, test: RawSet | None, shape: tuple[int, int]) -> dict[str, str]:
    """Write the test images; returns those that cannot be read, by id: they are black, for every id is predicted."""
    if test is None:
        layout.test_images.unlink(missing_ok=True)
        layout.test_index.unlink(missing_ok=True)
        return {}
    if test.shape != shape:
        raise DataError(
            f"test images are {test.shape[0]} x {test.shape[1]}, training images {shape[0]} x {shape[1]}",
            f"[data] image_size = {min(shape)}",
        )
    problems: dict[str, str] = {}

    def blocks() -> Iterator[ImageArray]:
        for _, images, found in test.blocks():
            problems.update((test.ids[row], reason) for row, reason in found.items())
            yield images

    digests = _write_images(layout.test_images, len(test.ids), shape, blocks())
    write_csv(layout.test_index, ("id", "sha256"), zip(test.ids, digests, strict=True))
    return problems


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
