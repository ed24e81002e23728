"""matplotlib figures as SVG to put into a page: no outside reference, and the page's colours, light or dark."""

from __future__ import annotations

import contextlib
import io
import re
import warnings
from collections.abc import Iterator
from html import escape
from typing import TYPE_CHECKING

from hra_cli.io.plain_text import plain

if TYPE_CHECKING:
    from matplotlib.figure import Figure

# matplotlib wants numbers for colours; each of these stands for a variable of the page's style sheet.
COLOURS = {
    "text": "#010101",
    "faint": "#010102",
    "background": "#010103",
    "frozen": "#010104",
    "hra": "#010105",
    "ablation": "#010106",
    "baseline": "#010107",
}

_STYLE = {
    "svg.fonttype": "none",  # text stays text
    "font.family": "sans-serif",
    "font.size": 9.0,
    "axes.titlesize": 9.0,
    "axes.labelsize": 9.0,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLOURS["faint"],
    "axes.labelcolor": COLOURS["text"],
    "axes.titlecolor": COLOURS["text"],
    "text.color": COLOURS["text"],
    "xtick.color": COLOURS["faint"],
    "ytick.color": COLOURS["faint"],
    "xtick.labelcolor": COLOURS["text"],
    "ytick.labelcolor": COLOURS["text"],
    "grid.color": COLOURS["faint"],
    "grid.alpha": 0.35,
    "grid.linewidth": 0.6,
    "axes.axisbelow": True,
    "figure.facecolor": "none",
    "axes.facecolor": "none",
    "savefig.facecolor": "none",
}


@contextlib.contextmanager
def style(name: str) -> Iterator[None]:
    """Figures made and saved in this block look alike, whatever the user's matplotlibrc says.

    name: as for `inline_svg`.
    """
    import matplotlib.style

    with warnings.catch_warnings(), matplotlib.style.context(["default", {**_STYLE, "svg.hashsalt": name}]):
        warnings.filterwarnings("ignore", message="Glyph .* missing")  # the browser has other fonts
        yield


def inline_svg(figure: Figure, name: str, label: str) -> str:
    """The figure as an <svg> element. name: unique in the page, ids begin with it. label: what a screen reader says."""
    file = io.StringIO()
    figure.savefig(file, format="svg", metadata={"Creator": None, "Date": None, "Format": None, "Type": None})
    svg = file.getvalue()
    size = re.search(r'viewBox="([^"]*)"', svg)
    assert size is not None
    body = svg[svg.index(">", svg.index("<svg")) + 1 :]
    body = re.sub(r"<(metadata|style)\b.*?</\1>", "", body, flags=re.DOTALL)  # the style's rules are the page's
    body = re.sub(r'\bid="', f'id="{name}-', body)
    body = re.sub(r'\b(?:xlink:)?href="#', f'href="#{name}-', body)
    body = body.replace("url(#", f"url(#{name}-")
    for colour, stand_in in COLOURS.items():
        body = body.replace(stand_in, f"var(--{colour})")
    return f'<svg viewBox="{size.group(1)}" role="img" aria-label="{escape(plain(label), quote=True)}">{body.strip()}\n'
