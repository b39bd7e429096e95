"""Evaluate a model and write the results into its card: reconstruction, prior samples, analogs of test molecules.

    python scripts/model_card.py MODEL --druglike druglike_test.smi.gz [--moses moses_test.csv.gz] [--benchmark]

MODEL is the name of a shipped model or a model directory. The test sets are those of `molvae data fetch druglike` and
`molvae data fetch moses`. `--benchmark` adds MOSES's metrics of prior samples, for models that were trained on MOSES.
`--reconstruction` updates only the reconstruction and keeps the other results of the card. `--quick` evaluates a
twentieth of the molecules, to test the script.
"""

from __future__ import annotations

import argparse
import dataclasses
import platform
import time
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import torch

import molvae
from molvae.checkpoint import CARD_MARKDOWN_FILE, Checkpoint, find_model, load, read_card, write_card
from molvae.chem.smiles import canonical_or_none
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.packing import pack
from molvae.data.readers import Record, read_records
from molvae.generation.codec import Codec
from molvae.generation.token_sampling import SamplingOptions
from molvae.training.evaluation import Evaluator, canonical_smiles

NOISE_LEVELS = (0.2, 0.35, 0.5, 0.65, 0.8)
SIMILARITIES = (0.6, 0.45)
"""Median Tanimoto similarities for which the noise level is determined."""
SAMPLES_PER_SEED = 40
INVERSION_STEPS = 32
N_RECONSTRUCTED, N_PRIOR_SAMPLES, N_BENCHMARK_SAMPLES = (5_000, 2_000), 10_000, 30_000
N_SEEDS, N_SEEDS_AT_SIMILARITY, N_SEEDS_WITH_DEFAULTS, N_ANALOGS = 100, 1_000, 40, 100
N_BLOOM_FILTER_QUERIES = 200_000
QUICK_SCALE = 20
RECOMPUTED_SECTIONS = ("Metrics", "Evaluation", "MOSES benchmark", "Neighborhood of", "Analogs with default settings")
"""Beginnings of the titles of the sections that `update_card` replaces."""
METRIC_DEFINITIONS = {
    "exact reconstruction": "fraction of molecules that decode to the same molecule, including stereochemistry",
    "inversion steps": "maximum number of steps of latent inversion, the search for the molecule with the given latent",
    "optimized latent": "latent after gradient steps that increase the likelihood of the molecule",
    "validity": "fraction of samples that RDKit accepts",
    "uniqueness": "distinct molecules / valid samples; of 40 samples around a seed, the number of distinct molecules "
    "other than the seed",
    "novelty": "fraction of distinct molecules that are not in the training data",
    "effective novelty": "distinct molecules other than the seed and not in the training data / samples",
    "usable": "fraction of analogs that count for effective novelty and have a Tanimoto similarity of 0.4 or more, an "
    "SA score at most 0.5 above that of the seed, no PAINS or BRENK alert that the seed does not have, and no flaw of "
    "plausibility that the seed does not have",
    "Tanimoto": "similarity to the seed by Morgan fingerprints of radius 2 and 2,048 bits",
}
MOSES_DEFINITION = (
    "metrics of Polykovskiy et al. 2020, https://doi.org/10.3389/fphar.2020.565644; the values of logP, SA, QED and "
    "weight are Wasserstein distances between the distributions of samples and test set"
)
ANALOG_METRICS = {
    "median Tanimoto to the seed": "similarity_median",
    "fraction with Tanimoto of 0.4 or more": "frac_similarity_ge_0.4",
    "effective novelty": "effective_novelty",
    "usable": "usable",
}
"""Name in the card -> key in `molvae.score(...).metrics["Analogs"]`."""

Metrics = dict[str, str]
"""Metric -> value as text; a table of the card."""


def main() -> None:
    arguments = parse_arguments()
    test_sets = {"druglike test": arguments.druglike, "MOSES test": arguments.moses}
    test_sets = {name: path for name, path in test_sets.items() if path}
    if not test_sets:
        raise SystemExit("no test set: pass --druglike or --moses")
    folder = find_model(arguments.model)
    scale = QUICK_SCALE if arguments.quick else 1
    if arguments.reconstruction:
        update_reconstruction(folder, test_sets, scale=scale)
    else:
        update_card(folder, test_sets, benchmark=arguments.benchmark, scale=scale)
    print((folder / CARD_MARKDOWN_FILE).read_text(encoding="utf-8"))


