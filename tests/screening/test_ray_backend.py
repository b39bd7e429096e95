"""What travels between Ray's tasks is what travels between processes; the cluster itself is in benchmarks/."""

from __future__ import annotations

import pytest
from molecules import DRUGS

from molvae.chem.expressions import Rank
from molvae.chem.fingerprints import morgan_bits
from molvae.chem.smiles import parse
from molvae.data.readers import read_records
from molvae.errors import MissingExtraError
from molvae.screening import ray_backend as cluster
from molvae.screening.pipeline import ScreenCounts, screen
from molvae.screening.query import Question
from molvae.screening.scoring_functions import Tanimoto
from molvae.screening.shortlist import Shortlist


@pytest.fixture
def library(tmp_path):
    path = tmp_path / "lib.csv"
    rows = [f"{text},{name.replace(',', ' ')}" for name, text in DRUGS.items()] * 12
    rows[7:7] = ["C1CC,bad", ",nothing"]
    path.write_text("smiles,name\n" + "\n".join(rows) + "\n")
    return path


def test_blocks_through_actors_are_the_screen(library, monkeypatch):
    monkeypatch.setattr(cluster, "BLOCK", cluster.BATCH)  # several blocks
    question = Question(
        Rank.of("tanimoto", ["tanimoto"]), 7, of_molecules={"tanimoto": Tanimoto(morgan_bits([parse("CCOc1ccccc1")]))}
    )
    counts, invalid_rows, shortlist = ScreenCounts(), [], Shortlist(7)
    actors = [cluster._Screener(question, None), cluster._Screener(question, None)]
    tables = [actors[i % 2](block) for i, block in enumerate(cluster._blocks(library, None))]
    assert len(tables) > 1
    for table in reversed(tables):  # in any order
        for part in cluster._parts(table):
            shortlist.add(part.hits)
            counts.add(part.counts)
            invalid_rows += part.invalid_rows
    alone = ScreenCounts()
    expected = screen([read_records(library)], question, workers=0, taken=lambda part: alone.add(part.counts))
    assert shortlist.hits() == expected
    assert counts == alone
    assert counts.read == 12 * len(DRUGS) + 2
    assert sorted(invalid_row.row for invalid_row in invalid_rows) == [9, 10]


def test_without_ray_it_says_which_extra(library, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, "ray", None)
    question = Question(Rank.of("qed"), 1)
    with pytest.raises(MissingExtraError, match=r"molvae\[ray\]"):
        cluster.screen_on_ray([library], question, address="auto")
