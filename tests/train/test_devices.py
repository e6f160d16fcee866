"""One process per graphics card."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from kit.runs.units.process import Cards, visible_gpus


def smi(tmp_path, monkeypatch, text, code=0):
    """An ``nvidia-smi`` that prints ``text``."""
    tool = tmp_path / "nvidia-smi"
    tool.write_text(f"#!/bin/sh\nprintf '{text}'\nexit {code}\n")
    tool.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")


def test_cards_are_those_that_the_driver_lists(tmp_path, monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    smi(tmp_path, monkeypatch, "0\\n1\\n")
    assert visible_gpus() == ("0", "1")
    smi(tmp_path, monkeypatch, "no driver", code=9)
    assert visible_gpus() == ()
    monkeypatch.setenv("PATH", str(tmp_path / "nowhere"))
    assert visible_gpus() == ()


@pytest.mark.parametrize(("value", "cards"), [("2,3", ("2", "3")), ("", ()), ("-1", ()), (" 1 ", ("1",))])
def test_a_choice_of_cards_is_kept(tmp_path, monkeypatch, value, cards):
    smi(tmp_path, monkeypatch, "0\\n1\\n2\\n3\\n")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert visible_gpus() == cards


def test_no_two_processes_have_one_card_at_a_time():
    cards, lock, busy, used = Cards(("0", "1")), threading.Lock(), set(), []

    def work(_: int) -> None:
        with cards.environment() as environment:
            card = environment["CUDA_VISIBLE_DEVICES"]
            with lock:
                assert card not in busy
                busy.add(card)
                used.append(card)
            with lock:
                busy.remove(card)

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(work, range(40)))
    assert set(used) <= {"0", "1"} and len(used) == 40


def test_more_processes_than_cards_share_them_evenly():
    cards = Cards(("0", "1"))
    with cards.environment() as a, cards.environment() as b, cards.environment() as c, cards.environment() as d:
        assert sorted(e["CUDA_VISIBLE_DEVICES"] for e in (a, b, c, d)) == ["0", "0", "1", "1"]


def test_without_a_card_a_process_sees_what_this_one_sees(monkeypatch):
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    with Cards(()).environment() as environment:
        assert "CUDA_VISIBLE_DEVICES" not in environment
