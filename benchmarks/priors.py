"""Samples of the unit Gaussian prior and of learned priors, compared at the same temperature.

    python benchmarks/priors.py druglike_train.smi.gz druglike_test.smi.gz --output benchmarks/priors.md

Each kind of learned prior is fitted to encoded molecules of the first file; its samples are compared with molecules of
the second. Samples of a prior are perturbed by a noise level that the decoder is conditioned on: 0 leaves the learned
density as it is, 1 replaces it by the unit Gaussian. The rows `test molecules` are latents of test molecules, perturbed
alike: the result of a perfect density.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass
from pathlib import Path

import torch
from common import header
from torch import Tensor

from molvae import checkpoint as checkpoints
from molvae.chem.smiles import canonical_or_none
from molvae.data.datasets import MoleculeSource
from molvae.data.graph_dataset import PackedGraphs
from molvae.data.packing import pack
from molvae.generation.codec import Codec
from molvae.generation.rng import normal, row_keys
from molvae.generation.token_sampling import SamplingOptions
from molvae.metrics import fcd
from molvae.nn.latents import Posterior
from molvae.nn.priors import PRIORS, LatentDistribution, PriorConfig
from molvae.training.evaluation import Evaluator, canonical_smiles
from molvae.training.fit_prior import fit_density, sample_rows

TABLE_HEAD = [
    "| latents | noise level | valid | unique (of valid) | FCD to test | seconds to fit |",
    "|---|---|---|---|---|---|",
]


@dataclass(frozen=True)
class Comparison:
    """Samples `n_samples` latents of a distribution and compares the decoded molecules with reference molecules."""

    evaluator: Evaluator
    reference: fcd.ActivationStatistics
    options: SamplingOptions
    n_samples: int

    def table_row(
        self, name: str, latents: LatentDistribution, noise_level: float, fit_seconds: float | None = None
    ) -> str:
        keys = row_keys(1, torch.arange(self.n_samples, device=latents.device))
        z = latents.sample(normal(keys, latents.noise_dim))
        z = latents.perturb(z, noise_level, normal(keys, z.shape[1], stream=1))
        samples = self.evaluator.decode(z, noise_level, self.options, random_state=1)
        valid = [smiles for sample in samples if (smiles := canonical_or_none(sample))]
        readable = [smiles for smiles in valid if canonical_or_none(smiles)]  # RDKit rarely writes an invalid SMILES
        distance = fcd.frechet_distance(fcd.activation_statistics(readable), self.reference)
        row = (
            f"| {name} | {noise_level:g} | {len(valid) / self.n_samples:.3f} | "
            f"{len(set(valid)) / max(1, len(valid)):.4f} | {distance:.2f} | "
            f"{'' if fit_seconds is None else f'{fit_seconds:.0f}'} |"
        )
        print(row, flush=True)
        return row


def pack_random(path: Path, n: int, checkpoint: checkpoints.Checkpoint) -> PackedGraphs:
    """Random molecules of a file that the model can represent."""
    rows = sample_rows([MoleculeSource(path)], n, random_state=0)
    return pack(rows, vocabulary=checkpoint.vocabulary, max_length=checkpoint.config.max_length)[0]


def sample_posterior(posterior: Posterior) -> Tensor:
    """One latent per molecule, shape (M, D)."""
    keys = row_keys(0, torch.arange(len(posterior.mean), device=posterior.device))
    return posterior.sample(normal(keys, posterior.noise_dim))


@torch.inference_mode()
def main() -> None:
    arguments = parse_arguments()
    checkpoint = checkpoints.load(arguments.model, "cuda" if torch.cuda.is_available() else "cpu")
    evaluator = Evaluator(Codec.from_checkpoint(checkpoint))
    test = pack_random(arguments.test, arguments.samples, checkpoint)
    default = checkpoint.defaults.temperature
    options = SamplingOptions(default if arguments.temperature is None else arguments.temperature)
    reference = fcd.activation_statistics(canonical_smiles(test, checkpoint.vocabulary))
    comparison = Comparison(evaluator, reference, options, arguments.samples)
    rows = [comparison.table_row("unit Gaussian", checkpoint.model.prior(), 1.0)]
    z = sample_posterior(evaluator.codec.encode(pack_random(arguments.train, arguments.molecules, checkpoint)))
    for kind in PRIORS:
        config = checkpoint.model.prior().config.replace(kind=kind, noise_level=PriorConfig.noise_level)
        start = time.perf_counter()
        with torch.inference_mode(False):
            prior = fit_density(z.clone(), config)
        seconds = time.perf_counter() - start
        rows += [comparison.table_row(kind, prior, noise_level, seconds) for noise_level in arguments.noise_levels]
    posterior = evaluator.codec.encode(test)
    latents = Posterior(sample_posterior(posterior), None, posterior.spherical)
    rows += [comparison.table_row("test molecules", latents, noise_level) for noise_level in arguments.noise_levels]
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU threads"
    lines = [
        *header("Unit Gaussian and learned priors", "torch", "rdkit", model=arguments.model, device=device),
        f"{arguments.samples:,} samples each at temperature {options.temperature:g}; priors fitted to "
        f"{arguments.molecules:,} encoded molecules of {arguments.train.name}; reference: {arguments.samples:,} "
        f"molecules of {arguments.test.name}.", "", *TABLE_HEAD, *rows, "",
    ]  # fmt: skip
    arguments.output.write_text("\n".join(lines), encoding="utf-8")


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path, help="training molecules of the model")
    parser.add_argument("test", type=Path, help="test molecules")
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--molecules", type=int, default=60_000, help="encoded molecules that the priors are fitted to")
    parser.add_argument("--samples", type=int, default=5_000, help="samples of each prior")
    parser.add_argument("--temperature", type=float, help="sampling temperature (default: that of the model)")
    parser.add_argument("--noise-levels", type=float, nargs="+", default=[0.8, 0.9])
    parser.add_argument("--output", type=Path, default=Path("benchmarks/priors.md"), help="result page (.md)")
    return parser.parse_args()


if __name__ == "__main__":
    main()
