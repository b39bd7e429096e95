"""Anomaly detection: likelihoods, percentiles of a reference, and references saved with a model."""

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
from molvae.nn.likelihood_reference import PERCENTILES, LikelihoodReference


@pytest.fixture(scope="module")
def reference(tiny):
    return tiny.likelihood_reference(SMALL)


def test_training_molecules_have_higher_percentiles(tiny, reference):
    anomalies = [DRUGS["morphine"], DRUGS["sofosbuvir"], DRUGS["caffeine"]]
    table = anomaly(tiny, [*SMALL, *anomalies], reference=reference)
    assert table["percentile"][:30].median() == pytest.approx(50, abs=5)
    assert (table["percentile"][30:] == 0).all()
    assert table.attrs["statistics"] == {"read": 33, "valid": 33, "anomalies": 4}
    assert "4 anomalies below percentile 1 of 30 reference molecules" in table.attrs["summary"][0]


def test_likelihood_is_that_of_teacher_forcing(tiny):
    """The expected value is computed token by token from the decoder's logits."""
    smiles = "CC(C)CO"
    latent = torch.tensor(tiny.encode(smiles).filter(regex=r"^z\d+$").to_numpy(np.float32))
    ids = tiny.vocabulary.encode(smiles)
    decoder, total = tiny.model.decoder, 0.0
    with torch.inference_mode():
        for position in range(len(ids)):
            prefix = torch.tensor([[START_ID, *ids[:position].tolist()]])
            total += float(decoder(latent, torch.zeros(1), prefix)[0, -1].log_softmax(0)[int(ids[position])])
    row = anomaly(tiny, [smiles]).iloc[0]
    assert row["log_likelihood"] == pytest.approx(total, abs=1e-4)
    assert row["log_likelihood_per_token"] == pytest.approx(total / len(ids), abs=1e-5)


def test_percentile_matches_scipy(tiny, reference):
    known = anomaly(tiny, SMALL)["log_likelihood_per_token"].to_numpy()
    for value in np.quantile(known, [0.1, 0.33, 0.8]):
        expected = percentileofscore(known, value)
        assert reference.percentile(np.array([value]))[0] == pytest.approx(expected, abs=4)  # of 30 molecules
    np.testing.assert_array_equal(reference.percentile(np.array([-1e9, 0.0, np.nan])), [0, 100, np.nan])


def test_order_of_rows_with_invalid_ones(tiny, reference):
    table = anomaly(tiny, ["CCO", "C1CC", "CCN"], reference=reference)
    assert list(table.columns) == [
        "smiles",
        "error",
        "note",
        "log_likelihood",
        "log_likelihood_per_token",
        "percentile",
    ]
    assert list(table["percentile"].isna()) == [False, True, False]
    assert table.attrs["statistics"]["valid"] == 2


def test_no_percentile_without_a_reference(tiny):
    table = anomaly(tiny, ["CCO"])
    assert "percentile" not in table.columns
    assert "no likelihood reference" in table.attrs["summary"][0]
    assert len(anomaly(tiny, [])) == 0


def test_saved_reference_gives_the_same_percentiles(tiny, reference, tmp_path):
    loaded = LikelihoodReference.load(reference.save(tmp_path / "sub" / "reference.json"))
    assert loaded == reference
    assert anomaly(tiny, SMALL, reference=loaded).equals(anomaly(tiny, SMALL, reference=list(SMALL)))


def test_reference_of_other_weights_is_rejected(reference):
    model, config, vocabulary = trained("gaussian", "gru", 1)
    other = Generator(Checkpoint(name="tiny", model=model, config=config, vocabulary=vocabulary))
    with pytest.raises(InputError, match="other weights"):
        anomaly(other, ["CCO"], reference=reference)


def test_reference_saved_with_the_model_is_the_default(tiny, reference, tmp_path):
    folder = checkpoints.save(dataclasses.replace(tiny.checkpoint, likelihood_reference=reference), tmp_path / "model")
    generator = Generator.load(folder, "cpu")
    assert generator.checkpoint.likelihood_reference == reference
    smiles = [DRUGS["morphine"], *SMALL[:5]]
    percentile = anomaly(generator, smiles)["percentile"].tolist()
    assert percentile == anomaly(generator, smiles, reference=reference)["percentile"].tolist()
    assert percentile != anomaly(generator, smiles, reference=SMALL[5:])["percentile"].tolist()
    changed = dataclasses.replace(generator.checkpoint, model=trained("gaussian", "gru", 1)[0])
    with pytest.raises(InputError, match="other weights"):
        anomaly(Generator(changed), smiles)


def test_damaged_reference_of_a_model_is_an_error(tiny, reference, tmp_path):
    folder = checkpoints.save(dataclasses.replace(tiny.checkpoint, likelihood_reference=reference), tmp_path / "model")
    (folder / "likelihood_reference.json").write_text("{}")
    with pytest.raises(CheckpointError, match=r"likelihood_reference\.json is damaged"):
        Generator.load(folder, "cpu")


def test_weights_digest_survives_saving_in_half_precision(tmp_path):
    model, config, vocabulary = trained("gaussian", "gru", 2)
    folder = checkpoints.save(Checkpoint("tiny", model, config, vocabulary), tmp_path / "model")
    assert weights_digest(checkpoints.load(folder).model) == weights_digest(model)
    assert weights_digest(trained("gaussian", "gru", 1)[0]) != weights_digest(model)


def test_too_few_reference_molecules_are_rejected(tiny):
    with pytest.raises(InputError, match="20"):
        tiny.likelihood_reference([*SMALL[:5], "C1CC"])


ONE_PERCENTILE = {"model": "m", "weights": "w", "molecules": 1, "percentiles": 5}


@pytest.mark.parametrize("content", ["no json", "[]", "{}", json.dumps(ONE_PERCENTILE), None])
def test_unreadable_reference_file_is_rejected(tmp_path, content):
    file = tmp_path / "reference.json"
    if content is not None:
        file.write_text(content)
    with pytest.raises(InputError, match=r"reference\.json"):
        LikelihoodReference.load(file)


def test_reference_with_missing_percentiles_is_rejected(reference, tmp_path):
    file = reference.save(tmp_path / "reference.json")
    file.write_text(json.dumps(json.loads(file.read_text()) | {"percentiles": [1, 2]}))
    with pytest.raises(InputError, match=str(len(PERCENTILES))):
        LikelihoodReference.load(file)


def test_image_shows_the_least_likely_molecules(tiny, reference, tmp_path):
    table = anomaly(tiny, [*SMALL, DRUGS["morphine"], "C1CC"], reference=reference)
    for frame in (table, table.drop(columns="percentile")):
        assert draw_anomalies(frame, tmp_path / "anomalies.png", n=3).stat().st_size > 3000


def test_series_keeps_its_index(tiny):
    column = pd.Series([*SMALL[:6], "C1CC"], index=list("zyxxabc"))
    frame = anomaly(tiny, column)
    assert frame.index.equals(column.index)
    pd.testing.assert_frame_equal(frame.reset_index(drop=True), anomaly(tiny, list(column)))
