"""The HTML report: its sections, escaping, and missing parts."""

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
from molvae.viz.report import (
    MAX_INVALID,
    MAX_SEEDS,
    MAX_STRUCTURES,
    PROPERTY_AXES,
    Report,
    _finite_values,
    render_report,
    save_report,
)

SVG = "{http://www.w3.org/2000/svg}"
SMILES = list(DRUGS.values())
SET = pd.DataFrame(
    {
        "smiles": SMILES,
        "error": "",
        "canonical": SMILES,
        **compute_properties([parse(s) for s in SMILES], list(PROPERTY_AXES)),
        "similarity": np.linspace(0, 1, len(SMILES)),
        "nearest_similarity": np.linspace(0.3, 0.7, len(SMILES)),
    }
)
INVALID = pd.DataFrame({"smiles": ["C1CC", "<b>"], "error": ["ring 1 is open", 'no <b> & no "c"']})
EMPTY = pd.DataFrame({"smiles": [], "error": []})


def report(molecules=SET, **parts):
    return Report(**{"title": "a set", "counts": {}, "metrics": {}, "notes": [], "molecules": molecules, **parts})


class Page(HTMLParser):
    """Keeps the text of each element by its tag and class; fails if a tag is not closed."""

    def __init__(self, molecules=SET, **parts):
        super().__init__()
        self.html = render_report(report(molecules, **parts))
        self.open_tags, self.texts, self.tags = [], [], []
        self.feed(self.html)
        self.close()
        assert self.open_tags == []

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag != "meta":
            self.open_tags.append((tag, dict(attrs).get("class", "")))

    def handle_endtag(self, tag):
        assert self.open_tags.pop()[0] == tag

    def handle_data(self, data):
        if self.open_tags and data.strip():
            self.texts.append((*self.open_tags[-1], data))

    def text_of(self, tag, kind=""):
        return [text for t, k, text in self.texts if (t, k) == (tag, kind)]

    @property
    def charts(self):
        """Description of each chart by its label."""
        charts = re.findall(r"<figure><svg[^>]*><title>(.*?)</title>", self.html)
        return {text.split(":")[0]: text for text in charts}


def test_all_sections():
    page = Page(
        pd.concat([SET, INVALID]),
        counts={"read": 30_000, "valid": 29_876},
        metrics={"MOSES": {"FCD/Test": 0.0812, "Scaf/TestSF": None}, "none": {}},
        notes=["One sentence."],
        reference=SET[list(PROPERTY_AXES)],
        seeds=pd.DataFrame({"seed": SMILES[:3], "distinct": [200, 150, np.nan]}),
    )
    assert page.text_of("h2") == [
        "Highest QED", "Lowest QED", "Seeds", "Properties", "Similarity", "Metrics", "Invalid rows",
    ]  # fmt: skip
    assert (page.text_of("dt"), page.text_of("dd")) == (["read", "valid"], ["30,000", "29,876"])
    assert page.text_of("caption") == ["MOSES"]
    assert page.text_of("td") == ["200", "150", "–", "0.081", "–"]
    assert page.text_of("th")[-4:] == ["FCD/Test distance", "Scaf/TestSF", "input", "reason"]
    assert "Fréchet ChemNet distance to the test set, 0 is equal" in page.text_of("small")
    assert "One sentence." in page.text_of("p")
    assert len(page.charts) == len(PROPERTY_AXES) + 2
    assert page.html.count('<div class="card">') == 2 * MAX_STRUCTURES


def test_page_loads_nothing_and_runs_no_script():
    html = Page(reference=SET).html
    addresses = set(re.findall(r"https?://[^'\"\s>]+", html))
    assert all("w3.org" in address or "rdkit.org" in address for address in addresses)  # XML namespaces only
    assert not re.search(r"<(script|link|img|iframe)|@import|url\(|src=", html)


