"""Property filters and rank expressions equal Python's comparisons and arithmetic."""

from __future__ import annotations

import operator
import re
from math import inf, nan

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from molvae.chem.expressions import PropertyFilter, RankExpression
from molvae.chem.properties import PROPERTIES
from molvae.errors import InputError

SIGNS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge, "=": operator.eq}
NUMBERS = st.one_of(st.integers(-5, 5).map(float), st.floats(-1e6, 1e6))
SPACE = st.sampled_from(["", " ", "  "])


# --- property filters ---


@pytest.mark.parametrize(
    ("text", "low", "high", "exclusive"),
    [
        ("mw<500", -inf, 500, True),
        ("mw <= 500", -inf, 500, False),
        ("  logp>-1.5 ", -1.5, inf, True),
        ("qed>=0.5", 0.5, inf, False),
        ("qed>=.5", 0.5, inf, False),
        ("mw<5e2", -inf, 500, True),
        ("charge=0", 0, 0, False),
        ("charge=-1", -1, -1, False),
        ("charge = +1", 1, 1, False),
        ("logp 1:4", 1, 4, False),
        ("logp  -2 : -1.", -2, -1, False),
        ("logp=1:4", 1, 4, False),
        ("logp = 1 : 4", 1, 4, False),
        ("logp 0:3", 0, 3, False),
        ("logp -3:0", -3, 0, False),
        ("charge 0:0", 0, 0, False),
        ("sa :3", -inf, 3, False),
        ("sa : 2", -inf, 2, False),
        ("qed 0.5:", 0.5, inf, False),
        ("qed 0:", 0, inf, False),
        ("heavy_atoms 20:30", 20, 30, False),
    ],
)
def test_filter_from_text(text, low, high, exclusive):
    assert PropertyFilter.from_text(text) == PropertyFilter(
        text.split("<")[0].split(">")[0].split("=")[0].split()[0], low, high, exclusive
    )


@pytest.mark.parametrize("text", ["mw<500", "mw<=500", "logp>-1.5", "qed>=0.5", "charge=-1", "logp 1:4", "logp -3:0"])
def test_filter_as_text(text):
    assert str(PropertyFilter.from_text(text)) == text


@settings(deadline=None)
@given(st.sampled_from(sorted(SIGNS)), NUMBERS, NUMBERS, SPACE)
def test_bounds_equal_python_comparisons(sign, bound, value, space):
    parsed = PropertyFilter.from_text(f"docking{space}{sign}{space}{bound!r}", ["docking"])
    for number in (value, bound, np.nextafter(bound, inf), np.nextafter(bound, -inf)):
        assert parsed.accepts(number) == SIGNS[sign](number, bound)


@settings(deadline=None)
@given(NUMBERS, NUMBERS, NUMBERS, st.booleans(), st.booleans(), SPACE)
def test_ranges_include_their_ends(one, other, value, below, above, space):
    low, high = min(one, other), max(one, other)
    if not (below or above):
        below = above = True
    text = f"logp {space}{low!r}{space}" if below else "logp "
    parsed = PropertyFilter.from_text(f"{text}:{space}{high!r}" if above else f"{text}:")
    for number in (value, low, high, np.nextafter(low, -inf), np.nextafter(high, inf)):
        assert parsed.accepts(number) == ((not below or number >= low) and (not above or number <= high))


@pytest.mark.parametrize("text", ["qed<5", "qed<=5", "qed>-5", "qed>=0", "qed :5", "qed -5:", "qed -5:5", "qed=0"])
def test_nan_is_not_accepted(text):
    assert PropertyFilter.from_text(text).accepts(0.0)
    assert not PropertyFilter.from_text(text).accepts(nan)
    assert not PropertyFilter("qed").accepts(nan)


@pytest.mark.parametrize(
    ("text", "near"),
    [("qd>0.5", "qed"), ("logq 1:4", "logp"), ("rotatable_bond<5", "rotatable_bonds")],
)
def test_unknown_property_gives_a_hint(text, near):
    with pytest.raises(InputError, match=f"did you mean '{near}'"):
        PropertyFilter.from_text(text)


