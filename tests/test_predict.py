"""`kit predict` with bundles of others: probabilities or one sentence, whatever was done to a good bundle."""

from __future__ import annotations

import copy
import csv
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pytest
from bundles import images
from hypothesis import given, settings
from hypothesis import strategies as st
from test_archive import pack, weights

from kit.base.events import Emit, Event, silent
from kit.cli.models import predict as command
from kit.errors import ConfigError, KitError
from kit.project import Project
from kit.runs.units import bundles, networks
from kit.runs.units.networks import ENGINES, Engine, conversion_key, keep, kept
from kit.stages.predict import predict

pytestmark = pytest.mark.tf

NETWORK = {"backbone": "two-conv-cnn", "size": 16, "classes": 3, "head": {"dropout": 0.1, "units": []}}
PART = {"share": 1.0, "temperatures": [1.0], "weights": [1.0], "centre": 1.0, "slopes": [0.0], "bias": [0.0] * 3}
GOOD: dict[str, Any] = {
    "version": 1,
    "classes": ["a", "b", "c"],
    "size": 16,
    "views": ["identity"],
    "members": [{"name": "m", "network": {**NETWORK, "options": {"l2": 0.1}, "preprocess": []}, "weights": ["m.npz"]}],
    "blend": {"views": [1.0], "parts": [PART], "bias": []},
    "batch_size": 2,
    "resize": "fit",
}
Arrays = dict[str, np.ndarray[Any, Any]]
# Not `importorskip`: an import that is not the kit's starts OpenVINO's telemetry, whose forks hold the locks of tests.
each = pytest.mark.parametrize(
    "engine",
    [
        pytest.param(
            name, marks=pytest.mark.skipif(find_spec(engine.module) is None, reason=f"pip install kit[{name}]")
        )
        for name, engine in ENGINES.items()
    ],
)


@pytest.fixture(scope="module")
def arrays() -> Arrays:
    import keras

    from kit.runtime.arrays import of
    from kit.runtime.backbones import build

    keras.utils.set_random_seed(0)
    return of(build(NETWORK).model)  # type: ignore[arg-type]


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """The user's cache."""
    folder = tmp_path_factory.mktemp("cache")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("predict")
    np.savez(folder / "images.npz", images=images(3))
    return folder


def table(
    work: Path, content: dict[str, Any], found: Arrays, engine: str = "tensorflow", emit: Emit = silent
) -> list[list[str]]:
    """The table that `kit predict` writes for a bundle, header first."""
    files = {"bundle.json": json.dumps(content).encode(), "m.npz": weights(**found)}
    out = work / "out.csv"
    predict(pack(work / "b.zip", files), work / "images.npz", out, emit, engine)
    with out.open(newline="", encoding="utf-8") as file:
        return list(csv.reader(file))


def proba(rows: list[list[str]]) -> np.ndarray[Any, Any]:
    return np.array([row[2:] for row in rows[1:]], float)


@each
@pytest.mark.parametrize("preprocess", [[], [{"op": "clahe"}]])
def test_an_engine_predicts_what_tensorflow_does(
    work: Path, arrays: Arrays, engine: str, preprocess: list[dict[str, str]]
) -> None:
    member = {**GOOD["members"][0], "network": {**NETWORK, "preprocess": preprocess}}
    content = {**GOOD, "views": ["identity", "rot90"], "members": [member, {**member, "name": "n"}]}
    content["blend"] = {**GOOD["blend"], "views": [0.5, 0.5], "parts": [{**PART, "weights": [0.3, 0.7]}]}
    content["blend"]["parts"][0]["temperatures"] = content["blend"]["parts"][0]["slopes"] = [1.0, 2.0]
    said: list[Event] = []
    found = table(work, content, arrays, engine, said.append)
    assert said[0].text == f"the bundle is predicted with {ENGINES[engine].title}"
    np.testing.assert_allclose(proba(found), proba(table(work, content, arrays)), atol=1.1e-5)
    assert table(work, content, arrays, engine) == found, "with what was converted before"


@pytest.mark.parametrize("reason", ["is not installed", "differ by"])
def test_an_engine_that_predicts_otherwise_or_not_at_all_is_not_used(
    work: Path, arrays: Arrays, monkeypatch: pytest.MonkeyPatch, reason: str
) -> None:
    if reason == "differ by":
        other = Engine(
            "OpenVINO", "numpy", lambda traced: b"0", lambda content, threads: lambda x: np.ones((len(x), 3))
        )
        monkeypatch.setitem(ENGINES, "openvino", other)
    else:
        monkeypatch.setitem(sys.modules, "openvino", None)
    said: list[Event] = []
    found = table(work, GOOD, arrays, "openvino", said.append)
    assert said[0].kind == "warn" and reason in said[0].text
    assert found == table(work, GOOD, arrays)


