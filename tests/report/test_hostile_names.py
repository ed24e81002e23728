"""Names from files are text in a report, in every place of it."""

from html.parser import HTMLParser

import pytest

from hra_cli.report.content import (
    BASELINE,
    HRA,
    Content,
    Curve,
    Decoding,
    Difference,
    Differences,
    Growth,
    Line,
    Missing,
    Point,
    Series,
    Table,
    WerTable,
)
from hra_cli.report.page import page
from hra_cli.scoring.wer import Utterance

HOSTILE = [
    "<script>alert(1)</script>",
    "\"' onmouseover=alert(1) x='",
    "</style></title></svg><img src=x onerror=alert(1)>",
    "javascript:alert(1)",
    "]]>--><!--&lt;",
    "$\\frac{1}{0}$ \\$x$ $",
    "a\x1b[31m\x00\n\t\u202eb",
    "\udcff",
]


class Elements(HTMLParser):
    """The elements of a page, each with the names of its attributes, and where its links go."""

    def __init__(self, html):
        super().__init__()
        self.found, self.links, self.text = set(), set(), ""
        self.feed(html)

    def handle_starttag(self, tag, attributes):
        self.found.add((tag, tuple(name for name, _ in attributes)))
        self.links |= {value for name, value in attributes if name in ("href", "src", "xlink:href", "action")}

    def handle_data(self, data):
        self.text += data


def content(name):
    """A report in which everything that may come from a file is `name`."""
    series = [Series(name, family, 30.0, {name: 30.0, "fr": 20.0}) for family in (HRA, BASELINE)]
    return Content(
        title=name,
        facts={name: name},
        wer=[WerTable(name, [name, "fr"], series, {name: 3, "fr": 4})],
        wer_missing=Missing(name, name),
        points=[
            Point(name, HRA, True, 100.0, 30.0, 20.0, 40.0, 1),
            Point("b", BASELINE, True, 900.0, 9.0, 8.0, 10.0, 1),
        ],
        differences=[Differences(name, True, [Difference(name, HRA, 1, 30.0, 1.0, 0.5, 1.5)])],
        growth=Growth([1, 10], [Line(name, HRA, [5, 50]), Line("b", BASELINE, [9, 90])]),
        growth_note=name,
        dev_wer=[Curve(name, HRA, [(0, 30.0), (5, 20.0)])],
        train_loss=[Curve(name, HRA, [(1, 3.0), (5, 2.0)])],
        curves_missing=None,
        decoding=Decoding(name, [Utterance(name, name, [name, "ONE"], ["TWO", name])]),
        cells=Table([name, "WER %"], [[name, "1.0"]]),
        commands=[name],
        versions={name: name},
        config={name: [name]},
    )


@pytest.fixture(scope="module")
def harmless():
    return Elements(page(content("ann")))


@pytest.mark.parametrize("name", HOSTILE)
def test_a_name_adds_no_element_no_attribute_and_no_link(harmless, name):
    html = page(content(name))
    found = Elements(html)
    assert {tag for tag, _ in found.found} == {tag for tag, _ in harmless.found}
    assert found.found <= harmless.found | {("use", ("xlink:href", "x")), ("use", ("xlink:href",))}
    assert all(link.startswith("#") for link in found.links)
    assert "\x1b" not in html
    assert "\x00" not in html


def test_a_name_is_shown_as_it_is():
    assert HOSTILE[0] in Elements(page(content(HOSTILE[0]))).text
