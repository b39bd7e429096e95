"""Measure a model and write what came into its card: reconstruction, the prior, the neighbourhood of seeds.

    python benchmarks/evaluate.py MODEL --druglike druglike_test.smi.gz [--moses moses_test.csv.gz] [--quick]

MODEL is a name or a model directory. The test sets are those of `molvae data fetch druglike` and `... moses`.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import platform
import time
from pathlib import Path

import numpy as np
import torch

from molvae.checkpoint import CARD, Checkpoint, card_text, load, locate, read_card
from molvae.chem.smiles import canonical_or_none
from molvae.data.packed import PackedGraphs
from molvae.data.packing import pack
from molvae.data.records import Record, read_records
from molvae.evaluation import Evaluator, targets
from molvae.generator import Generator
from molvae.sampling.options import DecodeOptions

RADII = (0.2, 0.35, 0.5, 0.65, 0.8)
DRAWS = 40
DRUGLIKE, MOSES, PRIOR, SEEDS, DEFAULT_SEEDS = 5_000, 2_000, 5_000, 100, 40  # how many molecules each figure takes


def main() -> None:
    arguments = _arguments()
    folder = locate(arguments.model)
    checkpoint = load(folder, "cuda" if torch.cuda.is_available() else "cpu")
    scale = 20 if arguments.quick else 1
    evaluator = Evaluator(
        checkpoint.model,
        checkpoint.vocabulary,
        checkpoint.config.max_symbols,
        noise_aware=checkpoint.defaults.noise_aware,
    )
    begin = time.monotonic()
    card = read_card(folder)
    card["Scores"] = {
        **reconstruction(evaluator, checkpoint, arguments.druglike, "druglike test", DRUGLIKE // scale),
        **(
            reconstruction(evaluator, checkpoint, arguments.moses, "MOSES test", MOSES // scale)
            if arguments.moses
            else {}
        ),
        **prior(evaluator, checkpoint, PRIOR // scale),
        **novelty_filter(checkpoint),
    }
    seeds = packed(arguments.druglike, checkpoint, SEEDS // scale)
    card[f"Neighbourhood of {len(seeds)} druglike test seeds, {DRAWS} draws each"] = neighbourhoods(
        evaluator, checkpoint, seeds
    )
    card[f"Defaults: 100 analogs of each of {DEFAULT_SEEDS // scale} druglike test seeds"] = defaults(
        checkpoint, arguments.druglike, DEFAULT_SEEDS // scale
    )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    card["Evaluation"] = (
        f"{(time.monotonic() - begin) / 60:.1f} minutes on {device}, torch {torch.__version__}, {platform.system()}"
    )
    (folder / f"{CARD}.json").write_text(json.dumps(card, indent=2) + "\n", encoding="utf-8")
    (folder / f"{CARD}.md").write_text(card_text(checkpoint.name, card), encoding="utf-8")
    print(card_text(checkpoint.name, card))


def packed(path: Path, checkpoint: Checkpoint, count: int) -> PackedGraphs:
    """The first molecules of a file that the model can represent."""
    rows = [row for row, _ in zip(read_records(path), range(count), strict=False)]
    data, _, _ = pack(rows, vocabulary=checkpoint.vocabulary, max_symbols=checkpoint.config.max_symbols)
    return data


def reconstruction(evaluator: Evaluator, checkpoint: Checkpoint, path: Path, name: str, count: int) -> dict[str, str]:
    data = packed(path, checkpoint, count)
    exact, smiles = evaluator.exact(data), targets(data, checkpoint.vocabulary)
    drawn = evaluator.resampled(data)
    stereo = np.array(["@" in s or "/" in s or "\\" in s for s in smiles])
    charged = np.array(["+" in s or "-]" in s for s in smiles])
    out = {f"{name}, exact from the mean": _share(exact)}
    for kind, rows in (("with stereo", stereo), ("charged", charged)):
        if rows.any():
            out[f"{name}, {kind}, exact from the mean"] = _share(exact[rows])
    out[f"{name}, exact from a posterior draw, sampled"] = _share(
        np.array([a == b for a, b in zip(drawn, smiles, strict=True)])
    )
    out[f"{name}, those samples valid"] = _share(np.array([canonical_or_none(s) is not None for s in drawn]))
    return out


def prior(evaluator: Evaluator, checkpoint: Checkpoint, count: int) -> dict[str, str]:
    molecules = evaluator.prior(count, temperature=checkpoint.defaults.temperature)
    valid = [m for m in molecules if m is not None]
    distinct = sorted(set(valid))
    out = {"prior samples valid": _share(np.array([m is not None for m in molecules]))}
    out["valid prior samples distinct"] = f"{len(distinct) / max(1, len(valid)):.4f} of {len(valid):,}"
    if checkpoint.seen is not None:
        out["distinct prior samples novel"] = _share(~checkpoint.seen.contains(distinct))
    return out


def novelty_filter(checkpoint: Checkpoint) -> dict[str, str]:
    """How often the filter calls a string seen that no training set holds."""
    if checkpoint.seen is None:
        return {}
    strangers = [f"never a molecule {i}" for i in range(200_000)]
    measured = float(checkpoint.seen.contains(strangers).mean())
    stated = checkpoint.seen.false_positive_rate
    return {
        "novelty filter": f"{len(checkpoint.seen):,} molecules; "
        f"false positives {stated:.3%} stated, {measured:.3%} measured"
    }


def neighbourhoods(evaluator: Evaluator, checkpoint: Checkpoint, seeds: PackedGraphs) -> dict[str, str]:
    out = {}
    options = DecodeOptions(checkpoint.defaults.temperature)
    for radius in RADII:
        found = evaluator.neighbourhood(seeds, radius, draws=DRAWS, options=options)
        out[f"radius {radius}"] = (
            f"valid {found.valid:.3f}, distinct {found.distinct:.1f} of {DRAWS}, "
            f"median Tanimoto {found.similarity:.2f}, at 0.4 or more {found.at_least_0_4:.2f}"
        )
    return out


def defaults(checkpoint: Checkpoint, path: Path, count: int) -> dict[str, str]:
    seeds = [r.smiles for r, _ in zip(read_records(path), range(count), strict=False) if isinstance(r, Record)]
    frame = Generator(checkpoint, next(checkpoint.model.parameters()).device).analogs(seeds, 100)
    counts = frame.groupby("seed").size()
    return {
        "settings": str(dataclasses.asdict(checkpoint.defaults)),
        "seeds that gave 100": f"{int((counts == 100).sum())} of {len(seeds)}",
        "median Tanimoto to the seed": f"{frame['similarity'].median():.3f}",
        "share at 0.4 or more": f"{(frame['similarity'] >= 0.4).mean():.3f}",
        "novel": f"{frame['novel'].astype(float).mean():.3f}",
        "median SA of analogs": f"{frame['sa'].median():.2f}",
    }


def _share(flags: np.ndarray) -> str:
    return f"{flags.mean():.4f} of {len(flags):,}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--druglike", type=Path, required=True, help="test molecules, SMILES first on a line")
    parser.add_argument("--moses", type=Path, help="MOSES test, a CSV with a SMILES column")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the molecules: to see that it runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
