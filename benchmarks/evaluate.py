"""Measure a model and write what came into its card: reconstruction, the prior, the neighborhood of seeds.

    python benchmarks/evaluate.py MODEL --druglike druglike_test.smi.gz [--moses moses_test.csv.gz] [--benchmark]

MODEL is a name or a model directory. The test sets are those of `molvae data fetch druglike` and `... moses`.
`--benchmark` scores samples with MOSES's metrics, which is for a model that was trained on MOSES; `--reconstruction`
measures that alone and leaves the card's other figures; `--quick` takes a twentieth of everything, to see that it
runs.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import time
from pathlib import Path

import numpy as np
import torch
from yields import asked, scored

from molvae.checkpoint import CARD_MARKDOWN_FILE, Checkpoint, find_model, load, read_card, write_card
from molvae.chem.smiles import canonical_or_none
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.packing import pack
from molvae.data.readers import Record, read_records
from molvae.generation.codec import Codec
from molvae.generation.token_sampling import DecodeOptions
from molvae.generator import Generator
from molvae.metrics.score import score
from molvae.training.evaluation import Evaluator, canonical_smiles

RADII = (0.2, 0.35, 0.5, 0.65, 0.8)
SIMILARITIES = (0.6, 0.45)
DRAWS = 40
CORRECTIONS = 32
RECONSTRUCTED, PRIOR, BENCHMARK = (5_000, 2_000), 10_000, 30_000  # how many molecules each figure takes
SEEDS, MORE_SEEDS, DEFAULT_SEEDS = 100, 1_000, 40


def main() -> None:
    arguments = _arguments()
    tests = {"druglike test": arguments.druglike, "MOSES test": arguments.moses}
    tests = {name: path for name, path in tests.items() if path}
    if not tests:
        raise SystemExit("give --druglike or --moses: the molecules to test with")
    folder = find_model(arguments.model)
    scale = 20 if arguments.quick else 1
    if arguments.reconstruction:
        remeasure(folder, tests, scale=scale)
    else:
        measure(folder, tests, benchmark=arguments.benchmark, scale=scale)
    print((folder / CARD_MARKDOWN_FILE).read_text(encoding="utf-8"))


def opened(folder: Path) -> tuple[Checkpoint, Evaluator]:
    checkpoint = load(folder, "cuda" if torch.cuda.is_available() else "cpu")
    evaluator = Evaluator(Codec.of(checkpoint))
    return checkpoint, evaluator


def remeasure(folder: Path, tests: dict[str, Path], *, scale: int = 1) -> None:
    """Write the reconstruction of a model that has a card already."""
    checkpoint, evaluator = opened(folder)
    card = read_card(folder)
    others = {name: figure for name, figure in card["Scores"].items() if not name.startswith(tuple(tests))}
    card["Scores"] = {**reconstructions(evaluator, checkpoint, tests, scale), **others}
    write_card(folder, checkpoint.name, card)


def measure(folder: Path, tests: dict[str, Path], *, benchmark: bool, scale: int = 1) -> None:
    """Write the card of a model directory; seeds are of the first test set, and `scale` makes everything smaller."""
    checkpoint, evaluator = opened(folder)
    begin = time.monotonic()
    card = read_card(folder)
    scores = reconstructions(evaluator, checkpoint, tests, scale)
    scores |= priors(evaluator, checkpoint, PRIOR // scale)
    card["Scores"] = {**scores, **novelty_filter(checkpoint)}
    if benchmark:
        card[f"MOSES's metrics of {BENCHMARK // scale:,} samples"] = moses_metrics(checkpoint, BENCHMARK // scale)
    name, path = next(iter(tests.items()))
    seeds = packed(path, checkpoint, MORE_SEEDS // scale)
    few = seeds.select(torch.arange(min(SEEDS, len(seeds))))
    for old in [section for section in card if section.startswith(("Neighborhood", "Defaults", "Evaluation"))]:
        del card[old]
    card[f"Neighborhood of {name} seeds, {DRAWS} draws around the refined latent of each"] = {
        **neighborhoods(
            evaluator, checkpoint, few, {f"noise_level {noise_level}": noise_level for noise_level in RADII}
        ),
        **neighborhoods(evaluator, checkpoint, seeds, noise_levels_of(evaluator, checkpoint, few)),
    }
    card[f"Defaults: 100 analogs of each of {DEFAULT_SEEDS // scale} {name} seeds"] = defaults(
        checkpoint, path, DEFAULT_SEEDS // scale
    )
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    card["Evaluation"] = (
        f"{(time.monotonic() - begin) / 60:.1f} minutes on {device}, torch {torch.__version__}, {platform.system()}"
    )
    write_card(folder, checkpoint.name, card)


def packed(path: Path, checkpoint: Checkpoint, count: int) -> PackedGraphs:
    """The first molecules of a file that the model can represent."""
    rows = [row for row, _ in zip(read_records(path), range(count), strict=False)]
    data, _, _ = pack(rows, vocabulary=checkpoint.vocabulary, max_length=checkpoint.config.max_length)
    return data


def reconstructions(evaluator: Evaluator, checkpoint: Checkpoint, tests: dict[str, Path], scale: int) -> dict[str, str]:
    scores: dict[str, str] = {}
    for (name, path), count in zip(tests.items(), RECONSTRUCTED, strict=False):
        scores |= reconstruction(evaluator, checkpoint, path, name, count // scale)
    return scores


def reconstruction(evaluator: Evaluator, checkpoint: Checkpoint, path: Path, name: str, count: int) -> dict[str, str]:
    data = packed(path, checkpoint, count)
    exact, smiles = evaluator.exact_reconstructions(data), canonical_smiles(data, checkpoint.vocabulary)
    drawn = list(map(canonical_or_none, evaluator.sample_posterior(data)))
    stereo = np.array(["@" in s or "/" in s or "\\" in s for s in smiles])
    charged = np.array(["+" in s or "-]" in s for s in smiles])
    out = {}
    places = {
        "the mean": exact,
        f"the mean, up to {CORRECTIONS} corrections": evaluator.exact_reconstructions(
            data, inversion_steps=CORRECTIONS
        ),
        "the mean refined": evaluator.exact_reconstructions(data, refine=True),
    }
    for place, found in places.items():
        out[f"{name}, exact from {place}"] = _share(found)
        for kind, rows in (("with stereo", stereo), ("charged", charged)):
            if rows.any():
                out[f"{name}, {kind}, exact from {place}"] = _share(found[rows])
    out[f"{name}, exact from a posterior draw, sampled"] = _share(
        np.array([a == b for a, b in zip(drawn, smiles, strict=True)])
    )
    out[f"{name}, those samples valid"] = _share(np.array([s is not None for s in drawn]))
    return out


def priors(evaluator: Evaluator, checkpoint: Checkpoint, count: int) -> dict[str, str]:
    """Samples of the unit prior and, where the model has one, of the learned prior."""
    sources = {"prior": checkpoint.model.prior()}
    if checkpoint.prior is not None:
        sources["learned prior"] = checkpoint.prior
    out = {}
    for name, prior in sources.items():
        molecules = evaluator.sample_prior(count, temperature=checkpoint.defaults.temperature, prior=prior)
        valid = [m for m in molecules if m is not None]
        distinct = sorted(set(valid))
        out[f"{name} samples valid"] = _share(np.array([m is not None for m in molecules]))
        out[f"valid {name} samples distinct"] = f"{len(distinct) / max(1, len(valid)):.4f} of {len(valid):,}"
        if checkpoint.training_filter is not None:
            out[f"distinct {name} samples novel"] = _share(~checkpoint.training_filter.contains(distinct))
    return out


def moses_metrics(checkpoint: Checkpoint, count: int) -> dict[str, str]:
    """MOSES's metrics of samples as they come, strings that are no molecule included."""
    evaluator = Evaluator(Codec.of(checkpoint))
    strings = evaluator.sample_prior(count, temperature=1.0, prior=checkpoint.prior)
    found = score(
        [s or "" for s in strings],
        train="moses:train", test="moses:test", test_scaffolds="moses:test_scaffolds",
        columns=("qed", "sa", "logp", "mw", "moses_filters"), nearest=False, benchmarks=("moses",),
    )  # fmt: skip
    return {name: f"{value:.4f}" for name, value in found.figures["MOSES"].items() if value is not None}


