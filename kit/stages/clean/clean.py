"""``kit clean``: raw images to ``data/``, with a ledger of everything that was dropped or noticed."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from kit.base.arrays import IntArray
from kit.base.events import HEARD, Emit, Event
from kit.base.text import some
from kit.config import Config
from kit.config.base import UNLABELLED
from kit.config.competition import METRICS
from kit.errors import DataError
from kit.images.sources import Part, RawSet, is_rest_of_train, open_source
from kit.images.sources.folder import told
from kit.images.sources.raw import check_classes, joined
from kit.images.sources.table import read_sample
from kit.runtime.answer import NUMBER, Mismatch, answers, labels_of, match_ids
from kit.runtime.decode import LACKS
from kit.runtime.names import folded, whole
from kit.show.figures.sheets import png
from kit.stages.clean.decoded import Decoded, Source, decoding, tidy, write_images
from kit.stages.clean.draft import Finding, components
from kit.stages.clean.lineage import is_fresh, lineage, lineage_of_unlabelled
from kit.stages.clean.plan import Plan, plan
from kit.stages.clean.quality import odd_sizes
from kit.stages.clean.review import contact_sheets, overrides_by_row
from kit.store.data import EXTERNAL, GIVEN, DataRecord, UnlabelledRecord
from kit.store.encoded import stored_files
from kit.store.files import lock, sha256_json, write_atomic, write_csv
from kit.store.layout import Layout
from kit.store.record import DIGESTS, Digests, digest, digests_of

# By reason what to set in kit.toml to keep the images that it dropped.
UNDO = {
    "contamination": "[clean] contamination = false",
    "conflicting-label": '[clean] conflicting = "keep"',
    "outlier": "[clean] drop_outliers = false",
}


def clean(layout: Layout, config: Config, emit: Emit, *, force: bool = False) -> None:
    """Read the raw images, drop what must not be trained on, and write ``data/``.

    Test images are an artefact of their own: other ones change nothing that was made from the training images.

    Raises `DataError` where the raw files cannot be used, or nothing is left of a class, and `StageError` where a file
    under ``data/`` was changed by something else, or another process uses the data.
    """
    DIGESTS.attach(layout.digests)
    HEARD.set(emit)
    raw, roles = open_labelled(layout, config)
    given = {part: open_source(config.data, layout.root, part) for part in UNLABELLED if getattr(config.data, part)}
    for part, source in given.items():
        if source.shape != raw.shape:
            sizes = "{} images are {} x {}, training images {} x {}".format(part, *source.shape, *raw.shape)
            raise DataError(sizes, f"[data] image_size = {min(raw.shape)}")
    if "test" in given and config.data.sample_submission:
        _compare_with_sample(layout, config, given["test"], raw, emit)
    made_from = lineage(layout, config, raw)
    with lock(layout.data_lock, "data/", shared=True):
        stale = force or DataRecord.fresh(layout.data_manifest, made_from) is None
        others = [part for part in UNLABELLED if force or not is_fresh(layout, config, part, given.get(part))]
    fresh = not (stale or others)
    with lock(layout.data_lock, "data/", shared=fresh):
        read = {"training": raw} if stale else {}
        for what, source in (read | {part: given[part] for part in others if part in given}).items():
            if source.passed_over:
                emit(Event("warn", f"{what} images: {told(source.passed_over)}; passed over"))
        if stale:
            known = np.flatnonzero([role != EXTERNAL for role in roles])
            named = config.data.classes
            hint = f"remove its name from {named}" if named else "remove its folder or column, which is empty"
            check_classes(raw, known, f"data.train = {config.data.train!r}", hint)
            _warn(emit, config, raw, layout.root)
            _write_data(layout, config, raw, roles, made_from, emit)
        for part in others:
            _write_unlabelled(layout, config, part, given.get(part), emit)
        for table, source in {layout.images: raw, **{layout.images_of(part): given[part] for part in given}}.items():
            if not Source(source, config.data, layout.root).is_encoded:
                tidy(table, 0)
    if fresh:
        emit(Event("fresh", "clean", {"stage": "clean"}))


def _compare_with_sample(layout: Layout, config: Config, test: RawSet, raw: RawSet, emit: Emit) -> None:
    """Say before any training what would end `kit table`: ids without an image, and columns without a class."""
    sample, classes = read_sample(layout.named(config.data.sample_submission)), raw.classes
    of_proba, seen = config.competition.metric_of_proba, {row[1] for row in sample.rows if row[1:]}
    try:
        if raw.task.several:
            nothing = np.zeros((len(test.ids), len(classes)), float if of_proba else int)
            labels_of(sample.header, sample.rows, test.ids, nothing, classes, sample.path.name)
            return
        match_ids(sample.column(sample.header[0]), test.ids, sample.path.name)
        if raw.task.kind == "numbers":
            return
        cells = answers(sample.header, seen, np.eye(len(classes)), classes, of_proba, sample.path.name)
        example, names = sample.rows[0][1], {row[0] for row in cells} == set(classes)
        if len(sample.header) == 2 and names and not NUMBER.fullmatch(example) and example not in classes:
            said = f"{sample.path.name} has the answer {example!r}, which is no class; submission.csv will have"
            emit(Event("warn", f"{said} {some(classes)}"))
    except Mismatch as error:
        hint = f": {error.hint}" if error.hint else ""
        emit(Event("warn", f"submission.csv cannot be written: {error.message}{hint}"))


def _write_data(layout: Layout, config: Config, raw: RawSet, roles: list[str], made_from: Digests, emit: Emit) -> None:
    layout.data_manifest.unlink(missing_ok=True)
    codes, source = raw.task.codes(raw.truth, raw.labels), Source(raw, config.data, layout.root)
    with decoding(layout.images, source, emit) as decoded:
        if not len(decoded.rows):
            first = int(np.argmax(raw.labels >= 0))
            raise DataError(f"none of {len(raw.ids)} images can be read; {raw.ids[first]!r}: {decoded.problems[first]}")
        result = plan(
            decoded.images,
            codes[decoded.rows],
            config.clean,
            overrides=overrides_by_row(layout.overrides, raw, decoded.rows),
            measured=decoded.measured,
            on_step=lambda name: emit(Event("progress", f"clean: {name}", {"stage": "clean"})),
        )
        kept = decoded.rows[result.keep]
        if raw.sizes is not None and config.clean.quality:
            result = replace(result, noted=(*result.noted, *odd_sizes(raw.sizes[kept], result.keep)))
        known = np.array([row for row in kept.tolist() if roles[row] != EXTERNAL], np.int64)
        _write_findings(layout, raw, decoded, result)
        _check_kept(raw, known, result, layout)
        # A contact sheet for every reason, so that a person can look; those of an earlier cleaning go.
        for old in layout.sheets.glob("*.png"):
            old.unlink()
        names = [raw.ids[row] for row in decoded.rows.tolist()]
        for reason, picture in contact_sheets(decoded.images, codes[decoded.rows], result, names).items():
            write_atomic(layout.sheets / f"{reason}.png", png(picture))
        parts = _write_kept(layout, raw, decoded, result, roles)
    array = {} if source.is_encoded else {"images": digest(layout.images)}
    DataRecord(
        made_from=made_from,
        files=digests_of(layout.data, layout.index, layout.dropped, layout.noted, *stored_files(layout.images)),
        raw=len(raw.ids),
        kept=len(result.keep),
        classes=raw.classes,
        shape=(*raw.shape, 3),
        parts={**parts, **array, "classes": sha256_json(raw.classes)},
    ).save(layout.data_manifest)
    _tell(emit, layout, raw, result, decoded.problems)


def _check_kept(raw: RawSet, known: IntArray, result: Plan, layout: Layout) -> None:
    """`check_classes` of the rows that stay; the hint is the key by which most of the others went."""
    why = Counter(finding.reason for finding in result.dropped)
    listed = ", ".join(f"{count} {reason}" for reason, count in why.most_common()) or "unreadable images"
    hint = next((UNDO[reason] for reason, _ in why.most_common() if reason in UNDO), f"the reasons: {layout.dropped}")
    check_classes(raw, known, f"after cleaning (dropped: {listed}), the data", hint)


def _warn(emit: Emit, config: Config, raw: RawSet, root: Path) -> None:
    """Say what was read otherwise than a person may think."""
    for note in raw.notes:
        emit(Event("warn", note))
    unlabelled = np.flatnonzero(raw.labels < 0)
    if len(unlabelled) and not is_rest_of_train(config.data, root):
        said = f"{len(unlabelled)} of {len(raw.ids)} rows have no label and are dropped"
        emit(Event("warn", f"{said}, the first is {raw.ids[unlabelled[0]]!r}"))
    alike = {folded(name): name for name in raw.classes}
    for name in raw.classes:
        if (other := alike[folded(name)]) != name:
            emit(Event("warn", f"the classes {name!r} and {other!r} differ in case alone: if they are one, correct it"))
    metric = config.competition.metric
    if METRICS[metric].ordinal and raw.targets is None:
        order = some(raw.classes, 20).replace(", ", " < ")
        emit(Event("say", f"{metric} depends on the order of the classes: {order}"))
        if not config.data.classes and any(whole(name) is None for name in raw.classes):
            hint = 'list them in order, one a line, in a file: [data] classes = "classes.txt"'
            emit(Event("warn", f"{metric}: the names of the classes do not say their order; {hint}"))


def open_labelled(layout: Layout, config: Config) -> tuple[RawSet, list[str]]:
    """The labelled images, those of the validation split and external ones last, and the role of each."""
    raw = open_source(config.data, layout.root, "train")
    roles = ["train"] * len(raw.ids)
    parts: tuple[tuple[Part, str], ...] = (("validation", GIVEN), ("external", EXTERNAL))
    for part, role in parts:
        if getattr(config.data, part):
            more = open_source(config.data, layout.root, part)
            raw = joined(raw, more, part)
            roles += [role] * len(more.ids)
    return raw, roles


def _write_kept(layout: Layout, raw: RawSet, decoded: Decoded, result: Plan, roles: Sequence[str]) -> Digests:
    """Write images and index; returns the digests of what the index says, part by part."""

    every = decoded.measured.digests
    digests = [every[row] for row in result.keep.tolist()]
    write_images(layout.images, decoded, result.keep)
    kept = decoded.rows[result.keep]
    ids, kept_roles = [raw.ids[row] for row in kept], [roles[row] for row in kept.tolist()]
    # The groups found by cleaning joined with the user's own: two rows linked by either share a name.
    first: dict[int | str, int] = {}
    links = [(first.setdefault(number, place), place) for place, number in enumerate(result.group.tolist())]
    if raw.groups:  # a row without a group is alone
        named = [raw.groups[row] for row in kept]
        links += [(first.setdefault(name, place), place) for place, name in enumerate(named) if name]
    group = components(np.array(links), len(kept))
    groups = [raw.ids[row] for row in kept[np.unique(group, return_index=True)[1][group]].tolist()]
    labels = raw.task.strata(raw.truth[kept], raw.classes).tolist()
    header, columns = ["id", "label", "group", "role", "sha256"], [ids, labels, groups, kept_roles, digests]
    weights = None if raw.weights is None else raw.weights[kept].tolist()
    if weights is not None:
        header, columns = [*header, "weight"], [*columns, weights]
    # Ids tell the rows of the validation split, and did so before their role had a name.
    told: list[Any] = [ids, [role if role == EXTERNAL else "train" for role in kept_roles], labels]
    if raw.targets is not None:
        told.append([raw.task.name, raw.task.texts(raw.targets[kept])])
        header, columns = [*header, "target"], [*columns, told[-1][1]]
    write_csv(layout.index, header, zip(*columns, strict=True))
    return {
        **({} if raw.targets is None else {"task": raw.task.name}),
        # Of streams alone: where they lie says nothing of their pixels.
        "images": sha256_json([raw.shape, digests]),
        "labels": sha256_json(told),
        "groups": sha256_json([ids, groups]),
        "weights": sha256_json(weights),
    }


def _write_findings(layout: Layout, raw: RawSet, decoded: Decoded, result: Plan) -> None:
    def line(finding: Finding) -> tuple[str, str, str, str]:
        twin = raw.ids[decoded.rows[finding.twin]] if finding.twin >= 0 else ""
        return raw.ids[decoded.rows[finding.row]], finding.reason, twin, finding.detail

    header = ("id", "reason", "twin", "detail")
    unusable = [(raw.ids[row], _reason(raw, row), "", why) for row, why in sorted(decoded.problems.items())]
    write_csv(layout.dropped, header, [*unusable, *map(line, result.dropped)], for_people=True)
    write_csv(layout.noted, header, map(line, result.noted), for_people=True)


def _reason(raw: RawSet, row: int) -> str:
    return "unreadable" if raw.labels[row] >= 0 else "unlabelled"


def _write_unlabelled(layout: Layout, config: Config, part: str, given: RawSet | None, emit: Emit) -> None:
    """Write the images of a part.

    One of the test that cannot be read is black, because every id needs a prediction; of others it is left out.
    """
    images, index, manifest = layout.images_of(part), layout.index_of(part), layout.manifest_of(part)
    manifest.unlink(missing_ok=True)
    if given is None:
        images.unlink(missing_ok=True)
        index.unlink(missing_ok=True)
        tidy(images, 0)
        return
    with decoding(images, Source(given, config.data, layout.root, test=True), emit) as decoded:
        problems, digests = decoded.problems, decoded.measured.digests
        kept = decoded.rows if part == "test" else np.setdiff1d(decoded.rows, [*problems])
        if not len(kept):
            row = min(problems)
            raise DataError(f"none of {len(given.ids)} {part} images can be read; {given.ids[row]!r}: {problems[row]}")
        write_images(images, decoded, kept)
    lines = ((given.ids[row], digests[row], problems.get(row, "")) for row in kept.tolist())
    write_csv(index, ("id", "sha256", "problem"), lines)
    files = digests_of(layout.data, index, *stored_files(images))
    UnlabelledRecord(made_from=lineage_of_unlabelled(layout, config, given), files=files, n=len(kept)).save(manifest)
    if problems:
        what = f"replaced by black images: {index}" if part == "test" else "left out"
        emit(Event("warn", f"{len(problems)} {part} images cannot be read and are {what}"))


def _tell(emit: Emit, layout: Layout, raw: RawSet, result: Plan, problems: dict[int, str]) -> None:
    dropped = Counter([*(finding.reason for finding in result.dropped), *(_reason(raw, row) for row in problems)])
    noted = Counter(finding.reason for finding in result.noted)
    for reason, n in Counter(reason for reason in problems.values() if LACKS in reason).items():
        emit(Event("warn", f"{n} images are dropped, because {reason}"))
    rows = [("kept", len(result.keep), "")]
    rows += [(reason, count, "dropped") for reason, count in dropped.most_common()]
    rows += [(reason, count, "listed") for reason, count in noted.most_common()]
    emit(Event("table", f"{len(raw.ids)} raw images", {"header": ("images", "count", ""), "rows": rows}))
    emit(Event("wrote", "", {"paths": [layout.images, layout.index, layout.dropped, layout.noted]}))
