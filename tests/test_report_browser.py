"""The page in a real browser: it asks nobody, says no error, fits a phone, shows every picture and every name."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from browser import Browser, find_browser
from invented import HOSTILE, invent, stress, submit_more
from PIL import Image

from kit.store.layout import find_project

pytestmark = pytest.mark.stage

SIZES = {"desktop": (1280, 900), "tablet": (820, 1100), "phone": (390, 844), "small phone": (320, 640)}
# Elements that stand over the right edge and are not inside one that scrolls by itself.
OVER = """[...document.querySelectorAll('body *')].filter(e => {
  const box = e.getBoundingClientRect();
  return box.width && box.right > document.documentElement.clientWidth + 1 && !e.closest('.wide, pre, svg, .hidden');
}).map(e => e.tagName + '.' + e.className)"""
NAMELESS = """[...document.querySelectorAll('img, svg')].filter(e =>
  !(e.getAttribute('alt') || e.getAttribute('aria-label') || '').trim()).length"""
EMPTY = "[...document.images].filter(e => !e.complete || !e.naturalWidth).length"
# The words whose colour is closest to what lies behind them, by WCAG 2.2: [contrast, words]; see-through colours of
# the elements above are mixed in.
CONTRAST = """(() => {
  const parse = text => {
    const n = text.match(/[\\d.e-]+/g).map(Number);
    const rgb = n.slice(0, 3).map(v => text.startsWith('color') ? v : v / 255);
    return [rgb, n.length > 3 ? n[3] : 1];
  };
  const behind = e => {
    if (!e) return [1, 1, 1];
    const [rgb, alpha] = parse(getComputedStyle(e).backgroundColor);
    return alpha === 1 ? rgb : behind(e.parentElement).map((v, n) => v * (1 - alpha) + rgb[n] * alpha);
  };
  const light = rgb => rgb.map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const words = e => [...e.childNodes].filter(n => n.nodeType === 3).map(n => n.textContent.trim()).join('');
  const found = [...document.querySelectorAll('body *')].filter(e => words(e) && e.getClientRects().length).map(e => {
    const style = getComputedStyle(e);
    const [a, b] = [light(parse(e.namespaceURI.endsWith('svg') ? style.fill : style.color)[0]), light(behind(e))];
    return [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), e.className + ' ' + words(e)];
  });
  return [found.length, ...found.sort((a, b) => a[0] - b[0])[0]];
})()"""


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    find_browser()
    folder = tmp_path_factory.mktemp("browser")
    project = invent(folder, name=HOSTILE[1], classes=HOSTILE)
    stress(project)
    submit_more(project, (0.66, 0.75))
    Image.new("RGB", (900, 600), "grey").save(project.layout.augment_picture("first"))
    return project.report(attention=False)


@pytest.fixture(scope="module")
def browser(page: Path) -> Iterator[Browser]:
    with Browser() as found:
        yield found


def said(browser: Browser, *methods: str) -> list[dict[str, Any]]:
    return [event for event in browser.events if event.get("method") in methods]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("size", SIZES)
def test_the_page_fits_and_asks_nobody(size: str, dark: bool, page: Path, browser: Browser) -> None:
    width, height = SIZES[size]
    browser.open(page, width, height, dark=dark)
    browser.evaluate("Promise.all([...document.images].map(e => { e.loading = 'eager'; return e.decode(); }))")
    assert browser.evaluate("document.documentElement.scrollWidth") <= width
    assert browser.evaluate(OVER) == []
    assert browser.evaluate(EMPTY) == 0
    assert browser.evaluate(NAMELESS) == 0
    asked = [event["params"]["request"]["url"] for event in said(browser, "Network.requestWillBeSent")]
    assert [url for url in asked if not url.startswith("data:")] == [page.as_uri()]
    assert said(browser, "Runtime.exceptionThrown", "Log.entryAdded", "Runtime.consoleAPICalled") == []


def test_hostile_names_are_text_on_the_screen(page: Path, browser: Browser) -> None:
    browser.open(page)
    assert browser.evaluate("document.title") == f"{HOSTILE[1]}: report"
    assert browser.evaluate("document.querySelector('h1').textContent") == HOSTILE[1]
    text = browser.evaluate("document.body.textContent")
    assert all(name in text for name in HOSTILE)


def test_text_can_be_read_in_both_schemes(page: Path, browser: Browser) -> None:
    grounds = []
    for dark in (False, True):
        browser.open(page, dark=dark)
        texts, least, words = browser.evaluate(CONTRAST)
        assert texts > 300
        assert least >= 4.5, words
        grounds.append(browser.evaluate("getComputedStyle(document.body).backgroundColor"))
    assert grounds[0] != grounds[1]


def test_what_lies_beyond_an_edge_can_be_reached_by_keyboard(page: Path, browser: Browser) -> None:
    browser.open(page, 320, 640)
    wide = "[...document.querySelectorAll('.wide')]"
    hidden = f"{wide}.filter(e => e.scrollWidth > e.clientWidth + 1 && e.tabIndex < 0).length"
    assert browser.evaluate("document.querySelectorAll('.wide').length") > 3
    assert browser.evaluate(hidden) == 0


def test_the_page_prints(page: Path, browser: Browser) -> None:
    browser.open(page, dark=True)
    printed = browser.pdf()
    assert printed.startswith(b"%PDF")
    assert printed.count(b"/Type /Page\n") + printed.count(b"/Type /Page ") > 1


def test_nothing_is_cut_on_paper(page: Path, browser: Browser) -> None:
    browser.open(page, 680, 960)  # A4 without its margins
    browser.ask("Emulation.setEmulatedMedia", media="print")
    assert browser.evaluate("getComputedStyle(document.querySelector('.contents')).display") == "none"
    assert browser.evaluate("document.documentElement.scrollWidth") <= 680
    cut = "[...document.querySelectorAll('.wide')].filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.ariaLabel)"
    assert browser.evaluate(cut) == []
    browser.ask("Emulation.setEmulatedMedia", media="")


def test_the_test_would_notice_a_request_and_an_error(tmp_path: Path, browser: Browser) -> None:
    bad = tmp_path / "bad.html"
    bad.write_text("<img src='other.png'><script>throw Error('x')</script><p style='width:2000px'>wide</p>")
    browser.open(bad, 390, 844)
    assert len(said(browser, "Network.requestWillBeSent")) == 2
    assert said(browser, "Runtime.exceptionThrown")
    assert browser.evaluate(OVER) == ["P."]
    assert browser.evaluate(NAMELESS) == 1


def test_the_page_is_found_from_a_folder_below(page: Path) -> None:
    assert find_project(page.parent / "data").named("report.html") == page