def test_every_svg_is_well_formed():
    drawings = re.findall(r"<svg.*?</svg>", Page(reference=SET).html, re.DOTALL)
    assert len(drawings) == 9 + 2 * MAX_STRUCTURES
    assert {ElementTree.fromstring(drawing).tag for drawing in drawings} == {f"{SVG}svg"}


def test_seed_columns_are_formatted_by_column():
    seeds = pd.DataFrame({"seed": ["C", "CC"], "flag": [True, False], "share": [1.0, 0.5], "count": [1.0, np.nan]})
    assert Page(EMPTY, seeds=seeds).text_of("td") == ["yes", "1.000", "1", "no", "0.500", "–"]


def test_text_in_a_numeric_column_is_shown_as_it_is():
    page = Page(SET.head(2).assign(qed=["<i>", "0.5"], rings=["many", 2]))
    assert page.text_of("code") == [SMILES[1]]  # the one that can be ranked
    assert "QED <b>0.5</b>" in page.html
    assert "&lt;i&gt;" in Page(SET.head(2).assign(sa=["<i>", 1.0])).html


def test_missing_and_infinite_values_are_omitted_from_charts():
    frame = pd.DataFrame({"smiles": ["CCO"] * 3, "logp": [np.nan, 1.0, np.inf]})
    assert "1 of the set" in Page(frame).charts["logP"]
    without = Page(SET.assign(**dict.fromkeys(PROPERTY_AXES, np.nan)))
    assert without.charts.keys() == {"Similarity to the seed", "Similarity to the nearest reference"}


def test_values_are_rounded_to_the_right_side_of_a_bin_edge():
    assert _finite_values(pd.DataFrame({"x": [0.7 - 0.4, np.nan]}), "x").tolist() == [0.3]


def test_invalid_rows_are_omitted_from_charts():
    frame = pd.DataFrame({"smiles": ["CCO", "CCN"], "error": ["", "rejected"], "logp": [1.0, 9.0]})
    assert "1 of the set, median 1.0" in Page(frame).charts["logP"]


@pytest.mark.parametrize("rank_by", ["qed", "mw", "score_<x>"])
def test_galleries_show_top_and_bottom_of_the_ranking(rank_by):
    frame = SET.sample(frac=1, random_state=0).assign(**{"score_<x>": -SET["mw"]})
    drawn = Page(pd.concat([frame, frame]), rank_by=rank_by).text_of("code")
    assert len(set(drawn)) == 2 * MAX_STRUCTURES
    ranks = np.sort(frame[rank_by])
    values = frame.set_index("smiles")[rank_by][drawn].tolist()
    assert values == [*ranks[::-1][:MAX_STRUCTURES], *ranks[:MAX_STRUCTURES]]


def test_no_molecule_is_drawn_twice():
    page = Page(SET.head(MAX_STRUCTURES + 1))
    assert sorted(page.text_of("code")) == sorted(SMILES[: MAX_STRUCTURES + 1])
    assert page.text_of("h2")[:2] == ["Highest QED", "Lowest QED"]


def test_first_molecules_are_drawn_without_a_ranking():
    page = Page(SET[["smiles"]])
    assert page.text_of("h2") == ["First molecules"]
    assert page.text_of("code") == SMILES[:MAX_STRUCTURES]


def test_captions():
    row = SET.head(1).assign(qed=0.6123, sa=np.nan, logp=-0.04, mw=321.6, similarity=None)
    caption = re.search(r'<div class="card">.*?<p>(.*?)</p>', Page(row).html, re.DOTALL).group(1)
    text = re.sub(r"<.*?>", "", caption).strip()
    assert text == f"QED 0.61 SA – logP 0.0 MW 322 TPSA {row['tpsa'][0]:.0f} to seed – to reference 0.30"


def test_one_molecule():
    page = Page(SET.head(1))
    assert page.text_of("code") == SMILES[:1]
    assert "Lowest QED" not in page.text_of("h2")
    assert page.text_of("p", "empty") == []


