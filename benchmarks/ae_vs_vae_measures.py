"""The questions of `ae_vs_vae.py`, one function each: a trained model in, figures out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression, RidgeCV
from sklearn.metrics import roc_auc_score, silhouette_score
from sklearn.model_selection import cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from molvae.chem.fingerprints import morgan, tanimoto
from molvae.chem.properties import compute_properties
from molvae.chem.smiles import canonical_or_none, parse
from molvae.chem.tokenizer import PAD_ID, Vocabulary
from molvae.data.graph_dataset import PackedGraphs
from molvae.generation.codec import Codec
from molvae.generation.rng import normal, row_keys
from molvae.generation.token_sampling import GREEDY, SamplingOptions
from molvae.metrics import fcd
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.latents import kl_divergence
from molvae.nn.priors import PriorConfig
from molvae.training.evaluation import Evaluator, canonical_smiles
from molvae.training.fit_prior import fit_density

RADII = (0.25, 0.5, 0.75)
PROBED = ("logp", "tpsa", "qed")
Figures = dict[str, float]


@dataclass(frozen=True)
class Counts:
    """How many molecules each question takes."""

    test: int = 1_000
    prior: int = 1_000
    seeds: int = 50
    pairs: int = 60
    draws: int = 10

    def scaled(self, factor: float) -> Counts:
        return Counts(**{f.name: max(4, int(factor * getattr(self, f.name))) for f in fields(self)})


@dataclass(frozen=True)
class Study:
    """The molecules: `odd` are of a kind that is not trained on, `other` of one that is."""

    train: PackedGraphs
    test: PackedGraphs
    odd: PackedGraphs
    other: PackedGraphs
    vocabulary: Vocabulary

    @cached_property
    def known(self) -> frozenset[str]:
        """What is trained on."""
        return frozenset(self.train.smiles(self.vocabulary))

    @cached_property
    def reference(self) -> fcd.ActivationStatistics:
        """What samples are compared with."""
        return fcd.activation_statistics(canonical_smiles(self.test, self.vocabulary))


@torch.inference_mode()
def measure(model: Autoencoder, study: Study, counts: Counts, max_length: int, *, noise_conditioned: bool) -> Figures:
    """All questions to one model."""
    evaluator = Evaluator(Codec(model.eval(), study.vocabulary, max_length, noise_conditioned=noise_conditioned))
    seeds = study.test.select(torch.arange(min(counts.seeds, len(study.test))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {
            **reconstruction(evaluator, study.test),
            **same_input_again(evaluator, seeds, counts.draws),
            **from_the_prior(evaluator, study, counts),
            **around(evaluator, seeds, counts.draws),
            **between(evaluator, study.test, counts.pairs),
            **classes(evaluator, study.odd, study.other),
            **probes(evaluator, study.test),
            **the_odd_ones(evaluator, study.test, study.odd),
        }


def reconstruction(evaluator: Evaluator, test: PackedGraphs) -> Figures:
    posterior, smiles = evaluator.codec.encode(test), canonical_smiles(test, evaluator.codec.vocabulary)
    drawn = evaluator.sample_posterior(test)
    return {
        "exact": float(evaluator.exact_reconstructions(test).mean()),
        "exact from a draw": float(np.mean([a == b for a, b in zip(drawn, smiles, strict=True)])),
        "KL": float(kl_divergence(posterior).mean()),
        "KL a dimension": float(kl_divergence(posterior).mean()) / posterior.mean.shape[1],
    }


def same_input_again(evaluator: Evaluator, seeds: PackedGraphs, draws: int) -> Figures:
    """N latents of one input, M strings of each: how many latents, and how many molecules, are distinct."""
    posterior = evaluator.codec.encode(seeds)
    keys = row_keys(0, torch.arange(len(seeds) * draws, device=posterior.mean.device))
    repeated = torch.arange(len(seeds), device=keys.device).repeat_interleave(draws)
    wide = type(posterior).concatenate([posterior.row(int(i)) for i in repeated])
    z = wide.sample(normal(keys, posterior.noise_dim))  # (seeds x draws) x D
    latents = [len(part.unique(dim=0)) for part in z.split(draws)]
    found = {"latents of N draws": float(np.mean(latents))}
    for name, n, m in (("1 x M", 1, draws), ("N x 1", draws, 1), ("N x M", draws, draws)):
        rows = z.view(len(seeds), draws, -1)[:, :n].repeat_interleave(m, 1).flatten(0, 1)
        strings = evaluator.decode(rows, 0.0, SamplingOptions(), random_state=n)
        groups = np.array(strings, dtype=object).reshape(len(seeds), n * m)
        distinct = [len({molecule for s in group if (molecule := canonical_or_none(s))}) for group in groups]
        found[f"molecules of {name}"] = float(np.mean(distinct))
    return found


def from_the_prior(evaluator: Evaluator, study: Study, counts: Counts) -> Figures:
    """Samples of the unit prior and of one fitted to the encoded training molecules."""
    rows = torch.arange(min(20_000, len(study.train)))
    posterior = evaluator.codec.encode(study.train.select(rows))
    z = posterior.sample(normal(row_keys(0, rows.to(posterior.mean.device)), posterior.noise_dim))
    unit = evaluator.codec.model.prior()
    noise_level = PriorConfig.noise_level if evaluator.codec.noise_conditioned else 0.0
    with torch.inference_mode(False):
        learned = fit_density(
            z.clone(), unit.config.replace(kind="mixture", noise_level=noise_level, components=min(16, len(z) // 8))
        )
    return {
        f"{name} {key}": value
        for name, prior in (("prior", unit), ("learned prior", learned))
        for key, value in samples(evaluator.sample_prior(counts.prior, prior=prior), study).items()
    }


def samples(molecules: list[str | None], study: Study) -> Figures:
    valid = [m for m in molecules if m]
    distinct = set(valid)
    read = [m for m in valid if canonical_or_none(m)]  # RDKit writes a string now and then that it does not read
    return {
        "valid": len(valid) / len(molecules),
        "unique": len(distinct) / max(1, len(valid)),
        "novel": len(distinct - study.known) / max(1, len(distinct)),
        "FCD": fcd.frechet_distance(fcd.activation_statistics(read), study.reference)
        if len(read) > 1
        else float("nan"),
    }


def around(evaluator: Evaluator, seeds: PackedGraphs, draws: int) -> Figures:
    """Holes: what share of the space around encoded molecules is valid, further and further out."""
    found = {}
    for noise_level in RADII:
        near = evaluator.neighborhood(seeds, noise_level, samples_per_seed=draws)
        found[f"valid at {noise_level}"] = near.valid
        found[f"distinct at {noise_level}"] = near.distinct
        found[f"similarity at {noise_level}"] = near.similarity
    return found


def between(evaluator: Evaluator, test: PackedGraphs, pairs: int, steps: int = 9) -> Figures:
    """Straight lines between molecules: what is valid on them, how small their steps are, how straight they go.

    Smoothness is the Tanimoto similarity of neighbors on the line, averaged; the order is the rank correlation of
    the place on the line with the similarity to its end less that to its beginning.
    """
    z, count = evaluator.codec.encode(test).mean, min(pairs, len(test) // 2)
    place = torch.linspace(0, 1, steps, device=z.device)[:, None]
    lines = torch.cat([torch.lerp(z[2 * i], z[2 * i + 1], place) for i in range(count)])
    molecules = [canonical_or_none(s) for s in evaluator.decode(lines, 0.0, GREEDY)]
    smooth, order = [], []
    for i in range(count):
        line = [(p, morgan(parse(m))) for p, m in enumerate(molecules[i * steps : (i + 1) * steps]) if m]
        prints = [fingerprint for _, fingerprint in line]
        if len(line) > 2:
            smooth += [float(tanimoto(a, [b])[0]) for a, b in pairwise(prints)]
            towards = tanimoto(prints[-1], prints) - tanimoto(prints[0], prints)
            order.append(rank_correlation(np.array([p for p, _ in line]), towards))
    inner = [m for p, m in enumerate(molecules) if 0 < p % steps < steps - 1]
    return {
        "valid between": float(np.mean([m is not None for m in inner])),
        "smoothness": float(np.mean(smooth)) if smooth else float("nan"),
        "order": float(np.nanmean(order)) if order else float("nan"),
    }


def classes(evaluator: Evaluator, one: PackedGraphs, other: PackedGraphs) -> Figures:
    """Two kinds of molecules: are they clusters, and can a plane tell them apart? 0.5 is chance for the last two."""
    size = min(len(one), len(other))
    parts = [latents(evaluator, part.select(torch.arange(size))) for part in (one, other)]
    z, label = np.concatenate(parts), np.repeat([0, 1], size)
    cluster = KMeans(2, n_init=5, random_state=0).fit_predict(z)
    agreement = float((cluster == label).mean())
    probe = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    return {
        "silhouette": float(silhouette_score(z, label)),
        "purity": max(agreement, 1 - agreement),
        "class AUC": float(cross_val_score(probe, *shuffled(z, label), cv=3, scoring="roc_auc").mean()),
    }


def probes(evaluator: Evaluator, test: PackedGraphs) -> Figures:
    """R2, cross-validated, of properties read off the latents by a plane."""
    z, mols = latents(evaluator, test), [parse(s) for s in canonical_smiles(test, evaluator.codec.vocabulary)]
    known = compute_properties(mols, PROBED)
    probe = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 7)))
    return {f"R2 {name}": float(cross_val_score(probe, z, known[name], cv=3).mean()) for name in PROBED}


def the_odd_ones(evaluator: Evaluator, test: PackedGraphs, odd: PackedGraphs) -> Figures:
    """Molecules of a kind not trained on, told from test molecules by how badly they are reconstructed."""
    score = np.concatenate([log_likelihood(evaluator, part) for part in (test, odd)])
    label = np.repeat([0, 1], [len(test), len(odd)])
    return {"anomaly AUC": float(roc_auc_score(label, -score))}


def log_likelihood(evaluator: Evaluator, data: PackedGraphs) -> NDArray[np.float64]:
    """Nats a symbol, from the posterior's mean."""
    device, parts = next(evaluator.codec.model.parameters()).device, []
    for rows in torch.arange(len(data)).split(256):
        batch = data.gather(rows).to(device)
        clean = torch.zeros(batch.size, device=device)
        score = evaluator.codec.model.log_likelihood(evaluator.codec.model.encode(batch).mean, clean, batch.tokens)
        parts.append((score / (batch.tokens != PAD_ID).sum(1)).cpu().double().numpy())
    return np.concatenate(parts)


def latents(evaluator: Evaluator, data: PackedGraphs) -> NDArray[np.float64]:
    return evaluator.codec.encode(data).mean.cpu().double().numpy()


def shuffled(z: NDArray[np.float64], label: NDArray[np.int64]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    order = np.random.default_rng(0).permutation(len(z))
    return z[order], label[order]


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    from scipy.stats import spearmanr

    return float(spearmanr(a, b).statistic) if np.ptp(b) else float("nan")
