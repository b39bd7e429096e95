"""Screening by blocks and tables, as on Ray, without a cluster; benchmarks/ray_cluster.py uses a real one."""

from __future__ import annotations

import sys

import pytest
from molecules import DRUGS

from molvae.chem.expressions import RankExpression
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.smiles import parse
from molvae.data.readers import read_records
from molvae.errors import MissingExtraError
from molvae.screening import ray_backend
from molvae.screening.pipeline import ScreenCounts, screen_rows
from molvae.screening.query import ScreenQuery
from molvae.screening.scoring_functions import TanimotoScore
from molvae.screening.shortlist import Shortlist


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "lib.csv"
    rows = [f"{text},{name.replace(',', ' ')}" for name, text in DRUGS.items()] * 12
    rows[7:7] = ["C1CC,invalid", ",nothing"]
    path.write_text("smiles,name\n" + "\n".join(rows) + "\n")
    return path


def test_actors_find_the_same_hits(library, monkeypatch):
    monkeypatch.setattr(ray_backend, "BLOCK", ray_backend.BATCH_SIZE)  # several blocks
    query = ScreenQuery(
        RankExpression.from_text("tanimoto", ["tanimoto"]),
        7,
        molecule_scores={"tanimoto": TanimotoScore(morgan_bits([parse("CCOc1ccccc1")]))},
    )
    counts, invalid_rows, shortlist = ScreenCounts(), [], Shortlist(7)
    actors = [ray_backend._ScreenActor(query, None), ray_backend._ScreenActor(query, None)]
    tables = [actors[i % 2](block) for i, block in enumerate(ray_backend._read_blocks(library, None, None))]
    assert len(tables) > 1
    for table in reversed(tables):  # in any order
        for result in ray_backend._results_from_table(table):
            shortlist.add(result.hits)
            counts.add(result.counts)
            invalid_rows += result.invalid_rows
    expected_counts = ScreenCounts()
    expected = screen_rows(
        [read_records(library)], query, workers=0, on_part=lambda result: expected_counts.add(result.counts)
    )
    assert shortlist.hits() == expected
    assert counts == expected_counts
    assert counts.read == 12 * len(DRUGS) + 2
    assert sorted(row.row for row in invalid_rows) == [9, 10]


def test_missing_ray_names_the_extra(library, monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    query = ScreenQuery(RankExpression.from_text("qed"), 1)
    with pytest.raises(MissingExtraError, match=r"molvae\[ray\]"):
        ray_backend.screen_on_ray([library], query, address="auto")
