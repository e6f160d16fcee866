"""One schema for bundles that are written and bundles that are read: strict, finite, and bounded in what it costs."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any, get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from test_archive import description

from kit.platforms.described import BundleDescription, NetworkDescription, NetworkOptions, Step
from kit.runtime import pool
from kit.runtime.backbones import BACKBONES, resolve
from kit.runtime.preprocess import PREPROCESSORS
from kit.store.blend import Pool
from kit.store.record import first_problem

pytestmark = pytest.mark.stage

STEPS = {get_args(step.model_fields["op"].annotation)[0]: step for step in get_args(get_args(Step)[0])}
OWN = {entry.builder for entry in BACKBONES.values() if entry.builder.startswith(".")}


def read(content: dict[str, Any]) -> BundleDescription:
    return BundleDescription.model_validate_json(json.dumps(content), strict=True)


def network(content: dict[str, Any]) -> dict[str, Any]:
    return content["members"][0]["network"]  # type: ignore[no-any-return]


def part(content: dict[str, Any]) -> dict[str, Any]:
    return content["blend"]["parts"][0]  # type: ignore[no-any-return]


def test_nothing_is_lost_or_added_between_reading_and_writing() -> None:
    content = description()
    network(content).update(
        backbone="squeeze-excitation-cnn",
        options={"ratio": 4},
        preprocess=[{"op": "clahe"}, {"op": "resize", "size": 32}],
        head={"pooling": "avg", "batch_norm": [], "dropout": 0.1, "units": [], "activation": "relu", "l1": 0, "l2": 0},
    )
    part(content).update(ranks=[[[0.0, 0.5, 1.0]] * 2], name="ranks", class_slopes=[[[0.5, 1.0]]])
    assert json.loads(read(content).to_json()) == content
    assert read(json.loads(read(content).to_json())) == read(content)


@pytest.mark.parametrize("op", PREPROCESSORS)
def test_a_step_has_the_keys_and_defaults_of_its_function(op: str) -> None:
    _, *known = inspect.signature(PREPROCESSORS[op]).parameters.values()
    assert {key: field.default for key, field in STEPS[op].model_fields.items() if key != "op"} == {
        key.name: key.default for key in known
    }


@pytest.mark.parametrize("builder", sorted(OWN))
def test_the_options_of_the_kits_own_networks_are_known(builder: str) -> None:
    keys = list(inspect.signature(resolve(builder)).parameters.values())[1:]
    missing = {key.name for key in keys} - set(NetworkOptions.model_fields)
    assert not missing, f"limits for zips of other people: kit.platforms.described.NetworkOptions, {sorted(missing)}"
    defaults = {key.name: key.default for key in keys if key.name in ("units", "ratio")}
    assert all(NetworkOptions.model_fields[name].default == value for name, value in defaults.items())


REFUSED: dict[str, tuple[Callable[[dict[str, Any]], object], str]] = {
    "another version": (lambda d: d.update(version=99, news=1), "version: 99 is unknown, this kit reads version 1"),
    "version is true": (lambda d: d.update(version=True), "version"),
    "classes twice": (lambda d: d.update(classes=["a", "a"]), "the class 'a' appears twice"),
    "views twice": (
        lambda d: (d.update(views=["identity"] * 2), d["blend"].update(views=[0.5, 0.5])),
        "the view 'identity' appears twice",
    ),
    "class with an escape": (lambda d: d.update(classes=["a", "b\x1b[31m"]), "control character"),
    "class of two lines": (lambda d: d.update(classes=["a", "b\u2028c"]), "control character"),
    "member with NUL": (lambda d: d["members"][0].update(name="m\0"), "control character"),
    "size is text": (lambda d: d.update(size="16"), "size: Input should be a valid integer"),
    "size is a float": (lambda d: d.update(size=16.0), "size: Input should be a valid integer"),
    "units are text": (lambda d: network(d)["head"].update(units=["8"]), "head.units.0"),
    "share is true": (lambda d: part(d).update(share=True), "share: Input should be a valid number"),
    "weight is text": (lambda d: part(d).update(weights=["1"]), "weights.0: Input should be a valid number"),
    "bias is huge": (lambda d: part(d).update(bias=[10**400, 0]), "bias.0: Input should be a finite number"),
    "slope is NaN": (lambda d: part(d).update(slopes=[float("nan")]), "slopes.0: Input should be a finite number"),
    "penalty is infinite": (lambda d: network(d)["head"].update(l1=float("inf")), "finite"),
    "shares of nothing": (lambda d: part(d).update(share=0), "shares: all are 0"),
    "views of nothing": (lambda d: d["blend"].update(views=[0]), "views: all are 0"),
    "ranks of no weight": (lambda d: part(d).update(ranks=[[[0, 1]] * 2], weights=[0]), "weights: all are 0"),
    "ranks of one quantile": (lambda d: part(d).update(ranks=[[[0.5]] * 2]), "a list of length 1, expected 2"),
    "weights of a class too many": (lambda d: part(d).update(class_slopes=[[[0, 0, 0]]]), "class_slopes"),
    "weights of no class": (lambda d: part(d).update(class_slopes=[[]]), "class_slopes"),
    "weights of classes that are null": (lambda d: part(d).update(class_slopes=None), "class_slopes"),
    "ranks that fall": (lambda d: part(d).update(ranks=[[[1, 0]] * 2]), "are not increasing"),
    "ranks that are null": (lambda d: part(d).update(ranks=None), "ranks"),
    "ratio of 0": (
        lambda d: network(d).update(backbone="squeeze-excitation-cnn", options={"ratio": 0}),
        "options.ratio",
    ),
    "tiles finer than pixels": (lambda d: network(d).update(preprocess=[{"op": "clahe", "tiles": 9}]), "too coarse"),
    "passes without end": (
        lambda d: d.update(members=[{**d["members"][0], "weights": ["weights/m-0.npz"] * 1000}] * 3),
        "members: a list of length 1, expected 3",
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_meant_is_refused_by_name(case: str) -> None:
    change, said = REFUSED[case]
    content = description()
    change(content)
    with pytest.raises(ValidationError) as error:
        read(content)
    assert said in first_problem(error.value)


def ensemble(members: int, folds: int, **keys: Any) -> dict[str, Any]:
    """A description of so many members of one network, each with so many folds."""
    content = description()
    network(content).update(keys)
    content.update(size=network(content)["size"], batch_size=1)
    content["members"] = [{**content["members"][0], "weights": ["weights/m-0.npz"] * folds}] * members
    for key, value in (("temperatures", 1.0), ("weights", 1.0), ("slopes", 0.0)):
        part(content)[key] = [value] * members
    return content


@pytest.mark.parametrize(
    ("members", "folds", "keys", "said"),
    [
        (200, 1000, {}, "200000 passes for each image"),
        (3, 667, {}, "2001 passes for each image"),
        (10, 5, {"size": 2048}, "pixels in the passes for each image"),
        (10, 5, {"preprocess": [{"op": "resize", "size": 2048}, {"op": "resize", "size": 16}]}, "pixels in the passes"),
        (10, 1, {"backbone": "efficientnetv2-l", "size": 32}, "numbers in the weights of all members"),
        (
            1,
            1,
            {"size": 1000, "head": {"pooling": "flatten", "units": [1000, *[8192] * 7]}},
            "its weights are too large",
        ),
    ],
)
def test_totals_are_bounded(members: int, folds: int, keys: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        read(ensemble(members, folds, **keys))


@given(st.integers(1, 4096), st.integers(16, 2048), st.integers(1, 8))
def test_a_batch_is_bounded_in_pixels(batch: int, size: int, members: int) -> None:
    asked = read(ensemble(members, 1, size=size)).model_copy(update={"batch_size": batch})
    found = asked.bounded()
    assert 1 <= found.batch_size <= batch
    assert found.batch_size * size**2 <= 1 << 22
    assert found == asked.model_copy(update={"batch_size": found.batch_size})


NUMBERS = st.floats(-1e6, 1e6)


@st.composite
def blends(draw: st.DrawFn) -> Pool:
    members, views, classes = (draw(st.integers(1, 3)) for _ in range(3))
    row = lambda values, length: st.lists(values, min_size=length, max_size=length)  # noqa: E731
    table = st.lists(st.floats(0, 1), min_size=2, max_size=4).map(sorted)
    pools = st.fixed_dictionaries(
        {
            "share": st.floats(0.01, 1000),
            "temperatures": row(st.floats(0.02, 100), members),
            "weights": row(st.floats(0.01, 1000), members),
            "slopes": row(NUMBERS, members),
            "centre": NUMBERS,
            "bias": row(NUMBERS, classes),
        },
        optional={
            "ranks": table.map(lambda quantiles: [[quantiles] * classes] * members),
            "class_slopes": row(
                st.sampled_from([1, classes]).flatmap(lambda n: row(row(NUMBERS, classes), n)), members
            ),
        },
    )
    parts = draw(st.lists(pools, min_size=1, max_size=3))
    blend = {"views": draw(row(st.floats(0.01, 1000), views)), "parts": parts, "bias": draw(row(NUMBERS, classes))}
    return Pool.model_validate_json(json.dumps(blend), strict=True)


@given(blends(), st.integers(0, 2**32 - 1))
def test_every_blend_that_is_read_gives_probabilities(blend: Pool, seed: int) -> None:
    members, classes = len(blend.parts[0].weights), len(blend.parts[0].bias)
    logits = np.random.default_rng(seed).normal(0, 100, (members, len(blend.views), 5, classes))
    proba = pool.apply(blend.model_dump(mode="json", exclude_unset=True), pool.from_logits(logits))  # type: ignore[arg-type]
    assert np.isfinite(proba).all()
    assert np.allclose(proba.sum(axis=1), 1)


SIZES: list[dict[str, Any]] = [
    {"backbone": "plain-cnn", "options": {"batch_norm": False}},
    {"backbone": "two-conv-cnn", "size": 31, "head": {"pooling": "flatten", "units": [7, 5]}},
    {"backbone": "squeeze-excitation-cnn", "options": {"ratio": 1}},
    {"backbone": "feed-forward", "size": 45, "options": {"units": [9]}, "head": {"batch_norm": ["features", "units"]}},
    {"backbone": "five-block-cnn", "size": 33, "head": {"pooling": "flatten", "batch_norm": ["units"], "units": [6]}},
    {"backbone": "residual-cnn", "preprocess": [{"op": "resize", "size": 49}], "head": {"pooling": "flatten"}},
    {"backbone": "mobilenetv2", "size": 70, "head": {"pooling": "flatten", "batch_norm": ["features"]}},
]


@pytest.mark.tf
@pytest.mark.parametrize("keys", SIZES, ids=lambda keys: keys["backbone"])
def test_a_network_is_never_larger_than_its_description_says(keys: dict[str, Any]) -> None:
    from kit.runtime.backbones import build

    described = NetworkDescription.model_validate({"size": 16, "classes": 3, "head": {}, **keys})
    weights = build({"size": 16, "classes": 3, "head": {}, **keys}).model.weights
    held = sum(int(np.prod(weight.shape)) for weight in weights)
    assert held <= described.parameters <= 2 * held
