"""Does a learned prior close the prior gap? Samples of the unit Gaussian and of learned priors, side by side.

    python benchmarks/priors.py druglike_train.smi.gz druglike_test.smi.gz --out benchmarks/priors.md

Fits each kind to encoded molecules of the first file; samples of all are written at one temperature and compared with
the second. A draw is moved by a noise level of which the decoder is told: 0 takes the learned density at its word, 1 is the
unit Gaussian. `test molecules` are latents of real ones, moved alike: what a perfect density would give.
"""

from __future__ import annotations

import argparse
import platform
import time
from dataclasses import dataclass
from pathlib import Path

import torch
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

HEADER = (
    "| latents from | noise level | valid | unique of valid | FCD to test | seconds to fit |\n|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Bench:
    """What all samples have in common."""

    evaluator: Evaluator
    reference: fcd.ActivationStatistics
    options: SamplingOptions
    samples: int

    def row(self, name: str, source: LatentDistribution, noise_level: float, fitted: float | None = None) -> str:
        """A line of the table."""
        keys = row_keys(1, torch.arange(self.samples, device=source.device))
        z = source.sample(normal(keys, source.noise_dim))
        z = source.perturb(z, noise_level, normal(keys, z.shape[1], stream=1))
        valid = [
            m
            for s in self.evaluator.decode(z, noise_level, self.options, random_state=1)
            if (m := canonical_or_none(s))
        ]
        read = [m for m in valid if canonical_or_none(m)]  # RDKit writes a string now and then that it does not read
        apart = fcd.frechet_distance(fcd.activation_statistics(read), self.reference)
        share, unique = len(valid) / self.samples, len(set(valid)) / max(1, len(valid))
        time_taken = "" if fitted is None else f"{fitted:.0f}"
        line = f"| {name} | {noise_level:g} | {share:.3f} | {unique:.4f} | {apart:.2f} | {time_taken} |"
        print(line, flush=True)
        return line


@torch.inference_mode()
def main() -> None:
    arguments = _arguments()
    checkpoint = checkpoints.load(arguments.model, "cuda" if torch.cuda.is_available() else "cpu")
    most = checkpoint.config.max_length
    evaluator = Evaluator(Codec.from_checkpoint(checkpoint))

    def packed(path: Path, count: int) -> PackedGraphs:
        return pack(
            sample_rows([MoleculeSource(path)], count, random_state=0),
            vocabulary=checkpoint.vocabulary,
            max_length=most,
        )[0]

    test = packed(arguments.test, arguments.samples)
    heat = SamplingOptions(checkpoint.defaults.temperature if arguments.temperature is None else arguments.temperature)
    bench = Bench(
        evaluator, fcd.activation_statistics(canonical_smiles(test, checkpoint.vocabulary)), heat, arguments.samples
    )
    lines = [HEADER, bench.row("unit prior", checkpoint.model.prior(), 1.0)]
    z = draws(evaluator.codec.encode(packed(arguments.train, arguments.molecules)))
    for kind in PRIORS:
        begin = time.perf_counter()
        with torch.inference_mode(False):
            prior = fit_density(
                z.clone(), checkpoint.model.prior().config.replace(kind=kind, noise_level=PriorConfig.noise_level)
            )
        fitted = time.perf_counter() - begin
        lines += [bench.row(kind, prior, noise_level, fitted) for noise_level in arguments.noise_levels]
    real = evaluator.codec.encode(test)
    lines += [
        bench.row("test molecules", Posterior(draws(real), None, real.spherical), r) for r in arguments.noise_levels
    ]
    arguments.out.write_text(page(arguments, checkpoint.name, heat, lines), encoding="utf-8")


def draws(posterior: Posterior) -> Tensor:
    """A latent of each molecule, M x D."""
    keys = row_keys(0, torch.arange(len(posterior.mean), device=posterior.device))
    return posterior.sample(normal(keys, posterior.noise_dim))


def page(arguments: argparse.Namespace, model: str, heat: SamplingOptions, lines: list[str]) -> str:
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"{torch.get_num_threads()} CPU thread(s)"
    return (
        f"# Priors of `{model}`\n\n{arguments.samples:,} samples each at temperature {heat.temperature:g}; priors "
        f"fitted to {arguments.molecules:,} encoded molecules of {arguments.train.name}; reference "
        f"{arguments.samples:,} molecules of {arguments.test.name}. {device}, {platform.machine()}.\n\n"
        + "\n".join(lines)
        + "\n"
    )


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path, help="molecules that the model was trained on")
    parser.add_argument("test", type=Path, help="molecules that it was not")
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--molecules", type=int, default=60_000, help="to fit to")
    parser.add_argument("--samples", type=int, default=5_000)
    parser.add_argument("--temperature", type=float, help="of the symbols; by default the model's own")
    parser.add_argument("--noise levels", type=float, nargs="+", default=[0.8, 0.9])
    parser.add_argument("--out", type=Path, default=Path("benchmarks/priors.md"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
