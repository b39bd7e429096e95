"""The odd ones out, and what is usual for a model."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from molecules import DRUGS
from scipy.stats import percentileofscore
from tiny_vae import SMALL, trained

from molvae import checkpoint as checkpoints
from molvae.checkpoint import Checkpoint
from molvae.chem.tokenizer import START_ID
from molvae.data.hashing import weights_digest
from molvae.errors import CheckpointError, InputError
from molvae.explore.anomaly_detection import anomaly, draw_anomalies
from molvae.generator import Generator
from molvae.nn.likelihood_reference import GRID, LikelihoodReference


@pytest.fixture(scope="module")
def usual(tiny):
    return tiny.likelihood_reference(SMALL)


def test_what_was_learned_is_usual_and_what_was_not_is_odd(tiny, usual):
    odd = [DRUGS["morphine"], DRUGS["sofosbuvir"], DRUGS["caffeine"]]
    table = anomaly(tiny, [*SMALL, *odd], reference=usual)
    assert table["percentile"][:30].median() == pytest.approx(50, abs=5)
    assert (table["percentile"][30:] == 0).all()
    assert "33 read, 4 known less well than 99 % of the 30 reference molecules" in table.attrs["summary"][0]


def test_the_likelihood_is_that_of_teacher_forcing(tiny):
    """Symbol by symbol, from the decoder's own steps."""
    smiles = "CC(C)CO"
    z = torch.tensor(tiny.encode(smiles).iloc[:, 2:].to_numpy(np.float32))
    ids = tiny.vocabulary.encode(smiles)
    decoder, total = tiny.model.decoder, 0.0
    with torch.inference_mode():
        for place in range(len(ids)):
            prefix = torch.tensor([[START_ID, *ids[:place].tolist()]])
            total += float(decoder(z, torch.zeros(1), prefix)[0, -1].log_softmax(0)[int(ids[place])])
    row = anomaly(tiny, [smiles]).iloc[0]
    assert row["log_likelihood"] == pytest.approx(total, abs=1e-4)
    assert row["log_likelihood_per_token"] == pytest.approx(total / len(ids), abs=1e-5)


def test_percentiles_are_shares_of_the_reference(tiny, usual):
    known = anomaly(tiny, SMALL)["log_likelihood_per_token"].to_numpy()
    for value in np.quantile(known, [0.1, 0.33, 0.8]):
        expected = percentileofscore(known, value)
        assert usual.percentile(np.array([value]))[0] == pytest.approx(expected, abs=4)  # between 30 molecules
    assert usual.percentile(np.array([-1e9, 0.0, np.nan])).tolist()[:2] == [0, 100]
    assert np.isnan(usual.percentile(np.array([np.nan]))[0])


def test_bad_rows_keep_their_place(tiny, usual):
    table = anomaly(tiny, ["CCO", "C1CC", "CCN"], reference=usual)
    assert list(table.columns) == ["smiles", "error", "log_likelihood", "log_likelihood_per_token", "percentile"]
    assert list(table["percentile"].isna()) == [False, True, False]
    assert "percentile" not in anomaly(tiny, ["CCO"]).columns
    assert len(anomaly(tiny, [])) == 0


def test_a_calibration_is_kept_and_used_again(tiny, usual, tmp_path):
    again = LikelihoodReference.load(usual.save(tmp_path / "sub" / "usual.json"))
    assert again == usual
    assert anomaly(tiny, SMALL, reference=again).equals(anomaly(tiny, SMALL, reference=list(SMALL)))


def test_a_calibration_of_other_weights_is_rejected(usual):
    model, config, vocabulary = trained("gaussian", "gru", 1)
    other = Generator(Checkpoint(name="tiny", model=model, config=config, vocabulary=vocabulary))
    with pytest.raises(InputError, match="other weights"):
        anomaly(other, ["CCO"], reference=usual)


def test_a_model_brings_its_own(tiny, usual, tmp_path):
    """In its directory; molecules that are named instead come first."""
    folder = checkpoints.save(dataclasses.replace(tiny.checkpoint, usual=usual), tmp_path / "model")
    own = Generator.load(folder, "cpu")
    assert own.checkpoint.usual == usual
    drugs = [DRUGS["morphine"], *SMALL[:5]]
    assert anomaly(own, drugs)["percentile"].tolist() == anomaly(own, drugs, reference=usual)["percentile"].tolist()
    fewer = anomaly(own, drugs, reference=SMALL[5:])["percentile"]
    assert fewer.tolist() != anomaly(own, drugs)["percentile"].tolist()
    without = anomaly(tiny, drugs)
    assert "percentile" not in without.columns
    assert "no calibration" in without.attrs["summary"][0]
    changed = dataclasses.replace(own.checkpoint, model=trained("gaussian", "gru", 1)[0])
    with pytest.raises(InputError, match="other weights"):
        anomaly(Generator(changed), drugs)
    (folder / "likelihood_reference.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"likelihood_reference\.json is damaged"):
        Generator.load(folder, "cpu")


def test_weights_are_known_again_when_they_were_saved(tmp_path):
    """In half precision."""
    model, config, vocabulary = trained("gaussian", "gru", 2)
    folder = checkpoints.save(Checkpoint("tiny", model, config, vocabulary), tmp_path / "model")
    assert weights_digest(checkpoints.load(folder).model) == weights_digest(model)
    assert weights_digest(trained("gaussian", "gru", 1)[0]) != weights_digest(model)


def test_what_is_no_calibration(tiny, usual, tmp_path):
    with pytest.raises(InputError, match="20 molecules or more, 5 could be"):
        tiny.likelihood_reference([*SMALL[:5], "C1CC"])
    file = tmp_path / "u.json"
    one_number = {"model": "m", "weights": "w", "molecules": 1, "percentiles": 5}
    for content in ("no json", "[]", "{}", json.dumps(one_number)):
        file.write_text(content)
        with pytest.raises(InputError, match="is no calibration"):
            LikelihoodReference.load(file)
    usual.save(file)
    file.write_text(json.dumps(json.loads(file.read_text()) | {"percentiles": [1, 2]}))
    with pytest.raises(InputError, match=f"2 percentiles, a calibration {len(GRID)}"):
        LikelihoodReference.load(file)
    with pytest.raises(InputError, match="is no calibration"):
        LikelihoodReference.load(tmp_path / "nowhere.json")


def test_the_picture_shows_the_oddest(tiny, usual, tmp_path):
    table = anomaly(tiny, [*SMALL, DRUGS["morphine"], "C1CC"], reference=usual)
    for frame in (table, table.drop(columns="percentile")):
        assert draw_anomalies(frame, tmp_path / "odd.png", n=3).stat().st_size > 3000


def test_a_column_is_answered_under_its_own_index(tiny):
    column = pd.Series([*SMALL[:6], "C1CC"], index=list("zyxxabc"))
    frame = anomaly(tiny, column)
    assert frame.index.equals(column.index)
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), anomaly(tiny, list(column)))
