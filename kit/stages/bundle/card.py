"""``card.md``: a page about the candidate that a team can read and commit."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from kit import __version__
from kit.config import Config
from kit.judge.blend.tables import CLASS_HEADER, per_class
from kit.runs.results import RunRecord
from kit.store.candidate import Ensemble, ForecastRecord, Proof
from kit.store.data import Index, load_index, load_test_record
from kit.store.files import read_csv
from kit.store.layout import Layout, RunPaths, SubmissionPaths
from kit.store.ledger import attempts_of, load_for_tables, target_of
from kit.store.ledger.forecast import forecast, standard_error
from kit.store.ledger.standing import standing
from kit.store.predictions import load_predictions


def card(layout: Layout, config: Config, paths: SubmissionPaths, record: Ensemble, proof: Proof) -> str:
    """The text: score, members, classes, data and cleaning, forecast, proof, versions, licences."""
    paths_of = {member.run: RunPaths(layout.runs / member.folder).manifest for member in record.members}
    runs = {run: RunRecord.load(path, f"kit train {run}") for run, path in paths_of.items() if path.exists()}
    cv, hurt = record.cv, record.stressed
    stressed = f" Under stress {hurt.score:.4f} ({hurt.low:.4f} - {hurt.high:.4f})." if hurt else ""
    head = f"""# Submission {paths.root.name}

Made by kit {__version__}. {record.metric} out of fold: **{cv.score:.4f}** \
(95 % interval {cv.low:.4f} - {cv.high:.4f}, {record.rows} rows).{stressed}

The interval is of the blend on out-of-fold rows. On new images every member is the mean of its fold models,
which is slightly better and less confident than any single one of them."""
    predicted, index = load_predictions(paths.predictions), load_index(layout)
    answers = record.blend.answer(predicted.first)
    table = per_class(index.task, index.truth_of(predicted.ids), answers, predicted.classes)
    classes = [[f"{cell:.3f}" if isinstance(cell, float) else cell for cell in row] for row in table]
    licences = [
        ("code in the zip", "MIT, the kit's"),
        ("trained weights", config.bundle.model_license),
        ("training images", config.bundle.data_license),
    ]
    for name, source in [(name, run.config.weights) for name, run in runs.items() if run.config.weights != "none"]:
        origin = "ImageNet weights of keras.applications" if source == "imagenet" else source
        licences.append((f"initial weights of {name}", origin))
    sections = {
        "Members": _members(record),
        "Classes, out of fold": _table(CLASS_HEADER, classes),
        "Data": _data(layout, config, index),
        "Forecast": _forecast(layout, config, paths, record),
        "Proof": _proof(proof),
        "Versions": _table(("", "trained with", "proven with"), _versions(runs, proof)),
        "Licences": _table(("what", "licence"), licences),
    }
    return "\n\n".join([head, *(f"## {title}\n\n{text}" for title, text in sections.items() if text)]) + "\n"


def _members(record: Ensemble) -> str:
    blend = record.blend
    columns = zip(record.members, blend.weights, blend.temperatures, strict=True)
    rows = [
        (member.run, member.network["backbone"], member.folds, f"{weight:.3f}", f"{temperature:.2f}")
        for member, weight, temperature in columns
    ]
    weights = dict(zip(record.views, blend.views, strict=True))
    views = ", ".join(f"{name} {weights[name]:.2f}" for name in record.used_views)
    table = _table(("member", "backbone", "folds", "weight", "temperature"), rows)
    notes = "".join(["\n", *(f"\n- {note}" for note in blend.notes)]) if blend.notes else ""
    decided = f" {blend.worth_of_decision.capitalize()}." if blend.worth_of_decision else ""
    return f"{table}\n\nBlend: {blend.method}. Views: {views}.{decided}{notes}"


def _data(layout: Layout, config: Config, index: Index) -> str:
    rows = [
        (reason, count, fate)
        for path, fate in ((layout.dropped, "dropped"), (layout.noted, "kept with a note"))
        for reason, count in Counter(line["reason"] for line in read_csv(path)).most_common()
    ]
    dropped = sum(count for _, count, fate in rows if fate == "dropped")
    text = (
        f"{len(index.ids)} images of {index.shape[0]} x {index.shape[1]} pixels kept, {dropped} dropped; "
        f"split by `{config.folds.method}`, n = {config.folds.n}, seed {config.folds.seed}. "
        f"Data {index.training[:16]}."
    )
    return f"{text}\n\n{_table(('found by cleaning', 'images', 'action'), rows)}" if rows else text


def _forecast(layout: Layout, config: Config, paths: SubmissionPaths, record: Ensemble) -> str:
    """What `kit forecast` wrote, else what earlier scores on the same board say; nothing before the first of them."""
    found = ForecastRecord.load(paths.forecast) if paths.forecast.exists() else None
    if found and found.is_of(load_test_record(layout)):
        return (
            f"{found.metric} {found.value:.4f} ({found.low:.4f} - {found.high:.4f}, {found.level:.0%}) "
            f"from the {found.basis} and {_scores(found.past)}."
        )
    target = target_of(config)
    mine = attempts_of(load_for_tables(layout), target)
    gaps = [line.gap for line in standing(mine, (), config.competition) if line.gap is not None]
    if not gaps:
        return ""
    error = standard_error(record.cv.low, record.cv.high)
    expected = forecast(record.cv.score, error, error, gaps)
    return (
        f"{expected.value:.4f} ({expected.low:.4f} - {expected.high:.4f}) on {target.platform}: cross-validation score "
        f"shifted by the mean gap of {_scores(expected.seen)}."
    )


def _scores(number: int) -> str:
    return f"{number} earlier score{'' if number == 1 else 's'}"


def _proof(proof: Proof) -> str:
    network = "in its own network namespace" if proof.network_removed else "with the network blocked in Python only"
    limits, half = proof.limits, proof.float16
    text = (
        f"Ran without the kit, {network}, from another working directory: probabilities within {proof.difference:.1e} "
        f"of the kit's on {proof.probe_images} images.\n"
        f"{proof.zip_mb:.1f} MB zip{_allowed(limits.max_mb, 'MB')}; {proof.peak_mb:.0f} MB of memory"
        f"{_allowed(limits.max_memory_mb, 'MB')}; {limits.images} images in {limits.seconds:.1f} s"
        f"{_allowed(limits.max_seconds, 's')}, including start-up, on the machine that made the bundle."
    )
    if half is None:
        return text
    scores = f"{half.score:.5f} out of fold, {half.score_float32:.5f} in float32"
    return f"{text}\nfloat16 weights: {scores}, the same blend."


def _allowed(limit: float | None, unit: str) -> str:
    return "" if limit is None else f" (allowed {limit:g} {unit})"


def _versions(runs: Mapping[str, RunRecord], proof: Proof) -> list[tuple[str, str, str]]:
    rows = [("kit", __version__, "")]
    trained = [run.versions for run in runs.values()]
    for name in dict.fromkeys([*proof.versions, *(name for versions in trained for name in versions)]):
        seen = sorted({versions[name] for versions in trained if name in versions})
        rows.append((name, ", ".join(seen), proof.versions.get(name, "")))
    return rows


def _table(header: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join(f"| {' | '.join(str(cell).replace('|', '/') for cell in line)} |" for line in lines)