def load_evaluator(folder: Path) -> tuple[Checkpoint, Evaluator]:
    """Load a model on the GPU, if there is one."""
    checkpoint = load(folder, "cuda" if torch.cuda.is_available() else "cpu")
    return checkpoint, Evaluator(Codec.from_checkpoint(checkpoint))


def update_reconstruction(folder: Path, test_sets: dict[str, Path], *, scale: int = 1) -> None:
    """Replace the reconstruction metrics of a card."""
    checkpoint, evaluator = load_evaluator(folder)
    card = read_card(folder)
    others = {name: value for name, value in card["Evaluation"].items() if not name.startswith(tuple(test_sets))}
    card["Evaluation"] = {**reconstruction_metrics(evaluator, checkpoint, test_sets, scale), **others}
    write_card(folder, checkpoint.name, card)


def update_card(folder: Path, test_sets: dict[str, Path], *, benchmark: bool, scale: int = 1) -> None:
    """Write all metrics into the card of a model directory.

    Parameters
    ----------
    folder
        Model directory.
    test_sets
        Name and file of each test set. Seeds come from the first one.
    benchmark
        Compute MOSES's metrics of prior samples.
    scale
        All numbers of molecules are divided by it.
    """
    checkpoint, evaluator = load_evaluator(folder)
    start = time.monotonic()
    card = {
        section: content
        for section, content in read_card(folder).items()
        if not section.startswith(RECOMPUTED_SECTIONS)
    }
    card["Metrics"] = METRIC_DEFINITIONS | ({"MOSES benchmark": MOSES_DEFINITION} if benchmark else {})
    card["Evaluation"] = {
        **reconstruction_metrics(evaluator, checkpoint, test_sets, scale),
        **prior_metrics(evaluator, checkpoint, N_PRIOR_SAMPLES // scale),
        **bloom_filter_metrics(checkpoint),
    }
    if benchmark:
        n_samples = N_BENCHMARK_SAMPLES // scale
        card[f"MOSES benchmark, {n_samples:,} samples of the {prior_name(checkpoint)}"] = moses_metrics(
            checkpoint, n_samples
        )
    name, path = next(iter(test_sets.items()))
    all_seeds = pack_first(path, checkpoint, N_SEEDS_AT_SIMILARITY // scale)
    seeds = all_seeds.select(torch.arange(min(N_SEEDS, len(all_seeds))))
    fixed = {f"noise level {level}": level for level in NOISE_LEVELS}
    fitted = noise_levels_for_similarities(evaluator, checkpoint, seeds)
    card[f"Neighborhood of {name} seeds, {SAMPLES_PER_SEED} samples around the optimized latent of each"] = {
        **neighborhood_metrics(evaluator, checkpoint, seeds, fixed),
        **neighborhood_metrics(evaluator, checkpoint, all_seeds, fitted),
    }
    n_seeds = N_SEEDS_WITH_DEFAULTS // scale
    title = f"Analogs with default settings, {N_ANALOGS} of each of {n_seeds} {name} seeds"
    card[title] = analog_metrics(checkpoint, path, n_seeds)
    n_threads = torch.get_num_threads()
    cpu = f"{n_threads} CPU thread{'s' if n_threads > 1 else ''}"
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else cpu
    card["Evaluation run"] = (
        f"{(time.monotonic() - start) / 60:.1f} minutes on {device}, torch {torch.__version__}, {platform.system()}"
    )
    write_card(folder, checkpoint.name, card)


def pack_first(path: Path, checkpoint: Checkpoint, n_rows: int) -> PackedGraphs:
    """The molecules in the first rows of a file that the model can represent."""
    rows = [row for row, _ in zip(read_records(path), range(n_rows), strict=False)]
    data, _, _ = pack(rows, vocabulary=checkpoint.vocabulary, max_length=checkpoint.config.max_length)
    return data


def reconstruction_metrics(
    evaluator: Evaluator, checkpoint: Checkpoint, test_sets: dict[str, Path], scale: int
) -> Metrics:
    """Exact reconstruction of each test set: of all molecules, those with stereochemistry and charged ones."""
    metrics: Metrics = {}
    for (name, path), n_rows in zip(test_sets.items(), N_RECONSTRUCTED, strict=False):
        data = pack_first(path, checkpoint, n_rows // scale)
        smiles = canonical_smiles(data, checkpoint.vocabulary)
        with_stereo = np.array(["@" in s or "/" in s or "\\" in s for s in smiles])
        charged = np.array(["+" in s or "-]" in s for s in smiles])
        methods = {
            "the posterior mean": evaluator.exact_reconstructions(data),
            f"the posterior mean, up to {INVERSION_STEPS} inversion steps": evaluator.exact_reconstructions(
                data, inversion_steps=INVERSION_STEPS
            ),
            "the optimized latent": evaluator.exact_reconstructions(data, optimize_latents=True),
        }
        for method, exact in methods.items():
            metrics[f"{name}: exact reconstruction from {method}"] = fraction(exact)
            for kind, rows in (("with stereochemistry", with_stereo), ("charged molecules", charged)):
                if rows.any():
                    metrics[f"{name}, {kind}: exact reconstruction from {method}"] = fraction(exact[rows])
        sampled = list(map(canonical_or_none, evaluator.sample_posterior(data)))
        exact = np.array([a == b for a, b in zip(sampled, smiles, strict=True)])
        metrics[f"{name}: exact reconstruction from a posterior sample with sampled tokens"] = fraction(exact)
        is_valid = np.array([s is not None for s in sampled])
        metrics[f"{name}: validity of posterior samples with sampled tokens"] = fraction(is_valid)
    return metrics


def prior_metrics(evaluator: Evaluator, checkpoint: Checkpoint, n_samples: int) -> Metrics:
    """Validity, uniqueness and novelty of samples of the unit Gaussian and, if the model has one, the learned prior."""
    priors = {"unit prior": checkpoint.model.prior()}
    if checkpoint.prior is not None:
        priors["learned prior"] = checkpoint.prior
    metrics = {}
    for name, prior in priors.items():
        samples = evaluator.sample_prior(n_samples, temperature=checkpoint.defaults.temperature, prior=prior)
        valid = [smiles for smiles in samples if smiles is not None]
        distinct = sorted(set(valid))
        metrics[f"{name}: validity"] = fraction(np.array([smiles is not None for smiles in samples]))
        metrics[f"{name}: uniqueness of valid samples"] = f"{len(distinct) / max(1, len(valid)):.4f} of {len(valid):,}"
        if checkpoint.training_filter is not None:
            not_in_training = ~checkpoint.training_filter.contains(distinct)
            metrics[f"{name}: novelty of unique samples"] = fraction(not_in_training)
    return metrics


def prior_name(checkpoint: Checkpoint) -> str:
    """Name of the prior that samples are drawn from by default."""
    return "unit prior" if checkpoint.prior is None else "learned prior"


def moses_metrics(checkpoint: Checkpoint, n_samples: int) -> Metrics:
    """MOSES's metrics of prior samples at temperature 1, invalid samples included."""
    samples = Evaluator(Codec.from_checkpoint(checkpoint)).sample_prior(
        n_samples, temperature=1.0, prior=checkpoint.prior
    )
    result = molvae.score(
        [smiles or "" for smiles in samples],
        train="moses:train",
        test="moses:test",
        test_scaffolds="moses:test_scaffolds",
        columns=("qed", "sa", "logp", "mw", "moses_filters"),
        nearest=False,
        benchmarks=("moses",),
    )
    return {name: f"{value:.4f}" for name, value in result.metrics["MOSES"].items() if value is not None}


def bloom_filter_metrics(checkpoint: Checkpoint) -> Metrics:
    """Size and false positive rate of the Bloom filter of the training set, measured with texts that are not SMILES."""
    training_filter = checkpoint.training_filter
    if training_filter is None:
        return {}
    queries = [f"not a molecule {i}" for i in range(N_BLOOM_FILTER_QUERIES)]
    measured = float(training_filter.contains(queries).mean())
    return {
        "Bloom filter of training molecules": f"{len(training_filter):,} molecules; false positive rate "
        f"{training_filter.false_positive_rate:.3%} expected, {measured:.3%} measured"
    }


def neighborhood_metrics(
    evaluator: Evaluator, checkpoint: Checkpoint, seeds: PackedGraphs, noise_levels: dict[str, float]
) -> Metrics:
    """Metrics of the samples around seeds at each noise level."""
    options = SamplingOptions(checkpoint.defaults.temperature)
    table = {}
    for name, noise_level in noise_levels.items():
        metrics = evaluator.neighborhood(
            seeds,
            noise_level,
            samples_per_seed=SAMPLES_PER_SEED,
            options=options,
            training_filter=checkpoint.training_filter,
        )
        table[f"{name}, {len(seeds):,} seeds"] = (
            f"validity {metrics.valid:.3f}, unique {metrics.distinct:.1f} of {SAMPLES_PER_SEED}, effective novelty "
            f"{metrics.effective_novelty:.3f}, median Tanimoto {metrics.similarity:.2f}, "
            f"fraction with Tanimoto of 0.4 or more {metrics.frac_similarity_ge_0_4:.2f}"
        )
    return table


def noise_levels_for_similarities(
    evaluator: Evaluator, checkpoint: Checkpoint, seeds: PackedGraphs
) -> dict[str, float]:
    """The noise level for each of the median similarities, or the closest possible one."""
    options = SamplingOptions(checkpoint.defaults.temperature)
    noise_levels = {}
    for similarity in SIMILARITIES:
        noise_level = evaluator.noise_level_for_similarity(
            seeds, similarity, samples_per_seed=SAMPLES_PER_SEED, options=options
        )
        noise_levels[f"noise level {noise_level:.2f} (set for a median Tanimoto of {similarity})"] = noise_level
    return noise_levels


def analog_metrics(checkpoint: Checkpoint, path: Path, n_seeds: int) -> Metrics:
    """Analogs of the first molecules of a file with the default options: yield, validity and quality."""
    rows = zip(read_records(path), range(n_seeds), strict=False)
    seeds = [row.smiles for row, _ in rows if isinstance(row, Record)]
    generator = molvae.Generator(checkpoint, next(checkpoint.model.parameters()).device)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # seeds that cannot be encoded or have too few analogs are counted below
        frames = list(generator.iter_analogs(seeds, N_ANALOGS, properties=["sa"]))
    analogs = pd.concat(frames, ignore_index=True)
    statistics = pd.DataFrame([row for frame in frames for row in frame.attrs["statistics"]])
    result = molvae.score(
        analogs["smiles"],
        seeds=analogs["seed"],
        columns=("sa", "alerts", "plausible"),
        fcd=False,
        benchmarks=(),
        nearest=False,
    )
    metrics = {name: result.metrics["Analogs"][key] for name, key in ANALOG_METRICS.items()}
    quality = {name: "undefined" if value is None else f"{value:.3f}" for name, value in metrics.items()}
    return {
        "settings": ", ".join(f"{name} {value}" for name, value in dataclasses.asdict(checkpoint.defaults).items()),
        f"seeds with {N_ANALOGS} analogs": f"{int((statistics['found'] == N_ANALOGS).sum())} of {len(seeds)}",
        "samples per seed, median": f"{statistics['samples'].median():.0f}",
        "validity": f"{statistics['valid'].sum() / statistics['samples'].sum():.3f}",
        **quality,
        "median SA of analogs": f"{analogs['sa'].median():.2f}",
    }


def fraction(flags: np.ndarray) -> str:
    """The fraction of true values and their number, as text."""
    return f"{flags.mean() if len(flags) else np.nan:.4f} of {len(flags):,}"


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", help="name of a shipped model, or a model directory")
    parser.add_argument("--druglike", type=Path, help="druglike test set: SMILES in the first column")
    parser.add_argument("--moses", type=Path, help="MOSES test set: a CSV file with a SMILES column")
    parser.add_argument("--benchmark", action="store_true", help="add MOSES's metrics of prior samples")
    parser.add_argument("--reconstruction", action="store_true", help="update only the reconstruction metrics")
    parser.add_argument("--quick", action="store_true", help="a twentieth of the molecules, to test the script")
    return parser.parse_args()


if __name__ == "__main__":
    main()
