"""Every figure once, as SVG: a stage writes it as a file of its own, the report embeds it in its page.

Functions of arrays and records return a `Panel` or several; `standalone` makes a file of them, Jinja embeds one as it
is. Photographs cannot be SVG: `sheets` puts them side by side as PNG.
"""

from kit.show.figures.panel import Panel, page_style, standalone

__all__ = ["Panel", "page_style", "standalone"]
