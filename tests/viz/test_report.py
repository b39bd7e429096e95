"""The page about a set: its charts show the shares, its text is escaped, and every part may be missing."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from molecules import DRUGS

from molvae.chem.properties import compute_properties
from molvae.chem.smiles import parse
from molvae.viz.histograms import Axis, _edges
from molvae.viz.report import MOST_DRAWN, MOST_INVALID, MOST_SEEDS, Content, _number, html, write_html

SVG = "{http://www.w3.org/2000/svg}"
SMILES = list(DRUGS.values())
PROPERTIES = ["qed", "sa", "logp", "mw", "tpsa", "rings", "rotatable_bonds"]
SET = pd.DataFrame(
    {
        "smiles": SMILES,
        "error": "",
        "canonical": SMILES,
        **compute_properties([parse(s) for s in SMILES], PROPERTIES),
        "similarity": np.linspace(0, 1, len(SMILES)),
        "nearest_similarity": np.linspace(0.3, 0.7, len(SMILES)),
    }
)
INVALID = pd.DataFrame({"smiles": ["C1CC", "<b>"], "error": ["ring 1 is open", 'no <b> & no "c"']})
NOTHING = pd.DataFrame({"smiles": [], "error": []})


def content(molecules=SET, **parts):
    given = {"title": "a set", "counts": {}, "figures": {}, "notes": [], **parts}
    return Content(molecules=molecules, **given)


class Page(HTMLParser):
    """Fails on a tag that is not closed in turn; keeps the text of each element by its tag and class."""

    def __init__(self, text):
        super().__init__()
        self.open, self.texts, self.tags = [], [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "meta":
            self.open.append((tag, dict(attrs).get("class", "")))

    def handle_endtag(self, tag):
        assert self.open.pop()[0] == tag

    def handle_data(self, data):
        if self.open and data.strip():
            self.texts.append((*self.open[-1], data))

    def of(self, tag, kind=""):
        return [text for t, k, text in self.texts if (t, k) == (tag, kind)]


class Chart:
    """A chart read back from its drawing: bins and shares, by the labels of the axis of shares."""

    def __init__(self, svg):
        self.root = ElementTree.fromstring(svg)
        self.title = self.root.find(f"{SVG}title").text
        labels = self.of("text", "share")
        heights = {float(label.text[:-1]) / 100: float(label.get("y")) for label in labels}
        low, high = min(heights), max(heights)
        self.base = heights[low] - 4
        self.unit = (heights[low] - heights[high]) / (high - low)  # pixels to a share of 1
        self.bars = self.of("rect", "bar")
        self.shares = [float(bar.get("height")) / self.unit for bar in self.bars]
        self.bins = [tuple(map(float, bar.find(f"{SVG}title").text.split(":")[0].split(" to "))) for bar in self.bars]

    def of(self, tag, kind):
        return [e for e in self.root.iter(f"{SVG}{tag}") if e.get("class") == kind]

    def outline(self):
        (path,) = self.of("path", "outline")
        return [(self.base - float(y)) / self.unit for y in re.findall(r"V([\d.]+)H", path.get("d"))]

    def texts(self):
        return [e.text for e in self.root.iter(f"{SVG}text")]


def charts(text):
    found = [Chart(svg) for svg in re.findall(r"<figure>(<svg.*?</svg>)</figure>", text, re.DOTALL)]
    return {chart.title.split(":")[0]: chart for chart in found}


def chart(values, reference=None, name="logp"):
    frame = pd.DataFrame({"smiles": ["CCO"] * len(values), name: values})
    other = None if reference is None else pd.DataFrame({name: reference})
    (found,) = charts(html(content(frame, reference=other))).values()
    return found


def shares(values, bins):
    """Counted afresh: half open bins but for the last, whatever lies beyond in the bins at the ends."""
    values, last = np.asarray(values), len(bins) - 1
    inside = [((values >= low) | (i == 0)) & ((values < high) | (i == last)) for i, (low, high) in enumerate(bins)]
    return [row.mean() for row in inside]


def test_every_part():
    text = html(
        content(
            pd.concat([SET, INVALID]),
            counts={"read": 30_000, "valid": 29_876},
            figures={"MOSES": {"FCD/Test": 0.0812, "Scaf/TestSF": None}, "none": {}},
            notes=["One sentence."],
            reference=SET[PROPERTIES],
            seeds=pd.DataFrame({"seed": SMILES[:3], "distinct": [200, 150, np.nan]}),
        )
    )
    page = Page(text)
    assert page.of("h2") == [
        "Figures", "Properties", "Similarity", "Highest QED", "Lowest QED", "Invalid", "Seeds",
    ]  # fmt: skip
    assert (page.of("dt"), page.of("dd")) == (["read", "valid"], ["30,000", "29,876"])
    assert page.of("caption") == ["MOSES"]
    assert [t for t in page.of("td") if t.strip()] == ["0.081", "–", "200", "150", "–"]
    assert "One sentence." in page.of("p")
    assert len(charts(text)) == len(PROPERTIES) + 2
    assert text.count('<div class="card">') == 2 * MOST_DRAWN


def test_the_page_stands_alone():
    text = html(content(reference=SET))
    addresses = set(re.findall(r"https?://[^'\"\s>]+", text))
    assert all("w3.org" in a or "rdkit.org" in a for a in addresses)  # the names of XML's spaces, nothing to fetch
    assert not re.search(r"<(script|link|img|iframe)|@import|url\(|src=", text)


def test_every_drawing_is_well_formed():
    drawings = re.findall(r"<svg.*?</svg>", html(content(reference=SET)), re.DOTALL)
    assert len(drawings) == 9 + 2 * MOST_DRAWN
    assert {ElementTree.fromstring(drawing).tag for drawing in drawings} == {f"{SVG}svg"}


@pytest.mark.parametrize("name", PROPERTIES)
def test_bars_are_shares_of_the_set_and_the_outline_those_of_the_reference(name):
    values, reference = SET[name], SET[name].iloc[::3] * 1.5
    found = chart(values, reference, name)
    np.testing.assert_allclose(found.shares, shares(values.round(6), found.bins), atol=2e-3)
    np.testing.assert_allclose(found.outline(), shares(reference.round(6), found.bins), atol=2e-3)
    assert sum(found.shares) == pytest.approx(1, abs=0.02)
    assert all(a[1] == b[0] for a, b in zip(found.bins, found.bins[1:], strict=False))


def test_without_a_reference_there_is_no_outline():
    alone = chart([1.0, 2.0, 2.0])
    assert alone.of("path", "outline") == []
    assert not any("reference" in text for text in alone.texts())
    assert chart([1.0], [2.0]).title == "logP: histogram of 1 of the set, median 1.0 and 1 of the reference, median 2.0"


def test_nothing_is_drawn_outside_its_canvas():
    for found in charts(html(content(reference=SET.assign(mw=SET["mw"] * 3)))).values():
        width, height = (float(found.root.get(side)) for side in ("width", "height"))
        for bar in found.bars:
            x, y, w, h = (float(bar.get(key)) for key in ("x", "y", "width", "height"))
            assert 0 < x < x + w < width
            assert 0 < y <= y + h < height
        ticks = [float(e.get("x")) for e in found.of("text", "value")]
        assert len(ticks) >= 3
        assert np.diff(ticks).min() > 25  # labels of up to four digits
        assert 0 < ticks[0] < ticks[-1] < width


def test_what_lies_far_out_counts_in_the_end_bar_and_is_told():
    values = [1.0] * 999 + [1e6]
    found = chart(values)
    assert len(found.bars) <= 48
    assert sum(found.shares) == pytest.approx(1, abs=0.01)
    assert "end bars include 1 of the set beyond" in found.texts()
    assert not any("beyond" in text for text in chart(values[:-1]).texts())


def test_bins_of_counts_are_about_whole_numbers():
    assert chart([0, 1, 1, 3], name="rings").bins[:3] == [(-0.5, 0.5), (0.5, 1.5), (1.5, 2.5)]


@pytest.mark.parametrize("values", [[-3.2, 0.1], [0.0], [-0.5], [7.25], [1e-9, 1e4], [-1e9]])
def test_edges_hold_all_values(values):
    edges = _edges(Axis("", "", 0.5, 1), [np.array(values)])
    assert edges[0] <= min(values) <= max(values) <= edges[-1]
    assert 8 <= len(edges) - 1 <= 50
    np.testing.assert_allclose(np.diff(edges), edges[1] - edges[0])


@pytest.mark.parametrize("name", ["similarity", "nearest_similarity"])
def test_similarities_are_marked(name):
    found = chart([0.1, 0.7 - 0.3, 0.5, 0.6, 1.0], name=name)
    assert [text for text in found.texts() if "≥" in text] == ["80% ≥ 0.4", "40% ≥ 0.6"]
    assert (found.bins[0][0], found.bins[-1][1]) == (0, 1)
    bars = {low: float(bar.get("x")) for (low, _), bar in zip(found.bins, found.bars, strict=True)}
    at = [float(path.get("d").split()[0][1:]) for path in found.of("path", "mark")]
    np.testing.assert_allclose(at, [bars[0.4], bars[0.6]], atol=0.6)
    assert dict(zip((b[0] for b in found.bins), found.shares, strict=True))[0.4] == pytest.approx(0.2, abs=1e-3)


def test_a_column_of_yes_and_no_is_no_column_of_counts():
    seeds = pd.DataFrame({"seed": ["C", "CC"], "novel": [True, False], "share": [1.0, 0.5], "count": [1.0, np.nan]})
    assert Page(html(content(NOTHING, seeds=seeds))).of("td") == ["yes", "1.000", "1", "no", "0.500", "–"]


def test_text_where_a_number_should_be_is_shown_as_it_is():
    text = html(content(SET.head(2).assign(qed=["<i>", "0.5"], rings=["many", 2])))
    assert Page(text).of("code") == [SMILES[1]]  # the one that can be ranked
    assert "QED <b>0.5</b>" in text
    assert "&lt;i&gt;" in html(content(SET.head(2).assign(sa=["<i>", 1.0])))


def test_numbers_that_are_none_are_left_out_of_a_chart():
    assert "1 of the set" in chart([np.nan, 1.0, np.inf]).title
    assert charts(html(content(SET.assign(**dict.fromkeys(PROPERTIES, np.nan))))).keys() == {
        "Similarity to the seed", "Similarity to the nearest reference",
    }  # fmt: skip


def test_invalid_rows_are_in_no_chart():
    frame = pd.DataFrame({"smiles": ["CCO", "CCN"], "error": ["", "too odd"], "logp": [1.0, 9.0]})
    (found,) = charts(html(content(frame))).values()
    assert "1 of the set, median 1.0" in found.title


@pytest.mark.parametrize("rank_by", ["qed", "mw", "score_<x>"])
def test_both_ends_of_the_ranking(rank_by):
    frame = SET.sample(frac=1, random_state=0).assign(**{"score_<x>": -SET["mw"]})
    page = Page(html(content(pd.concat([frame, frame]), rank_by=rank_by)))
    ranks = np.sort(frame[rank_by])
    drawn = page.of("code")
    assert len(set(drawn)) == 2 * MOST_DRAWN
    found = frame.set_index("smiles")[rank_by][drawn].tolist()
    assert found == [*ranks[::-1][:MOST_DRAWN], *ranks[:MOST_DRAWN]]


def test_a_molecule_is_at_one_end_only():
    page = Page(html(content(SET.head(MOST_DRAWN + 1))))
    assert sorted(page.of("code")) == sorted(SMILES[: MOST_DRAWN + 1])
    assert page.of("h2")[-2:] == ["Highest QED", "Lowest QED"]


def test_without_a_ranking_the_first_are_drawn():
    page = Page(html(content(SET[["smiles"]])))
    assert page.of("h2") == ["First molecules"]
    assert page.of("code") == SMILES[:MOST_DRAWN]


def test_figures_beneath_a_drawing():
    row = SET.head(1).assign(qed=0.6123, sa=np.nan, logp=-0.04, mw=321.6, similarity=None)
    text = html(content(row))
    beneath = re.search(r'<div class="card">.*?<p>(.*?)</p>', text, re.DOTALL).group(1)
    told = re.sub(r"<.*?>", "", beneath)
    assert told == f"QED 0.61 SA – logP 0.0 MW 322 TPSA {row['tpsa'][0]:.0f} to seed – to reference 0.30"


def test_one_molecule():
    page = Page(html(content(SET.head(1))))
    assert page.of("code") == SMILES[:1]
    assert "Lowest QED" not in page.of("h2")
    assert chart([0.5]).shares.count(0) == len(chart([0.5]).shares) - 1


@pytest.mark.parametrize("frame", [NOTHING, pd.DataFrame(), INVALID, pd.DataFrame({"smiles": ["", None]})])
def test_no_valid_molecule(frame):
    text = html(content(frame, reference=SET))
    assert Page(text).of("p", "empty") == ["There was no valid molecule."]
    assert "<svg" not in text


def test_with_molecules_it_does_not_say_there_were_none():
    assert Page(html(content(SET.head(1)))).of("p", "empty") == []


def test_invalid_rows_and_their_reasons():
    many = pd.concat([INVALID] * 10)
    page = Page(html(content(pd.concat([many, SET.head(1)]))))
    assert page.of("td", "smiles") == ["C1CC", "<b>"] * (MOST_INVALID // 2)
    assert page.of("td", "reason")[1] == 'no <b> & no "c"'
    assert page.of("p", "more") == [f"{20 - MOST_INVALID} more invalid rows not shown."]


def test_everything_is_escaped():
    """The hostile words come back as text, and the page has no element beyond those of a harmless one."""
    bad = "</title><script>alert(1)</script>'\""

    def page(word):
        frame = pd.DataFrame({"smiles": [word, "CCO"], "canonical": ["", "CCO"], "error": [word, ""], word: [1, 2]})
        seeds = pd.DataFrame({"seed": [word], word: [word]})
        figures = {word: {word: 1.0}}
        good = pd.DataFrame({"smiles": [word], "canonical": [word], word: [3.0]})  # no complaint, though no molecule
        both = pd.concat([frame, good])
        return Page(
            html(content(both, title=word, counts={word: 1}, figures=figures, notes=[word], seeds=seeds, rank_by=word))
        )

    hostile, harmless = page(bad), page("word")
    assert hostile.tags == harmless.tags
    assert [(tag, kind, text.replace(bad, "word")) for tag, kind, text in hostile.texts] == harmless.texts
    assert sum("word" in text for _, _, text in harmless.texts) == 15  # every place that takes a caller's words


def test_a_thousand_seeds_are_cut_short():
    seeds = pd.DataFrame({"seed": ["CCO"] * 1000, "distinct": range(1000)})
    page = Page(html(content(NOTHING, seeds=seeds)))
    assert page.of("td", "smiles") == ["CCO"] * MOST_SEEDS
    assert page.of("p", "more") == ["950 more seeds not shown."]
    assert Page(html(content(NOTHING, seeds=seeds.head(MOST_SEEDS)))).of("p", "more") == []
    assert Page(html(content(NOTHING, seeds=seeds.head(MOST_SEEDS + 1)))).of("p", "more") == ["1 more seed not shown."]


def test_a_seed_that_cannot_be_drawn():
    page = Page(html(content(NOTHING, seeds=pd.DataFrame({"seed": ["C1CC", None], "similarity": [0.5, None]}))))
    assert page.of("span", "none") == ["no drawing"] * 2
    assert page.of("td", "smiles") == ["C1CC", "–"]
    assert page.of("td") == ["0.500", "–"]


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"), (float("nan"), "–"), (pd.NA, "–"), (0, "0"), (30_000, "30,000"), (np.int64(7), "7"),
        (0.0, "0.000"), (1.0, "1.000"), (0.99984, "0.9998"), (0.0812, "0.081"), (0.00012, "0.00012"), (-1.5, "-1.50"),
        (12.0, "12"), (12.345, "12.35"), (123.45, "123.5"), (1234567.8, "1,234,568"), (np.float32(0.25), "0.250"),
        (True, "yes"), ("a<b", "a&lt;b"),
    ],
)  # fmt: skip
def test_numbers_for_people(value, text):
    assert _number(value) == text


def test_written_whole_or_not_at_all(tmp_path):
    path = tmp_path / "page.html"
    write_html(content(title="old"), path)
    with pytest.raises(AttributeError):
        write_html(content(title=None), path)
    assert path.read_text(encoding="utf-8") == html(content(title="old"))
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_what_is_no_unicode_is_written_too(tmp_path):
    write_html(content(title="a \udcff b"), tmp_path / "page.html")
    assert "<h1>a ? b</h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_a_molecule_that_lacks_a_figure_is_still_one():
    """Its error says which figure; the page once listed it among the invalid."""
    frame = pd.DataFrame({"smiles": ["CCO"], "canonical": ["CCO"], "error": ["no sa: why"], "qed": [0.4]})
    page = Page(html(content(frame)))
    assert "There was no valid molecule." not in page.of("p", "empty")
    assert page.of("td", "reason") == []
