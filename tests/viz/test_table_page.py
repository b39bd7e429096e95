"""HTML tables: rows, changes from the seed, escaping, and sorting in a browser where there is one."""

from __future__ import annotations

import base64
import hashlib
import html
import re
import shutil
import subprocess
from html.parser import HTMLParser

import numpy as np
import pandas as pd
import pytest
from rdkit.Chem import QED

from molvae.chem.smiles import parse
from molvae.viz.table_page import TablePage

ANALOGS = pd.DataFrame(
    {
        "seed": ["CCO"] * 3 + ["c1ccccc1"],
        "id": ["a1", "a2", "a3", "b1"],
        "name": ["ethanol"] * 3 + ["benzene"],
        "smiles": ["CCCO", "CCN", "CCCCO", "Cc1ccccc1"],
        "similarity": [0.5, 0.9, np.nan, 0.1],
        "qed": [0.45, 0.41, 0.5, 0.44],
    }
)
HOSTILE = '</td><script>alert(1)</script>\'"&]]>\x00\x1b\u202e<a href="javascript:alert(2)">'


def page_of(frame, title="a page"):
    page = TablePage(title)
    return "".join([page.start(), *page.rows(frame), page.end()])


class Tags(HTMLParser):
    """The names and attributes of all elements."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(name for name, _ in attrs)))


def test_a_row_per_molecule_and_per_seed():
    text = page_of(ANALOGS)
    assert text.count("<svg") == 6
    assert text.count('<tr class="seed">') == 2
    assert re.findall(r'class="rank" data-value="(\d+)"', text) == ["1", "2", "3", "1"]
    assert re.findall(r"<b><bdi>(.*?)</bdi></b>", text) == ["ethanol", "a1", "a2", "a3", "benzene", "b1"]
    assert text.count('<html lang="en">') == text.count("<title>a page</title>") == 1
    assert text.count('role="img" aria-label="structure of ') == 6


def test_changes_from_the_seed():
    change = 0.45 - round(QED.qed(parse("CCO")), 2)
    assert f"<bdi>0.45</bdi> <small>{change:+.2f}</small>" in page_of(ANALOGS)
    assert "<small>" not in page_of(ANALOGS.drop(columns="seed"))


def test_parts_equal_one_table():
    page = TablePage("a page")
    parts = [page.start()]
    for i in range(len(ANALOGS)):
        parts += page.rows(ANALOGS.iloc[i : i + 1])
    assert "".join([*parts, page.end()]) == page_of(ANALOGS)


def test_hostile_text_is_text():
    """The page has the same elements and attributes as with plain text, and no control characters."""

    def page(word):
        columns = {column: [word] for column in ("seed", "id", "name", "smiles", "error", word)}
        return page_of(pd.DataFrame(columns), title=word)

    text = page(HOSTILE)
    assert Tags(text).found == Tags(page("word")).found
    assert not re.search("[\x00-\x08\x0b-\x1f\ud800-\udfff\u202a-\u202e]", text)
    assert not any("href" in attributes for _, attributes in Tags(text).found)
    assert html.escape("<script>alert(1)</script>") in text


def test_only_the_script_of_the_page_may_run():
    text = page_of(ANALOGS)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in html.unescape(text)
    assert "default-src 'none'" in html.unescape(text)


def test_rows_that_cannot_be_drawn_say_why():
    text = html.unescape(page_of(pd.DataFrame({"smiles": ["C1CC", "C" * 1000, "CCO", ""]})))
    assert "ring 1 opened but not closed" in text
    assert "not drawn: 1,000 atoms" in text
    assert text.count("<svg") == 1


def test_empty_table():
    assert page_of(ANALOGS.iloc[:0]).rstrip().endswith("</html>")


@pytest.mark.skipif(shutil.which("chromium") is None, reason="needs a browser")
def test_rows_are_sorted_in_a_browser(tmp_path):
    """The second click on a column reverses the order; a missing value stays last, and so does each seed first."""
    text = page_of(ANALOGS)
    (script,) = re.findall(r"<script>(.*?)</script>", text, re.DOTALL)
    find = "const b = [...document.querySelectorAll('th button')].find(b => b.textContent === 'similarity');"
    for n_clicks, expected in ((1, ["a2", "a1", "a3", "b1"]), (2, ["a1", "a2", "a3", "b1"])):
        changed = script + "{" + find + "b.click();" * n_clicks + "}"
        path = tmp_path / f"{n_clicks}.html"
        page = re.sub(r'<meta http-equiv="Content-Security-Policy"[^>]*>', "", text).replace(script, changed)
        path.write_text(page, encoding="utf-8")
        command = ["chromium", "--headless", "--no-sandbox", "--disable-gpu", "--dump-dom", f"file://{path}"]
        shown = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True).stdout
        assert re.findall(r"<b><bdi>(a\d|b\d)</bdi></b>", shown) == expected
        assert 'aria-sort="' in shown