def novelty_filter(checkpoint: Checkpoint) -> dict[str, str]:
    """How often the filter calls a string seen that no training set holds."""
    if checkpoint.training_filter is None:
        return {}
    strangers = [f"never a molecule {i}" for i in range(200_000)]
    measured = float(checkpoint.training_filter.contains(strangers).mean())
    stated = checkpoint.training_filter.false_positive_rate
    return {
        "novelty filter": f"{len(checkpoint.training_filter):,} molecules; "
        f"false positives {stated:.3%} stated, {measured:.3%} measured"
    }


def neighborhoods(
    evaluator: Evaluator, checkpoint: Checkpoint, seeds: PackedGraphs, noise_levels: dict[str, float]
) -> dict[str, str]:
    out = {}
    options = DecodeOptions(checkpoint.defaults.temperature)
    for name, noise_level in noise_levels.items():
        found = evaluator.neighborhood(
            seeds, noise_level, draws=DRAWS, options=options, seen=checkpoint.training_filter
        )
        out[f"{name}, {len(seeds):,} seeds"] = (
            f"valid {found.valid:.3f}, distinct {found.distinct:.1f} of {DRAWS}, effective novelty "
            f"{found.effective:.3f}, median Tanimoto {found.similarity:.2f}, at 0.4 or more {found.frac_similarity_ge_0_4:.2f}"
        )
    return out


