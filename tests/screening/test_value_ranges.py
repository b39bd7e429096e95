"""When no molecule passes the filters, the message gives the values that occur."""

from __future__ import annotations

import warnings

import pytest

from molvae.chem.expressions import PropertyFilter
from molvae.chem.filters import value_ranges
from molvae.errors import MolvaeWarning
from molvae.screening.screen import screen


def test_value_ranges():
    filters = [PropertyFilter.from_text("mw>500"), PropertyFilter.from_text("hbd>5")]
    assert value_ranges(filters, ["CCO", "c1ccccc1", "C1CC"]) == "mw 46.07 to 78.11, hbd 0 to 1"
    assert value_ranges(filters, []) == value_ranges([], ["CCO"]) == ""


def test_screen_reports_the_values_seen(tmp_path):
    (tmp_path / "library.smi").write_text("CCO\nc1ccccc1\nCCCCCC\n")
    with pytest.warns(MolvaeWarning, match=r"no molecule passes all filters; values seen: mw 46\.07 to 86\.18"):
        result = screen(tmp_path / "library.smi", rank_by="qed", filters="mw>500", workers=0)
    assert result.counts.filtered == 3
    with pytest.warns(MolvaeWarning, match=r"values seen: tanimoto 0 to 1"):
        screen(tmp_path / "library.smi", seeds="CCO", filters=["mw<200", "tanimoto 0.8:0.9"], workers=0)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert len(screen(tmp_path / "library.smi", rank_by="qed", filters="mw>80", workers=0).table) == 1


def test_analogs_report_the_values_seen(tiny):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        frame = tiny.analogs("CCO", 5, filters="mw>2000", max_samples=200)
    assert frame.empty
    (line,) = frame.attrs["summary"]
    assert "rejected" in line
    assert "values among them: mw " in line
