"""Maps of attention: what they are by definition, which images are shown, and that a report makes them once."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from invented import invent

from kit.base.events import silent
from kit.project import Project
from kit.runs.results import FoldRecord
from kit.runs.spec import plan_runs
from kit.stages.ensemble.ensemble import ensemble
from kit.stages.report.attention import SHOWN, examples, inner_share, spotlight
from kit.store.record import digests_of

pytestmark = pytest.mark.stage

MAPS = arrays(np.float32, (4, 4), elements=st.floats(0, 1, width=32))


@given(MAPS)
def test_a_spotlight_brightens_nothing_and_a_full_one_changes_nothing(heat: Any) -> None:
    image = np.random.default_rng(0).integers(0, 256, (16, 16, 3), dtype=np.uint8)
    lit = spotlight(image, heat)
    assert lit.shape == image.shape and lit.dtype == np.uint8
    assert (lit.max(axis=2).astype(int) <= image.max(axis=2).astype(int) + 1).all()
    assert np.array_equal(spotlight(image, np.ones((4, 4))), image)


@example(np.float32([[0, 0, 0, 0], [0, 0, 0.46283853, 0], [0, 0, 0, 0], [0, 0, 0, 0]]))
@given(MAPS)
def test_the_inner_share_is_a_share(heat: Any) -> None:
    assert 0 <= inner_share(heat) <= 1
    centre, even = np.zeros((8, 8)), np.ones((8, 8))
    centre[3:5, 3:5] = 1
    assert inner_share(centre) == 1
    assert inner_share(even) == pytest.approx(0.5, abs=0.03)
    assert inner_share(np.zeros((8, 8))) == 0.5


@given(st.integers(0, 1000), st.integers(2, 12))
def test_examples_are_the_surest_errors_and_one_right_image_a_class(seed: int, classes: int) -> None:
    rng = np.random.default_rng(seed)
    y, proba = rng.integers(0, classes, 60), rng.dirichlet(np.ones(classes), 60)
    wrong, right = examples(y, proba)
    named, sure = proba.argmax(1), proba.max(1)
    assert len(wrong) <= SHOWN and (named[wrong] != y[wrong]).all()
    others = np.setdiff1d(np.flatnonzero(named != y), wrong)
    assert not len(others) or sure[others].max() <= sure[wrong].min()
    assert (named[right] == y[right]).all()
    assert len(set(y[right].tolist())) == len(right)


@pytest.mark.tf
def test_with_a_mean_and_a_linear_head_it_is_the_class_activation_map() -> None:
    """Zhou et al. 2016: then the gradient is the head's column, the same everywhere."""
    import keras

    from kit.runtime.backbones import build
    from kit.stages.report.attention import attention_maps

    head = {"pooling": "avg", "dropout": 0.0, "units": []}
    network = build({"backbone": "plain-cnn", "size": 32, "classes": 3, "head": head})
    images = np.random.default_rng(0).integers(0, 256, (5, 32, 32, 3)).astype(np.float32)
    classes = np.array([0, 1, 2, 1, 0])
    before = keras.Model(network.features.input, network.features.get_layer("pool").input)
    kernel = network.head.get_layer("logits").get_weights()[0]
    raw = np.einsum("nhwc,cn->nhw", before(images).numpy(), kernel[:, classes])
    expected = np.maximum(raw, 0) / np.maximum(raw.max(axis=(1, 2), keepdims=True), 1e-12)
    assert np.allclose(attention_maps(network, images, classes), expected, atol=1e-4)
    flat = build({"backbone": "feed-forward", "size": 32, "classes": 3, "head": head})
    assert attention_maps(flat, images, classes) is None


@pytest.mark.tf
def test_a_report_makes_the_maps_once(tmp_path: Path) -> None:
    from kit.runtime import arrays as weights
    from kit.runtime.backbones import build

    project = invent(tmp_path)
    for specs in plan_runs(project.layout, project.config, ()).values():
        found = weights.of(build(specs[0].network).model)
        for spec in specs:
            np.savez(spec.paths.weights, **found)
            record = FoldRecord.load(spec.paths.record)
            files = {**record.files, **digests_of(spec.paths.root, spec.paths.weights)}
            record.model_copy(update={"files": files}).save(spec.paths.record)
    ensemble(project.layout, project.config, silent)
    page = project.report().read_text(encoding="utf-8")
    (cache,) = tmp_path.glob("submissions/*/attention.npz")
    made = cache.stat().st_mtime_ns
    assert "bright where the network looked" in page
    again = project.report().read_text(encoding="utf-8")
    assert "bright where the network looked" in again
    assert cache.stat().st_mtime_ns == made


@pytest.mark.tf
def test_weights_that_do_not_fit_leave_the_section_out_and_the_page_whole(tmp_path: Path) -> None:
    said: list[str] = []
    invent(tmp_path)
    project = Project(tmp_path, emit=lambda event: said.append(event.text))
    page = project.report().read_text(encoding="utf-8")
    assert any("attention" in text and "is left out" in text for text in said)
    assert 'id="provenance"' in page
