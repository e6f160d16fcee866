"""The text of ``kit.toml`` for data that were looked at, with comments that say why."""

from __future__ import annotations

import json
from collections.abc import Iterable
from importlib.resources import files
from typing import TYPE_CHECKING, Any

from kit.errors import ConfigError

if TYPE_CHECKING:  # what looks at images loads numerics, and a built-in competition needs none
    from kit.stages.init.look import Seen
    from kit.stages.init.plan import Plan

METRIC = {"multilabel": "auc", "soft": "kl", "ordinal": "qwk", "regression": "rmse"}
GUESS = "A guess, because there is no sample file: use the metric of the leaderboard."


def config_text(seen: Seen, plan: Plan, name: str, hours: float) -> str:
    """The whole ``kit.toml``; raises `ConfigError` where a name cannot be written in it."""
    from jinja2 import Environment, StrictUndefined

    from kit.images.moves import allowed, moves_said
    from kit.stages.init.plan import SMALL

    moves = allowed(seen.gains)
    metric, metric_why = metric_of(seen)
    steps: list[dict[str, Any]] = [moves.augment] if moves.augment else []
    if plan.is_tiny:
        steps.append({"op": "crop", "pixels": max(1, plan.size // 14)})
    if plan.degrade:
        # Blur and noise of the usual strength hide what small pictures show.
        steps.append({"op": "degrade"} if plan.size > SMALL else {"op": "degrade", "magnitude": 0.25})
    environment = Environment(
        undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True
    )
    template = (files("kit.stages.init") / "templates" / "kit-looked.toml.tmpl").read_text(encoding="utf-8")
    return environment.from_string(template).render(
        seen=seen,
        plan=plan,
        name=escaped(name),
        hours=f"{hours:g}",
        train=escaped(seen.train),
        group=escaped(seen.group),
        test=escaped(seen.test),
        truth=escaped(seen.truth),
        validation=escaped(seen.validation),
        sample=escaped(seen.sample_submission),
        metric=metric,
        metric_why=metric_why,
        size_why=_size_why(seen, plan),
        small=SMALL if seen.side <= SMALL else 0,
        gains=", ".join(f"{move} {gain}" for move, gain in seen.gains.items()),
        moves_why=moves_said(seen.gains),
        augment=", ".join(f"{{ {', '.join(f'{key} = {json.dumps(step[key])}' for key in step)} }}" for step in steps),
        views=", ".join(f'"{view}"' for view in moves.views),
    )


def metric_of(seen: Seen) -> tuple[str, str]:
    """The metric that the sample file suggests, and why."""
    if seen.task == "multilabel" and seen.sample is not None and len(seen.sample.header) == 2:
        return "macro_f1", "The sample file has a list of labels per image; use the metric of the leaderboard."
    if seen.task in METRIC:
        return METRIC[seen.task], GUESS.replace("there is no sample file", f"the task is {seen.task}")
    if seen.sample is None:
        return "accuracy", GUESS
    answers = seen.sample.header[1:]
    if len(answers) > 1 and set(seen.classes) <= set(answers):
        return "nll", "The sample file has a column for each class, so probabilities are scored."
    if len(answers) == 1 and len(seen.classes) == 2 and _has_fractions(row[1] for row in seen.sample.rows):
        return "auc", "The sample file has a fraction for each image, so a probability is scored."
    if len(answers) == 1:
        return "accuracy", "The sample file has one class per image; use the metric of the leaderboard."
    return "accuracy", "A guess: the columns of the sample file are not the classes. Use the metric of the leaderboard."


def _has_fractions(cells: Iterable[str]) -> bool:
    try:
        return any(float(cell) % 1 for cell in cells)
    except ValueError:
        return False


def _size_why(seen: Seen, plan: Plan) -> str:
    if plan.size > seen.side:
        return f"Enlarged to the smallest size at which {plan.networks[0]} is useful."
    if plan.size < seen.side:
        return "Reduced, so that training takes the time that was asked for and photographs fit the networks."
    return "Images become squares of one size: the whole image is kept, and padded with black."


def escaped(text: str) -> str:
    """The inside of a TOML string; JSON's strings are TOML's, but for one letter."""
    try:
        text.encode()
    except UnicodeEncodeError:
        raise ConfigError(f"{text!r} is not UTF-8, so kit.toml cannot name it", "rename it") from None
    return json.dumps(text, ensure_ascii=False)[1:-1].replace("\x7f", "\\u007f")
