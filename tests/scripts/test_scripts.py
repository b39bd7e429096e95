"""The scripts that make the shipped models, run with small networks and few molecules."""

from __future__ import annotations

import importlib
import json
import re
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest
from tiny_vae import SMALL

from molvae.checkpoint import find_model, read_card
from molvae.generation.strategies import STRATEGIES, Strategy

pytestmark = pytest.mark.slow

pytest.importorskip("sklearn")

SCRIPTS = Path(__file__).parents[2] / "scripts"
TRAINING_SECTIONS = {
    "Model description",
    "Intended use",
    "Limitations",
    "Training data and licenses",
    "Training",
    "Learned prior",
}


def section_kinds(card: dict[str, object]) -> set[str]:
    """Titles of the sections, without the numbers and names that depend on the run."""
    return {re.sub(",.*| of (druglike|MOSES) test seeds.*", "", title) for title in card}


def shipped_section_kinds(name: str) -> set[str]:
    return section_kinds(read_card(find_model(name)))


@pytest.fixture
def molecules(tmp_path: Path) -> Path:
    path = tmp_path / "molecules.smi"
    path.write_text("\n".join(SMALL) + "\n")
    return path


@pytest.fixture
def model_card(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/model_card.py with fewer molecules and samples."""
    monkeypatch.syspath_prepend(SCRIPTS)
    module = importlib.import_module("model_card")
    for name, value in (
        ("NOISE_LEVELS", (0.5,)),
        ("SIMILARITIES", (0.5,)),
        ("SAMPLES_PER_SEED", 4),
        ("INVERSION_STEPS", 2),
        ("N_RECONSTRUCTED", (120, 120)),
        ("N_PRIOR_SAMPLES", 200),
        ("N_SEEDS", 3),
        ("N_SEEDS_AT_SIMILARITY", 60),
        ("N_SEEDS_WITH_DEFAULTS", 20),
        ("N_ANALOGS", 3),
        ("N_BLOOM_FILTER_QUERIES", 1000),
    ):
        monkeypatch.setattr(module, name, value)
    return module


def run(module: ModuleType, monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.setattr(sys, "argv", [module.__name__, *map(str, arguments)])
    module.main()


def test_model_card(
    model_card: ModuleType, tiny_checkpoint, molecules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from molvae.checkpoint import save

    folder = save(tiny_checkpoint, tmp_path / "model")
    run(model_card, monkeypatch, folder, "--druglike", molecules, "--quick")
    card = json.loads((folder / "card.json").read_text())
    assert section_kinds(card) - {"data"} == shipped_section_kinds("druglike") - TRAINING_SECTIONS
    evaluation = card["Evaluation"]
    assert evaluation["druglike test: exact reconstruction from the posterior mean"].endswith(" of 6")
    assert evaluation["unit prior: validity"].endswith(" of 10")
    assert "0.000% measured" in evaluation["Bloom filter of training molecules"]
    shipped = read_card(find_model("druglike"))["Evaluation"]
    assert {key for key in evaluation if "inversion" not in key} <= shipped.keys()
    (neighborhood,) = (content for section, content in card.items() if section.startswith("Neighborhood"))
    assert "noise level 0.5, 3 seeds" in neighborhood
    (analogs,) = (content for section, content in card.items() if section.startswith("Analogs with default settings"))
    assert analogs["seeds with 3 analogs"].endswith(" of 1")
    evaluation["druglike test: exact reconstruction from the posterior mean"] = "outdated"
    (folder / "card.json").write_text(json.dumps(card))
    run(model_card, monkeypatch, folder, "--druglike", molecules, "--quick", "--reconstruction")
    updated = json.loads((folder / "card.json").read_text())
    assert updated.keys() == card.keys()
    assert updated["Evaluation"].keys() == evaluation.keys()
    assert updated["Evaluation"]["druglike test: exact reconstruction from the posterior mean"] != "outdated"


def test_train_shipped(
    model_card: ModuleType, tiny_checkpoint, molecules: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Train a model, then its decoder alone with policy gradients; the cards have the sections of the shipped ones."""
    del model_card  # imported by the script, with fewer molecules
    script = importlib.import_module("train_shipped")
    recipe = script.replace(script.RECIPES["moses"], training=script.FROM_SCRATCH.replace(max_steps=3, batch_size=8))
    rl = {**recipe.rl, "batch_size": 8}
    small = {"n_seeds": 2, "samples_per_seed": 2}
    recipe = script.replace(recipe, rl=rl, policy_gradient={**recipe.policy_gradient, **small})
    monkeypatch.setitem(script.RECIPES, "moses", recipe)
    monkeypatch.setattr(script, "decoding_metrics", lambda *_: None)
    data = ["--druglike", *[molecules] * 3, "--moses", *[molecules] * 2]
    options = [*data, "--model", "moses", "--minutes", 1, "--small", "--precision", "32"]
    run(script, monkeypatch, *options, "--out", tmp_path / "first")
    model = tmp_path / "first" / "models" / "moses"
    for name in ("prior.safetensors", "bloom_filter.npz", "likelihood_reference.json"):
        assert (model / name).exists()
    card = json.loads((model / "card.json").read_text())
    shipped = read_card(find_model("moses"))
    assert section_kinds(card) == shipped_section_kinds("moses") - {"MOSES benchmark"}  # omitted with --small
    for section in ("Intended use", "Limitations", "Training data and licenses"):
        assert card[section] == shipped[section]
    assert re.sub("[0-9,]+", "N", card["Model description"]) == re.sub("[0-9,]+", "N", shipped["Model description"])
    assert list(card["Training"]) == ["stage 1: steps", "stage 1: time", "stage 1: settings"]
    assert card["Training"]["stage 1: steps"] == "3 steps of 8 molecules (24 molecules, repeats counted)"
    rl_options = ["--rl", "--init-from", model.parent, "--steps", "pack", "train"]
    run(script, monkeypatch, *options, *rl_options, "--out", tmp_path / "second")
    training = json.loads((tmp_path / "second" / "models" / "moses" / "card.json").read_text())["Training"]
    assert list(training)[3:] == [
        f"stage 2: {key}" for key in ("steps", "time", "settings", "policy-gradient fine-tuning")
    ]
    assert training["stage 2: policy-gradient fine-tuning"] == (
        "2 samples around each of 2 molecules per step, with distribution matching"
    )
    initial = replace(tiny_checkpoint, name="other", card={"Training": {"stage 3: time": "1 minute"}})
    assert script.earlier_stages("moses", initial) == {"stage 3 (shared with other): time": "1 minute"}


def test_strategy_frequencies(monkeypatch, capsys, tmp_path) -> None:
    """A row per strategy; the similarity falls with the noise level."""
    monkeypatch.syspath_prepend(str(SCRIPTS))
    file = tmp_path / "seeds.smi"
    file.write_text(
        "Cc1ccc(NC(=O)c2ccc(CN3CCN(C)CC3)cc2)cc1Nc1nccc(-c2cccnc2)n1\nCC(=O)CC(c1ccccc1)c1c(O)c2ccccc2oc1=O\n"
    )
    importlib.import_module("strategy_frequencies").main([str(file)])
    rows = np.array(
        [[float(number) for number in line.strip("(),").split(", ")] for line in capsys.readouterr().out.splitlines()]
    )
    assert rows.shape == (len(STRATEGIES), 10)
    assert (rows.sum(1) <= 1.005).all()  # rounded
    means = (rows * np.arange(10)).sum(1) / rows.sum(1)
    assert means[STRATEGIES.index(Strategy(0.2))] > means[STRATEGIES.index(Strategy(0.95))] + 2
