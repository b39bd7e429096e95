"""Options by name, and the order that rows come back in."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS

from molvae.chem.expressions import Rank, Window
from molvae.errors import InputError
from molvae.generation.constraints import Steering, diverse
from molvae.generation.options import ANALOG_COLUMNS, AnalogOptions, Order, read_order


def _frame(**columns):
    return pd.DataFrame({name: np.asarray(column) for name, column in columns.items()})


def test_every_option_is_known():
    assert read_order({name: None for name in AnalogOptions.__annotations__ if name != "diverse"}) == Order()
    assert read_order({}) == Order(None, 0)
    assert read_order({"rank": "-sa", "diverse": 3}) == Order(Rank((("sa", -1.0),)), 3)


@pytest.mark.parametrize(
    ("name", "near"),
    [
        ("similar", "similarity"),
        ("ranking", "rank"),
        ("scaffold", "keep_scaffold"),
        ("temprature", "temperature"),
        ("standardise", "standardize"),
    ],
)
def test_an_unknown_option_is_told_the_nearest(name, near):
    with pytest.raises(InputError, match=rf"no option '{name}' \(did you mean '{near}'"):
        read_order({name: 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"diverse": -1}, "diverse is 0"),
        ({"rank": ""}, "the rank is empty"),
        ({"rank": "qed sa"}, "cannot read the rank"),
        ({"rank": "nvel"}, "unknown"),
        ({"scores": {"novel": len}}, "a score cannot be called 'novel'"),
        ({"scores": {"mine": len, "rank": len}}, "a score cannot be called 'rank'"),
    ],
)
def test_orders_that_are_none(options, message):
    with pytest.raises(InputError, match=message):
        read_order(options)


def test_diverse_ones_keep_the_median_that_was_asked_for():
    """MaxMin alone goes for the unlike ones, which are those far below it."""
    smiles = ["CCO", "CCCO", "CC(C)O", "CCN", "c1ccccc1O", "Cc1ccccc1", "ClCCl", "C#CC", "CC(=O)O", "O=c1cc[nH]cc1"]
    similarity = np.array([0.9, 0.8, 0.7, 0.62, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    order = read_order({"diverse": 4, "similarity": 0.55})
    rows = order.applied(_frame(smiles=smiles, similarity=similarity))
    assert len(rows) == 4
    assert (rows["similarity"] > 0.55).sum() == 2
    assert rows["similarity"].is_monotonic_decreasing
    odd = read_order({"diverse": 3, "similarity": 0.55}).applied(_frame(smiles=smiles, similarity=similarity))
    assert len(odd) == 3
    assert read_order({"diverse": 4, "similarity": "0.4:0.9"}).median is None


def test_columns_are_the_usual_ones_then_what_is_named_each_once():
    assert Order().columns(Steering()) == ANALOG_COLUMNS
    steering = Steering(windows=(Window.of("tpsa<90"), Window.of("mw<500"), Window.of("tpsa>10")))
    order = Order.of("rings + tpsa + qed - log_likelihood", 0)
    assert order.columns(steering) == (*ANALOG_COLUMNS, "tpsa", "rings", "rank")


def test_properties_are_the_callers_to_choose():
    fixed = ("seed", "smiles", "similarity", "log_likelihood")
    assert read_order({"properties": ()}).columns(Steering()) == (*fixed, "novel")
    assert read_order({"properties": ["tpsa", "qed", "tpsa"], "rank": "qed - sa"}).columns(Steering()) == (
        *fixed, "tpsa", "qed", "novel", "sa", "rank",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"unknown property 'tpza' \(did you mean 'tpsa'"):
        read_order({"properties": ["tpza"]})


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30))
def test_rows_are_sorted_and_equals_stay_in_the_order_of_finding(rows):
    frame = _frame(
        smiles=[str(i) for i, _ in enumerate(rows)],
        similarity=np.array([s for s, _ in rows], float),
        sa=np.array([a for _, a in rows], float),
    )
    by_similarity = sorted(range(len(rows)), key=lambda i: (-rows[i][0], i))
    assert Order().applied(frame)["smiles"].tolist() == [str(i) for i in by_similarity]
    ranked = Order.of("similarity - 2*sa", 0).applied(frame)
    by_rank = sorted(range(len(rows)), key=lambda i: (-(rows[i][0] - 2 * rows[i][1]), i))
    assert ranked["smiles"].tolist() == [str(i) for i in by_rank]
    assert ranked["rank"].tolist() == [rows[i][0] - 2 * rows[i][1] for i in by_rank]
    assert ranked.index.tolist() == list(range(len(rows)))
    assert "rank" not in frame


def test_a_rank_that_is_unknown_comes_last():
    frame = _frame(smiles=["a", "b", "c"], similarity=[0.1, 0.2, 0.3], qed=[np.nan, 0.1, 0.9])
    assert Order.of("qed", 0).applied(frame)["smiles"].tolist() == ["c", "b", "a"]


def test_the_diverse_are_picked_among_the_best_and_stay_in_order():
    molecules = list(DRUGS.values())[:20]
    rank = np.random.default_rng(0).permutation(20).astype(float)
    frame = _frame(smiles=np.array(molecules, dtype=object), similarity=np.zeros(20), qed=rank)
    picked = Order.of("qed", 4).applied(frame)
    best = [molecules[i] for i in np.argsort(-rank)]
    assert picked["smiles"].tolist() == [best[i] for i in diverse(best, 4)]
    assert picked["smiles"][0] == best[0]
    assert picked["rank"].is_monotonic_decreasing
    assert set(picked["smiles"]) <= set(best[:12])
    assert len(Order.of(None, 50).applied(frame)) == 20
