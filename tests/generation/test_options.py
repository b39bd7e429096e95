"""Options of analogs: columns, order of rows and diverse selection."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from molecules import DRUGS

from molvae.chem.expressions import RankExpression
from molvae.errors import InputError
from molvae.generation.constraints import select_diverse
from molvae.generation.options import ANALOG_COLUMNS, AnalogOptions, AnalogTask, Ordering


def _frame(**columns):
    return pd.DataFrame({name: np.asarray(column) for name, column in columns.items()})


def _ordering(**options):
    return Ordering.from_options(AnalogOptions(**options))


def _columns(**options):
    return AnalogTask.from_options(AnalogOptions(**options), temperature=1.0).columns


def test_default_ordering():
    assert _ordering() == Ordering(rank=None, n_diverse=0)
    assert _ordering(rank_by="-sa", n_diverse=3) == Ordering(RankExpression((("sa", -1.0),)), 3)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"n_diverse": -1}, "n_diverse must be 0"),
        ({"rank_by": ""}, "empty"),
        ({"rank_by": "qed sa"}, "cannot read"),
        ({"rank_by": "nvel"}, "unknown"),
        ({"scores": {"not_in_training": len}}, "a score cannot be named 'not_in_training'"),
        ({"scores": {"mine": len, "rank": len}}, "a score cannot be named 'rank'"),
    ],
)
def test_invalid_ordering(options, message):
    with pytest.raises(InputError, match=message):
        _ordering(**options)


def test_diverse_selection_keeps_the_target_median():
    """MaxMin alone would prefer molecules with a low similarity to the seed."""
    smiles = ["CCO", "CCCO", "CC(C)O", "CCN", "c1ccccc1O", "Cc1ccccc1", "ClCCl", "C#CC", "CC(=O)O", "O=c1cc[nH]cc1"]
    similarity = np.array([0.9, 0.8, 0.7, 0.62, 0.6, 0.5, 0.4, 0.3, 0.2, 0.1])
    order = _ordering(n_diverse=4, similarity=0.55)
    rows = order.select(order.sort(_frame(smiles=smiles, similarity=similarity)))
    assert len(rows) == 4
    assert (rows["similarity"] > 0.55).sum() == 2
    assert rows["similarity"].is_monotonic_decreasing
    odd = _ordering(n_diverse=3, similarity=0.55).select(_frame(smiles=smiles, similarity=similarity))
    assert len(odd) == 3
    assert _ordering(n_diverse=4, similarity="0.4:0.9").target_similarity is None


def test_columns_named_by_filters_and_ranking_follow_the_default_columns():
    assert _columns() == ANALOG_COLUMNS
    filters = ["tpsa<90", "mw<500", "tpsa>10"]
    columns = _columns(filters=filters, rank_by="rings + tpsa + qed - log_likelihood")
    assert columns == (*ANALOG_COLUMNS, "tpsa", "rings", "rank")


def test_property_columns():
    leading = ("seed", "id", "smiles", "similarity", "log_likelihood")
    assert _columns(properties=()) == (*leading, "not_in_training")
    assert _columns(properties=["tpsa", "qed", "tpsa"], rank_by="qed - sa") == (
        *leading, "tpsa", "qed", "not_in_training", "sa", "rank",
    )  # fmt: skip
    with pytest.raises(InputError, match=r"unknown property .tpza. .did you mean 'tpsa'"):
        _columns(properties=["tpza"])


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 5)), max_size=30))
def test_sorting_is_stable(rows):
    frame = _frame(
        smiles=[str(i) for i, _ in enumerate(rows)],
        similarity=np.array([s for s, _ in rows], float),
        sa=np.array([a for _, a in rows], float),
    )
    by_similarity = sorted(range(len(rows)), key=lambda i: (-rows[i][0], i))
    assert Ordering().sort(frame)["smiles"].tolist() == [str(i) for i in by_similarity]
    ranked = _ordering(rank_by="similarity - 2*sa").sort(frame)
    by_rank = sorted(range(len(rows)), key=lambda i: (-(rows[i][0] - 2 * rows[i][1]), i))
    assert ranked["smiles"].tolist() == [str(i) for i in by_rank]
    assert ranked["rank"].tolist() == [rows[i][0] - 2 * rows[i][1] for i in by_rank]
    assert ranked.index.tolist() == list(range(len(rows)))
    assert "rank" not in frame


def test_missing_rank_comes_last():
    frame = _frame(smiles=["a", "b", "c"], similarity=[0.1, 0.2, 0.3], qed=[np.nan, 0.1, 0.9])
    assert _ordering(rank_by="qed").sort(frame)["smiles"].tolist() == ["c", "b", "a"]


def test_diverse_selection_from_the_best_keeps_the_order():
    molecules = list(DRUGS.values())[:20]
    rank = np.random.default_rng(0).permutation(20).astype(float)
    frame = _frame(smiles=np.array(molecules, dtype=object), similarity=np.zeros(20), qed=rank)
    order = _ordering(rank_by="qed", n_diverse=4)
    selected = order.select(order.sort(frame))
    best = [molecules[i] for i in np.argsort(-rank)]
    assert selected["smiles"].tolist() == [best[i] for i in select_diverse(best, 4)]
    assert selected["smiles"][0] == best[0]
    assert selected["rank"].is_monotonic_decreasing
    assert set(selected["smiles"]) <= set(best[:12])
    assert len(_ordering(n_diverse=50).select(frame)) == 20
    assert order.sort(frame, 5)["smiles"].tolist() == best[:5]