@pytest.mark.parametrize("frame", [EMPTY, pd.DataFrame(), INVALID, pd.DataFrame({"smiles": ["", None]})])
def test_no_valid_molecule(frame):
    page = Page(frame, reference=SET)
    assert page.text_of("p", "empty") == ["There was no valid molecule."]
    assert "<svg" not in page.html


def test_invalid_rows_are_listed_with_their_reasons():
    page = Page(pd.concat([*[INVALID] * 10, SET.head(1)]))
    assert page.text_of("td", "smiles") == ["C1CC", "<b>"] * (MAX_INVALID // 2)
    assert page.text_of("td", "reason")[1] == 'no <b> & no "c"'
    assert page.text_of("p", "more") == [f"{20 - MAX_INVALID} more invalid rows not shown."]


def test_everything_is_escaped():
    """Markup in input text is shown as text: the page has the same tags as with plain text."""
    hostile = "</title><script>alert(1)</script>'\""

    def page(word):
        frame = pd.DataFrame({"smiles": [word, "CCO"], "canonical": ["", "CCO"], "error": [word, ""], word: [1, 2]})
        unparsable = pd.DataFrame({"smiles": [word], "canonical": [word], word: [3.0]})
        return Page(
            pd.concat([frame, unparsable]),
            title=word,
            counts={word: 1},
            metrics={word: {word: 1.0}},
            notes=[word],
            seeds=pd.DataFrame({"seed": [word], word: [word]}),
            images={word: word},
            rank_by=word,
        )

    escaped, plain = page(hostile), page("word")
    assert escaped.tags == plain.tags

    def without_reasons(shown):  # why a SMILES cannot be drawn depends on it
        return [(tag, kind, text.replace(hostile, "word")) for tag, kind, text in shown.texts if kind != "none"]

    assert without_reasons(escaped) == without_reasons(plain)
    assert sum("word" in text for _, _, text in plain.texts) >= 17  # every place that shows a caller's text


def test_long_seed_tables_are_cut():
    seeds = pd.DataFrame({"seed": ["CCO"] * 1000, "distinct": range(1000)})
    page = Page(EMPTY, seeds=seeds)
    assert page.text_of("td", "smiles") == ["CCO"] * MAX_SEEDS
    assert page.text_of("p", "more") == ["950 more seeds not shown."]
    assert Page(EMPTY, seeds=seeds.head(MAX_SEEDS)).text_of("p", "more") == []
    assert Page(EMPTY, seeds=seeds.head(MAX_SEEDS + 1)).text_of("p", "more") == ["1 more seed not shown."]


def test_seed_that_cannot_be_drawn():
    page = Page(EMPTY, seeds=pd.DataFrame({"seed": ["C1CC", None], "similarity": [0.5, None]}))
    assert page.text_of("div", "none") == ["cannot read SMILES 'C1CC': ring 1 opened but not closed", "no structure"]
    assert page.text_of("td", "smiles") == ["C1CC", "–"]
    assert page.text_of("td") == ["0.500", "–"]


def test_failure_keeps_the_older_file(tmp_path):
    path = tmp_path / "page.html"
    save_report(report(title="old"), path)
    with pytest.raises(AttributeError):
        save_report(report(metrics=None), path)
    assert path.read_text(encoding="utf-8") == render_report(report(title="old"))
    assert [file.name for file in tmp_path.iterdir()] == ["page.html"]


def test_invalid_unicode_is_replaced(tmp_path):
    save_report(report(title="a \udcff b"), tmp_path / "page.html")
    assert "<h1><bdi>a \ufffd b</bdi></h1>" in (tmp_path / "page.html").read_text(encoding="utf-8")


def test_molecule_with_an_error_about_a_property_is_valid():
    frame = pd.DataFrame({"smiles": ["CCO"], "canonical": ["CCO"], "error": ["no sa: why"], "qed": [0.4]})
    page = Page(frame)
    assert page.text_of("p", "empty") == []
    assert page.text_of("td", "reason") == []