@pytest.mark.parametrize(
    "text",
    ["", " ", "mw", "mw<", "<500", "mw<<500", "mw<500<600", "mw 500", "mw 1:2:3", "mw<a", "logp :",
     "logp  : ", "logp=:", "logp:3", "logp 1;4", "mw<1.2.3", "mw<--1", "mw<nan", "mw<inf", "mw<e5", "mw<.", "a-b<3"],
)  # fmt: skip
def test_invalid_filter_is_quoted(text):
    with pytest.raises(InputError, match="write it like mw<500") as caught:
        PropertyFilter.from_text(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["logp 4:1", "logp 0:-0.5"])
def test_empty_range_is_rejected(text):
    with pytest.raises(InputError, match="is empty"):
        PropertyFilter.from_text(text)


@pytest.mark.parametrize(
    ("text", "low", "high", "exclusive"),
    [
        ("300<mw<400", 300, 400, True),
        ("400 > mw > 300", 300, 400, True),
        ("300<=mw<=400", 300, 400, False),
        ("300 <= mw", 300, inf, False),
        ("500>mw", -inf, 500, True),
        ("mw≤500", -inf, 500, False),
        ("0==charge", 0, 0, False),
    ],
)
def test_bounds_on_both_sides_of_the_name(text, low, high, exclusive):
    name = "charge" if "charge" in text else "mw"
    assert PropertyFilter.from_text(text) == PropertyFilter(name, low, high, exclusive)


def test_one_end_can_be_excluded():
    parsed = PropertyFilter.from_text("300<mw<=400")
    assert [parsed.accepts(value) for value in (300, 300.001, 400, 400.001)] == [False, True, True, False]
    parsed = PropertyFilter.from_text("400>mw>=300")
    assert [parsed.accepts(value) for value in (299.999, 300, 399.999, 400)] == [False, True, True, False]


@pytest.mark.parametrize(
    ("text", "name"),
    [("MW<500", "mw"), ("MolWt<500", "mw"), ("psa<90", "tpsa"), ("cLogP<3", "logp"), ("HBA<5", "hba"),
     ("RotB<5", "rotatable_bonds"), ("num_rotatable_bonds<5", "rotatable_bonds"), ("Heavy Atoms<30", "heavy_atoms"),
     ("SA_score<3", "sa"), ("Fsp3>0.3", "fsp3"), ("QED>0.5", "qed")],
)  # fmt: skip
def test_properties_in_any_case_and_by_aliases(text, name):
    assert PropertyFilter.from_text(text).name == name
    assert RankExpression.from_text(text.partition("<")[0].partition(">")[0]).names == (name,)


def test_own_names_come_before_aliases_and_may_have_spaces():
    known = ["logS measured", "psa", "IC50 (nM)"]
    assert PropertyFilter.from_text("psa<3", known).name == "psa"
    for text in ("logS measured<-2", "logs measured < -2", "logS_measured<-2"):
        assert PropertyFilter.from_text(text, known) == PropertyFilter("logS measured", -inf, -2, True)
    assert PropertyFilter.from_text("10<IC50 (nM)<100", known) == PropertyFilter("IC50 (nM)", 10, 100, True)
    rank = RankExpression.from_text("logS measured - 0.1*IC50 (nM) + QED", known)
    assert rank.terms == (("logS measured", 1), ("IC50 (nM)", -0.1), ("qed", 1))
    assert str(PropertyFilter.from_text(str(PropertyFilter("logS measured", -3, -1)), known)) == "logS measured -3:-1"
    with pytest.raises(InputError, match="known: logS measured, psa, "):
        PropertyFilter.from_text("logD<3", known)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("mw=300", "give a range, such as 'mw 285:315'"),
        ("logp=0", "give a range, such as 'logp -0.1:0.1'"),
        ("hbd=2.5", "hbd is a whole number"),
        ("qed>1.5", "qed is from 0 to 1"),
        ("mw<-1", "mw is from 0 up"),
        ("mw>1e999", "too large"),
        ("300<mw<300", "is empty"),
        ("300<mw>400", "different directions"),
        ("mw<500, logp<3", "each filter its own --filter"),
        ("mw 300-400", "a range has a colon"),
    ],
)
def test_filters_that_no_molecule_passes(text, reason):
    with pytest.raises(InputError, match=re.escape(reason)):
        PropertyFilter.from_text(text)


@pytest.mark.parametrize("text", ["charge=0", "hbd=2", "tpsa=0", "fsp3=1", "fsp3=0"])
def test_equality_that_occurs(text):
    assert str(PropertyFilter.from_text(text)) == text


