"""Limits of a bundle, float16 weights and the proof, without a network."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit.config import parse
from kit.config.sections import BundleConfig
from kit.errors import BundleError, ConfigError, DataError
from kit.platforms.sandbox import BundleRun, environment, run_bundle
from kit.platforms.sandbox_runner import TIMED_SECONDS, check_accepted, timed
from kit.runs.costs import LARGEST, halved, halved_bytes, write_halved
from kit.stages.bundle.proof import AGREE, MemberCost, check, check_run, check_size
from kit.store.candidate import HalfRecord
from kit.store.files import write_zip

pytestmark = pytest.mark.stage

COSTS = [MemberCost("small", 4.0, 2.0), MemberCost("large", 60.0, None)]


def ran(**changes: Any) -> BundleRun:
    """A run of 32 images that took 6 s to start, then .01 s an image, and 700 MB."""
    values: dict[str, Any] = {
        "labels": np.zeros(32, np.int64),
        "proba": np.zeros((32, 2)),
        "load_seconds": 5.0,
        "predict_seconds": 1.32,
        "peak_mb": 700.0,
        "versions": {},
        "network": "namespace",
        "kit_absent": True,
        "elsewhere": True,
        "timed_images": 100,
        "timed_seconds": 1.0,
    }
    return BundleRun(**{**values, **changes})


def test_the_time_for_many_images_is_starting_and_so_much_an_image() -> None:
    run = ran()
    assert run.starting_seconds == pytest.approx(6.0)
    assert run.seconds_for(1000) == pytest.approx(16.0)
    assert ran(timed_images=0).seconds_for(32) == pytest.approx(6.32)


def test_a_zip_over_its_limit_is_refused_with_what_each_member_weighs() -> None:
    check_size(BundleConfig(max_mb=70), 64.5, COSTS)
    with pytest.raises(
        BundleError, match=r"64.5 MB, but \[bundle\] max_mb allows 50: small 4 MB.*large 60 MB"
    ) as raised:
        check_size(BundleConfig(max_mb=50), 64.5, COSTS)
    assert raised.value.hint.startswith("[ensemble] max_bundle_mb = ")


def test_a_run_over_its_limits_is_refused_with_what_each_member_takes() -> None:
    check_run(BundleConfig(max_seconds=16.1, max_memory_mb=701), ran(), COSTS)
    with pytest.raises(BundleError, match=r"1000 images take 16 s, of which 6 s to start.*small 4 MB, 2 s per 1,000"):
        check_run(BundleConfig(max_seconds=15.9), ran(), COSTS)
    with pytest.raises(BundleError, match=r"used 700 MB of memory, but \[bundle\] max_memory_mb allows 600"):
        check_run(BundleConfig(max_memory_mb=600), ran(), COSTS)


def test_an_environment_that_cannot_be_made_is_an_error_with_the_last_line_of_the_installer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "uv").write_text("#!/bin/sh\necho 'no such package' >&2\ntest $1 = venv\n")
    (tmp_path / "uv").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    with pytest.raises(BundleError, match=r"cannot install nothing-of-this-name==0: no such package"):
        environment("nothing-of-this-name==0")
    assert not list(tmp_path.rglob("complete"))


def test_the_hint_to_a_slow_bundle_is_the_limit_that_would_have_kept_it() -> None:
    costs = [MemberCost("a", 1.0, 12.0), MemberCost("b", 1.0, 8.0)]
    with pytest.raises(BundleError) as raised:
        check_run(BundleConfig(max_seconds=11.0), ran(), costs)
    # 20 s in the folds were 10 s in the bundle, of which 5 are left.
    assert raised.value.hint == "[ensemble] max_seconds_per_1000 = 9.5"


def test_limits_of_the_bundle_leave_room_for_code_and_for_starting() -> None:
    settings = parse('[data]\ntrain = "practice"\n[bundle]\nmax_mb = 20\nmax_seconds = 60\nimages = 4000\n').bundle
    assert settings.weights_mb == 19.5
    assert settings.seconds_per_1000 == pytest.approx(0.8 * 60 / 4)
    assert BundleConfig().limits() == {}
    assert BundleConfig(half_precision=True).limits() == {}  # what is not limited changes no blend
    with pytest.raises(ConfigError, match="half_precision"):
        parse('[data]\ntrain = "practice"\n[bundle]\nhalf_precision = "yes"\n')


@given(st.lists(st.integers(1, 4), min_size=1, max_size=4), st.integers(0, 1000))
def test_kernels_are_halved_and_nothing_else_changes(shape: list[int], seed: int) -> None:
    array = np.random.default_rng(seed).normal(0, 1, shape).astype(np.float32)
    found = halved(array)
    assert found.dtype == (np.float16 if len(shape) > 1 else np.float32)
    assert np.allclose(found.astype(np.float32), array, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize(
    "array",
    [np.full((2, 2), 2 * LARGEST, np.float32), np.ones((2, 2), np.int64), np.zeros(3, np.float32), np.float32(1)],
)
def test_what_float16_cannot_hold_stays(array: Any) -> None:
    assert halved(np.asarray(array)).dtype == np.asarray(array).dtype


def test_halved_files_are_the_same_bytes_and_about_as_large_as_foretold(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    kernels = {f"{number:04d}": rng.normal(size=(3, 3, 16, 16)).astype(np.float32) for number in range(5)}
    np.savez(tmp_path / "w.npz", **kernels, bias=np.zeros(16, np.float32))
    first = write_halved(tmp_path / "w.npz", tmp_path / "a.npz").read_bytes()
    assert write_halved(tmp_path / "w.npz", tmp_path / "b.npz").read_bytes() == first
    assert len(first) < 0.6 * (tmp_path / "w.npz").stat().st_size
    assert halved_bytes(tmp_path / "w.npz") == pytest.approx(len(first), rel=0.01)


def measured(score: float) -> HalfRecord:
    return HalfRecord(score=score, score_float32=0.9, rows=5000, largest_change=0.01, probe=((0.0, 0.0),))


@pytest.mark.parametrize("off", [-0.9, 0.9])
def test_scores_within_a_twentieth_of_a_point_agree(off: float) -> None:
    check(measured(0.9 + off * AGREE), "accuracy", "")


@pytest.mark.parametrize("off", [-1.1, 1.1])
def test_scores_further_apart_forbid_float16_weights(off: float) -> None:
    with pytest.raises(BundleError, match=r"accuracy out of fold is .*float32 0.90000 \(5000 rows\).*60 MB") as raised:
        check(measured(0.9 + off * AGREE), "accuracy", "the zip has 60 MB")
    assert raised.value.hint == "[bundle] half_precision = false"


def test_members_that_no_limit_allows_are_named_with_their_cost() -> None:
    from kit.judge.blend import Options
    from kit.judge.blend.worth import keep_members

    options = Options(members=["small", "large"], max_bundle_mb=3.0, mb=[4.0, 60.0])
    with pytest.raises(DataError, match="small 4 MB, large 60 MB; allowed 3 MB"):
        keep_members(np.ones((5, 2)), 1, options)


def code(body: str) -> dict[str, Path | bytes]:
    text = f"import numpy as np\nclass Model:\n    def predict(self, X):\n        {body}\n"
    return {"model.py": text.encode()}


BODIES = {
    "takes NaN": ("return np.zeros(len(np.asarray(X)), int)", "one channel: predict did not refuse it"),
    "counts images only": (
        "assert X.dtype == np.uint8, 'bytes only'\n        return np.zeros(len(X), int)",
        "bytes only",
    ),
    "one at least": ("return np.zeros(max(1, len(X)), int)", "no image: predict gave"),
    "depends on the order": ("return np.arange(len(X)) % 2", "predict gave other answers"),
    "calls home": ("import socket\n        socket.create_connection(('192.0.2.1', 80), 1)", "Error"),
}


@pytest.mark.parametrize("name", BODIES)
def test_a_bundle_that_cannot_be_trusted_with_any_input_is_refused(name: str, tmp_path: Path) -> None:
    body, said = BODIES[name]
    bundle = write_zip(tmp_path / "b.zip", code(body))
    with pytest.raises(BundleError, match=said):
        run_bundle(bundle, np.zeros((4, 5, 5, 3), np.uint8), inputs=True)


CAREFUL = """X = np.asarray(X)
        if X.shape[1:] != (5, 5, 3) or X.dtype.kind not in 'uif' or not np.isfinite(X).all() or (X % 1).any():
            raise ValueError('not images')
        return np.zeros(len(X), int)"""


def test_a_run_says_what_it_proved(tmp_path: Path) -> None:
    bundle = write_zip(tmp_path / "b.zip", code(CAREFUL))
    run = run_bundle(bundle, np.zeros((4, 5, 5, 3), np.uint8), inputs=True)
    assert run.network in ("namespace", "patched")
    assert run.kit_absent
    assert run.elsewhere
    assert {"one image", "no image", "an odd count", "not contiguous", "float32, 0 to 255"} <= set(run.accepted)
    assert {"NaN", "scaled to [0, 1]", "one channel"} <= set(run.refused)
    assert set(run.refused.values()) == {"not images"}
    assert run.timed_images >= 4
    assert run.peak_mb > 1


MANGLED: dict[str, Callable[[Any], bool]] = {
    "int64": lambda x: x.dtype == np.int64,
    "float32, 0 to 255": lambda x: x.dtype == np.float32,
    "float64, 0 to 255": lambda x: x.dtype == np.float64,
    "a reversed view": lambda x: x.strides[0] < 0,
    "column order": lambda x: 0 < x.strides[0] < x.strides[1],
    "not contiguous": lambda x: x.strides[0] > x[0].nbytes,
    "read only": lambda x: not x.flags.writeable,
    "an odd count": lambda x: len(x) == 7,
    "one image": lambda x: len(x) == 1,
}


@pytest.mark.parametrize("form", MANGLED)
def test_a_predictor_that_mangles_one_form_of_the_images_is_found_out(form: str) -> None:
    class Mangling:
        """Answers with the first pixel, and with another one where the images come in the form."""

        def predict(self, images: Any) -> Any:
            return images[:, 0, 0, 0].astype(np.int64) + MANGLED[form](images)

    images = np.random.default_rng(0).integers(0, 8, (32, 4, 4, 3), dtype=np.uint8)
    with pytest.raises(AssertionError, match=f"{form}.*: predict gave other answers"):
        check_accepted(Mangling(), images, images[:, 0, 0, 0].astype(np.int64))


@pytest.mark.parametrize("seconds", [0.1, TIMED_SECONDS, 60.0])
@pytest.mark.parametrize("compiled", [True, False])
def test_a_call_is_timed_again_unless_it_was_compiled_and_took_long_enough(seconds: float, compiled: bool) -> None:
    calls: list[int] = []

    class Counting:
        def predict(self, images: Any) -> None:
            calls.append(len(images))

    count, took = timed(Counting(), np.zeros((32, 2, 2, 3), np.uint8), seconds, compiled)
    if compiled and seconds >= TIMED_SECONDS:
        assert (count, took, calls) == (32, seconds, [])
    else:
        assert calls == [count] and count == (320 if seconds < 1 else 32)


def test_without_name_spaces_the_sockets_are_replaced_and_the_run_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))  # no `unshare` to be found
    images = np.zeros((4, 5, 5, 3), np.uint8)
    call = "import socket\n        socket.create_connection(('127.0.0.1', 1), 1)"
    with pytest.raises(BundleError, match="a bundle has no network"):
        run_bundle(write_zip(tmp_path / "b.zip", code(call)), images)
    assert run_bundle(write_zip(tmp_path / "b.zip", code(CAREFUL)), images).network == "patched"
