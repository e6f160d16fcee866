"""Every figure once, as SVG: a stage writes it as a file of its own, the report embeds it in its page.

Functions of arrays and records return a `Panel` or several; `standalone` makes a file of them, Jinja embeds one as it
is. Photographs cannot be SVG: `sheets` puts them side by side as PNG.
"""

import re
from dataclasses import dataclass
from html import escape
from pathlib import Path

from kit.base.text import plain
from kit.show.figures import svg

WIDTH = 340.0  # of most panels: as wide as a phone, where a picture cannot be larger
VARIABLE = re.compile(r"var\(--(\w+)\)")
MARGIN, GAP, HEAD = 16.0, 36.0, 30.0
LIGHT = {
    "paper": "#fcfbf8", "raised": "#f4f2ec", "ink": "#1e1d1a", "muted": "#67635b", "rule": "#dcd8ce",
    "grid": "#e9e6de", "accent": "#1d5f96", "warn": "#b4470c", "soft": "#9db9d0", "shade": "#0004", "tint": "1",
}  # fmt: skip
DARK = {
    "paper": "#16181b", "raised": "#1f2226", "ink": "#e7e4de", "muted": "#a19d94", "rule": "#383b40",
    "grid": "#272a2e", "accent": "#7fbdea", "warn": "#f19658", "soft": "#4d6d86", "shade": "#000c", "tint": ".72",
}  # fmt: skip


@dataclass(frozen=True)
class Panel:
    """A picture: its ``parts`` as SVG, what it is called, a note on how to read it, and words instead of it."""

    title: str
    note: str
    alternative: str
    parts: list[str]
    height: float
    width: float = WIDTH

    def __html__(self) -> str:
        """The picture alone, without title and note, for a page with `page_style`."""
        least = f";min-width:{0.85 * self.width:g}px" if self.width > WIDTH else ""
        return self._svg(f'style="max-width:{1.25 * self.width:g}px{least}"')

    def _svg(self, attributes: str) -> str:
        label = escape(plain(self.alternative), quote=True)
        box = f'viewBox="0 0 {self.width:g} {self.height:g}"'
        return f'<svg {box} role="img" aria-label="{label}" {attributes}>{"".join(self.parts)}</svg>'

    def placed(self, left: float, top: float) -> str:
        """The picture at a place of another one, title and note above it."""
        title, note = svg.text(left, top, self.title, "title"), svg.text(left, top + 17, self.note, "muted")
        place = f'x="{left:g}" y="{top + HEAD:g}" width="{self.width:g}" height="{self.height:g}" overflow="visible"'
        return title + note + self._svg(place)


def standalone(*panels: Panel) -> str:
    """A file of ``panels`` side by side, to be read on light and on dark screens without any page around it."""
    lefts = [MARGIN]
    for panel in panels:
        lefts.append(lefts[-1] + max(panel.width, 8 * len(panel.title), svg.LETTER * len(panel.note)) + GAP)
    width = lefts[-1] - GAP + MARGIN
    height = 2 * MARGIN + HEAD + max(panel.height for panel in panels) + 12
    rules = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    # Colours as they are, not as variables: librsvg and Inkscape know none.
    light = VARIABLE.sub(lambda found: LIGHT[found[1]], rules)
    dark = VARIABLE.sub(lambda found: DARK[found[1]], rules)
    size = f'width="{width:g}" height="{height:g}"'
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} viewBox="0 0 {width:g} {height:g}">',
            f"<style>{light}@media (prefers-color-scheme: dark) {{\n{dark}}}</style>",
            f'<rect class="paper" {size}/>',
            *(panel.placed(left, MARGIN + 12) for panel, left in zip(panels, lefts, strict=False)),
            "</svg>\n",
        ]
    )


def page_style() -> str:
    """The colours as variables of a page, light and dark, and the looks of the panels in it."""
    light, dark = (":root{" + "".join(f"--{name}:{c};" for name, c in of.items()) + "}" for of in (LIGHT, DARK))
    rules = Path(__file__).with_name("style.css").read_text(encoding="utf-8")
    return f"{light}@media (prefers-color-scheme:dark){{{dark}}}\n{rules}"