@pytest.mark.parametrize("text", ["MPO", "CNS", "pIC50", "docking"])
def test_no_hint_for_names_of_another_kind(text):
    with pytest.raises(InputError, match=f"unknown property '{text}'; known: "):
        RankExpression.from_text(text)


def test_python_file_without_a_function_in_a_rank():
    with pytest.raises(InputError, match=r"mine\.py is a file: name the function in it, mine\.py:FUNCTION"):
        RankExpression.from_text("mine.py")


@pytest.mark.parametrize("value", [3, None, ["mw<3"], b"mw"])
def test_expressions_are_text(value):
    with pytest.raises(InputError, match=r"is text such as"):
        PropertyFilter.from_text(value)
    with pytest.raises(InputError, match=r"is text such as"):
        RankExpression.from_text(value)


# --- rank expressions ---


@pytest.mark.parametrize(
    ("text", "terms"),
    [
        ("qed", [("qed", 1)]),
        ("-sa", [("sa", -1)]),
        (" + qed ", [("qed", 1)]),
        ("2*qed", [("qed", 2)]),
        (".5 * qed", [("qed", 0.5)]),
        ("qed - 1e-3*mw", [("qed", 1), ("mw", -0.001)]),
        ("0*sa", [("sa", 0)]),
        ("similarity - 0.2*sa + qed", [("similarity", 1), ("sa", -0.2), ("qed", 1)]),
        ("-2.*logp-tpsa+3*logp", [("logp", -2), ("tpsa", -1), ("logp", 3)]),
    ],
)
def test_rank_from_text(text, terms):
    rank = RankExpression.from_text(text, ["similarity"])
    assert list(rank.terms) == terms
    assert rank.names == tuple(dict.fromkeys(name for name, _ in terms))


NAMES = ["similarity", *PROPERTIES]
WEIGHTS = st.one_of(st.none(), st.floats(0, 100))
TERMS = st.lists(st.tuples(st.sampled_from("+-"), WEIGHTS, st.sampled_from(NAMES)), min_size=1, max_size=6)


@settings(deadline=None)
@given(TERMS, SPACE, st.booleans())
def test_rank_equals_python_arithmetic(terms, space, first_sign):
    """The same text, evaluated by Python for each row."""
    text = space.join(f"{sign}{space}{'' if w is None else f'{w!r}{space}*{space}'}{name}" for sign, w, name in terms)
    text = text if first_sign or terms[0][0] == "-" else text[1:]
    random = np.random.default_rng(len(text))
    columns = {name: random.normal(size=4) for name in NAMES}
    values = RankExpression.from_text(text, ["similarity"]).evaluate(columns)
    for row in range(4):
        row_values = {name: column[row] for name, column in columns.items()}
        assert values[row] == pytest.approx(eval(text.strip(), {}, row_values), abs=1e-9)


def test_nan_in_a_column_gives_nan():
    values = RankExpression.from_text("qed - sa").evaluate({"qed": np.array([1.0, nan]), "sa": np.array([3.0, 1.0])})
    assert values[0] == -2
    assert np.isnan(values[1])
    assert RankExpression.from_text("qed").evaluate({"qed": np.zeros(0)}).shape == (0,)


@pytest.mark.parametrize(
    ("text", "near"),
    [("qd", "qed"), ("qed - 2*lgp", "logp"), ("similarty", "similarity")],
)
def test_unknown_name_in_a_rank_gives_a_hint(text, near):
    with pytest.raises(InputError, match=f"did you mean '{near}'"):
        RankExpression.from_text(text, ["similarity"])


def test_similarity_is_only_valid_if_known():
    with pytest.raises(InputError, match="unknown property 'similarity'"):
        RankExpression.from_text("similarity")


@pytest.mark.parametrize(
    "text", ["qed sa", "2*qed*2", "2", "-", "qed +", "qed - -sa", "2 qed", "qed/sa", "qed, sa", "1..2*qed", "1e*qed"]
)
def test_invalid_rank_is_quoted(text):
    with pytest.raises(InputError, match="cannot read the ranking") as caught:
        RankExpression.from_text(text)
    assert repr(text) in str(caught.value)


@pytest.mark.parametrize("text", ["", " "])
def test_empty_rank_is_rejected(text):
    with pytest.raises(InputError, match="the ranking is empty"):
        RankExpression.from_text(text)