@each
def test_what_was_converted_before_predicts_the_same_without_tensorflow_and_is_made_again_if_it_is_not_whole(
    work: Path, arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, engine: str
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    first = table(work, GOOD, arrays, engine)
    (path,) = tmp_path.rglob("*.bin")
    content, parts = path.read_bytes(), kept(path, path.stem)
    code = (
        "import sys; from pathlib import Path; from kit.base.events import silent; from kit.stages.predict import "
        "predict; predict(*map(Path, sys.argv[2:]), silent, sys.argv[1]); sys.exit('tensorflow' in sys.modules)"
    )
    files = [str(work / name) for name in ("b.zip", "images.npz", "out.csv")]
    done = subprocess.run([sys.executable, "-c", code, engine, *files], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    with (work / "out.csv").open(newline="", encoding="utf-8") as file:
        assert list(csv.reader(file)) == first
    assert parts is not None and path.read_bytes() == content, "nothing was converted again"
    keep(path, path.stem, {**parts, "proba": parts["proba"] + 2e-5})
    damage = {
        "of other probabilities": path.read_bytes(),
        "empty": b"",
        "cut off": content[: len(content) // 2],
        "one bit": bytes([*content[:5000], content[5000] ^ 1, *content[5001:]]),
    }
    for what, found in damage.items():
        path.write_bytes(found)
        assert table(work, GOOD, arrays, engine) == first, what
        again = kept(path, path.stem)
        assert again is not None, what
        np.testing.assert_array_equal(again["proba"], parts["proba"], what)
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert table(work, GOOD, arrays, engine) == first, "a cache that cannot be written"

    def homeless(kind: type[Path]) -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(Path, "home", classmethod(homeless))
    assert table(work, GOOD, arrays, engine) == first, "a user without a home"
    assert not Path("relative").exists()


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), min_size=1, max_size=6), st.data())
def test_what_is_kept_fits_into_the_limit_and_what_was_used_last_stays(
    files: list[tuple[int, int]], data: st.DataObject
) -> None:
    limit, number = data.draw(st.integers(0, 30)), data.draw(st.integers(0, len(files) - 1))
    with TemporaryDirectory() as name, pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "LIMIT", limit)
        paths = [Path(name) / f"{place}.bin" for place in range(len(files))]
        for path, (size, used) in zip(paths, files, strict=True):
            path.write_bytes(bytes(size))
            os.utime(path, (0, used))
        bundles.tidy(paths[number])
        others = {place: paths[place].exists() for place in range(len(files)) if place != number}
        sizes, used = zip(*files, strict=True)
        assert paths[number].exists()
        assert sizes[number] + sum(sizes[place] for place in others if others[place]) <= max(limit, sizes[number])
        for gone in (place for place in others if not others[place]):
            assert all(used[gone] <= used[place] for place in others if others[place])


@pytest.mark.parametrize("changed", ["engine", "number", "network", "processor", "runtime"])
def test_another_engine_version_network_processor_or_runtime_is_another_conversion(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: str
) -> None:
    given = {"engine": "litert", "number": "1", "network": ["w"]}
    first = conversion_key(**given)
    assert conversion_key(**given) == first
    if changed in given:
        given[changed] = "other"
    elif changed == "processor":
        monkeypatch.setattr(networks, "processor", lambda: "other")
    else:
        monkeypatch.setattr(networks.runtime, "__path__", [str(tmp_path)])
    assert conversion_key(**given) != first


def test_the_command_and_the_project_name_an_engine_and_say_where_it_is_not_used(
    work: Path, arrays: Arrays, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "openvino", None)
    table(work, GOOD, arrays)
    files = work / "b.zip", work / "images.npz", tmp_path / "out.csv"
    command(*files)
    assert "TensorFlow" not in capsys.readouterr().err
    sentence = 'the bundle is predicted with TensorFlow: OpenVINO is not installed (pip install "kit[openvino]")'
    command(*files, "openvino")
    assert sentence in " ".join(capsys.readouterr().err.split())
    (tmp_path / "kit.toml").write_text('[data]\ntrain = "practice"\n[predict]\nengine = "openvino"\n')
    said: list[Event] = []
    Project(tmp_path, emit=said.append).predict(*files)
    assert said[0].text == sentence
    with pytest.raises(ConfigError, match="no engine 'onnx'"):
        command(*files, "onnx")