def noise_levels_of(evaluator: Evaluator, checkpoint: Checkpoint, seeds: PackedGraphs) -> dict[str, float]:
    """The noise level at which the median similarity is as asked, or as near to it as can be."""
    options = DecodeOptions(checkpoint.defaults.temperature)
    found = {s: evaluator.noise_level_for_similarity(seeds, s, draws=DRAWS, options=options) for s in SIMILARITIES}
    return {
        f"for a median of {similarity}: noise level {noise_level:.2f}": noise_level
        for similarity, noise_level in found.items()
    }


def defaults(checkpoint: Checkpoint, path: Path, count: int) -> dict[str, str]:
    seeds = [r.smiles for r, _ in zip(read_records(path), range(count), strict=False) if isinstance(r, Record)]
    generator = Generator(checkpoint, next(checkpoint.model.parameters()).device)
    frame, costs = asked(generator, seeds, 100, properties=["sa"])
    worth = scored(frame)
    return {
        "settings": str(dataclasses.asdict(checkpoint.defaults)),
        "seeds that gave 100": f"{int((costs['found'] == 100).sum())} of {len(seeds)}",
        "strings for a seed, median": f"{costs['strings'].median():.0f}",
        "valid": f"{costs['valid'].sum() / costs['strings'].sum():.3f}",
        "median Tanimoto to the seed": f"{worth['similarity_median']:.3f}",
        "share at 0.4 or more": f"{worth['frac_similarity_ge_0.4']:.3f}",
        "effective novelty": f"{worth['effective_novelty']:.3f}",
        "usable": f"{worth['usable']:.3f}",
        "median SA of analogs": f"{frame['sa'].median():.2f}",
    }


def _share(flags: np.ndarray) -> str:
    return f"{flags.mean():.4f} of {len(flags):,}"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--druglike", type=Path, help="test molecules, SMILES first on a line")
    parser.add_argument("--moses", type=Path, help="MOSES test, a CSV with a SMILES column")
    parser.add_argument("--benchmark", action="store_true", help="MOSES's metrics of samples of the prior")
    parser.add_argument("--reconstruction", action="store_true", help="only that; the other figures stay")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the molecules: to see that it runs")
    return parser.parse_args()


if __name__ == "__main__":
    main()
