"""``card.md``: a page about the candidate that a team can read and commit."""

from collections import Counter
from importlib.resources import files

from jinja2 import Environment, StrictUndefined

from kit import __version__
from kit.config import Config
from kit.judge.blend.tables import CLASS_HEADER, per_class
from kit.runs.results import RunRecord
from kit.runtime.preprocess import side_after
from kit.store.candidate import Ensemble, ForecastRecord, Proof
from kit.store.data import load_index, unlabelled_record
from kit.store.files import read_csv
from kit.store.layout import Layout, RunPaths, SubmissionPaths
from kit.store.ledger import attempts_of, load_for_tables, target_of
from kit.store.ledger.standing import Estimate, forecast, standard_error, standing
from kit.store.predictions import load_predictions


def card(layout: Layout, config: Config, paths: SubmissionPaths, record: Ensemble, proof: Proof) -> str:
    """The text: score, members, classes, data and cleaning, forecast, proof, versions, licences."""
    paths_of = {member.run: RunPaths(layout.runs / member.folder).manifest for member in record.members}
    runs = {run: RunRecord.load(path, f"kit train {run}") for run, path in paths_of.items() if path.exists()}
    predicted, index = load_predictions(paths.predictions), load_index(layout)
    answers = record.blend.answer(predicted.first)
    trained_with: dict[str, set[str]] = {name: set() for name in proof.versions}
    for run in runs.values():
        for name, version in run.versions.items():
            trained_with.setdefault(name, set()).add(version)
    said = ForecastRecord.load(paths.forecast) if paths.forecast.exists() else None
    current = said is not None and said.is_of(unlabelled_record(layout, "test"))
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = (files("kit.stages.bundle") / "card.md.tmpl").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        name=paths.root.name,
        version=__version__,
        record=record,
        class_header=CLASS_HEADER,
        classes=per_class(index.task, index.truth_of(predicted.ids), answers, predicted.classes),
        index=index,
        folds=config.folds,
        found=[
            (reason, count, fate)
            for path, fate in ((layout.dropped, "dropped"), (layout.noted, "kept with a note"))
            for reason, count in Counter(line["reason"] for line in read_csv(path)).most_common()
        ],
        forecast=said if current else None,
        expected=None if current else _expected(layout, config, record),
        platform=config.competition.platform,
        proof=proof,
        side_after=side_after,
        runs=runs,
        trained_with=trained_with,
        bundle=config.bundle,
    )


def _expected(layout: Layout, config: Config, record: Ensemble) -> Estimate | None:
    """What earlier scores on the same board say of a candidate without a forecast; None before the first of them."""
    mine = attempts_of(load_for_tables(layout), target_of(config))
    gaps = [line.gap for line in standing(mine, (), config.competition) if line.gap is not None]
    error = standard_error(record.cv.low, record.cv.high)
    return forecast(record.cv.score, error, error, gaps) if gaps else None