CHANGES: dict[str, Callable[[Arrays], Arrays]] = {
    "column order": lambda a: {name: np.asfortranarray(array) for name, array in a.items()},
    "big endian": lambda a: {name: array.astype(">f4") for name, array in a.items()},
    "float64": lambda a: {name: array.astype(np.float64) for name, array in a.items()},
    "long double": lambda a: {name: array.astype(np.longdouble) for name, array in a.items()},
    "float16": lambda a: {name: array.astype(np.float16) for name, array in a.items()},
}


@pytest.mark.parametrize("change", CHANGES)
def test_the_form_of_the_arrays_changes_nothing(change: str, work: Path, arrays: Arrays) -> None:
    expected = proba(table(work, GOOD, arrays))
    assert np.allclose(expected.sum(axis=1), 1, atol=1e-5)
    assert np.allclose(proba(table(work, GOOD, CHANGES[change](arrays))), expected, atol=2e-3)


def filled(value: float, dtype: type, *names: str) -> Callable[[Arrays], Arrays]:
    return lambda a: {**a, **{name: np.full(a[name].shape, value, dtype) for name in names or a}}


DAMAGED: dict[str, tuple[Callable[[Arrays], Arrays], str]] = {
    "NaN": (filled(np.nan, np.float32, "0001"), "m.npz: array 0001 holds NaN, infinity"),
    "infinity in float16": (filled(np.inf, np.float16, "0002"), "array 0002 holds NaN, infinity"),
    "too large for float32": (filled(1e300, np.float64, "0000"), "array 0000 .* too large for float32"),
    "so large that sums overflow": (filled(1e38, np.float32), "gives NaN or infinity for image '0'"),
    "an array more": (lambda a: {**a, "9999": np.zeros(3, np.float32)}, "holds 7 arrays"),
    "an array less": (lambda a: {name: a[name] for name in list(a)[1:]}, "holds 5 arrays"),
    "another shape": (lambda a: {**a, "0000": a["0000"].reshape(-1)}, "do not fit the network's 6 weights"),
    "no array": (lambda a: {"0000": np.zeros(0, np.float32)}, "holds 1 arrays"),
}


@pytest.mark.parametrize("case", DAMAGED)
def test_weights_that_are_none_are_refused_by_name(case: str, work: Path, arrays: Arrays) -> None:
    change, said = DAMAGED[case]
    with pytest.raises(KitError, match=said):
        table(work, GOOD, change(arrays))


def test_no_cell_is_a_formula_and_names_stay_what_they_are(work: Path, arrays: Arrays) -> None:
    header, *rows = table(work, {**GOOD, "classes": ["=cmd|' /C calc'!A0", "-1", "b-2"]}, arrays)
    assert header == ["id", "label", "'=cmd|' /C calc'!A0", "-1", "b-2"]
    assert {row[1] for row in rows} <= set(header[2:])
    header, *_ = table(work, {**GOOD, "classes": ["+1", "@x", "-1+2"]}, arrays)
    assert header[2:] == ["'+1", "'@x", "'-1+2"]


def test_classes_called_like_the_first_columns_are_told_apart(work: Path, arrays: Arrays) -> None:
    header, *_ = table(work, {**GOOD, "classes": ["id", "Label", "c"]}, arrays)
    assert header == ["id", "label", "class id", "class Label", "class c"]


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """The paths to every value in a tree of JSON."""
    keys = value if isinstance(value, dict) else range(len(value)) if isinstance(value, list) else ()
    for key in keys:
        yield (*path, key)
        yield from places(value[key], (*path, key))


ODD: list[Any] = [None, True, "", "1", "a\0", "=1", "clahe", "plain-cnn", "flatten", [], {}, [[]], [0.5], ["rot90"]]
ODD += [-1, 0, 1, 3, 17, 2.5, 1e-320, 1e38, 1e308, 10**30, float("nan"), float("inf")]
ODD += [[{"op": "clahe"}, {"op": "bilateral"}]]


@settings(max_examples=40, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from(list(places(GOOD))), st.sampled_from(ODD), st.sampled_from(["set", "drop", "twice"])),
        max_size=2,
    )
)
def test_a_changed_description_predicts_or_is_refused_but_never_surprises(
    work: Path, arrays: Arrays, changes: list[tuple[tuple[Any, ...], Any, str]]
) -> None:
    content = copy.deepcopy(GOOD)
    for (*path, last), value, how in changes:
        place: Any = content
        try:
            for key in path:
                place = place[key]
            if how == "set":
                place[last] = value
            elif how == "drop":
                del place[last]
            else:
                place.append(place[last])
        except (KeyError, IndexError, TypeError, AttributeError):
            continue  # the change before took this place away
    try:
        found = proba(table(work, content, arrays))
    except KitError as error:
        assert error.message.isprintable()
    else:
        assert np.isfinite(found).all() and np.allclose(found.sum(axis=1), 1, atol=1e-4)
