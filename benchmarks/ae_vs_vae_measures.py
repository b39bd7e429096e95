"""Metrics of `ae_vs_vae.py`: a trained model in, numbers out."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, fields
from functools import cached_property
from itertools import pairwise

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.stats import spearmanr
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

NOISE_LEVELS = (0.25, 0.5, 0.75)
PREDICTED_PROPERTIES = ("logp", "tpsa", "qed")
N_PRIOR_FIT = 20_000
LINE_POINTS = 9
Metrics = dict[str, float]


@dataclass(frozen=True)
class Counts:
    """Numbers of molecules: test molecules, prior samples, seeds, pairs of molecules, samples per seed."""

    test: int = 1_000
    prior: int = 1_000
    seeds: int = 50
    pairs: int = 60
    samples_per_seed: int = 10

    def scaled(self, factor: float) -> Counts:
        """All numbers multiplied by a factor, but at least 4."""
        return Counts(**{f.name: max(4, int(factor * getattr(self, f.name))) for f in fields(self)})


@dataclass(frozen=True)
class StudyData:
    """The molecules: `held_out_class` is not part of the training data, `known_class` is."""

    train: PackedGraphs
    test: PackedGraphs
    held_out_class: PackedGraphs
    known_class: PackedGraphs
    vocabulary: Vocabulary

    @cached_property
    def train_smiles(self) -> frozenset[str]:
        return frozenset(self.train.smiles(self.vocabulary))

    @cached_property
    def fcd_reference(self) -> fcd.ActivationStatistics:
        """ChemNet activations of the test molecules."""
        return fcd.activation_statistics(canonical_smiles(self.test, self.vocabulary))


@torch.inference_mode()
def measure(
    model: Autoencoder, data: StudyData, counts: Counts, max_length: int, *, noise_conditioned: bool
) -> Metrics:
    """All metrics of a model."""
    evaluator = Evaluator(Codec(model.eval(), data.vocabulary, max_length, noise_conditioned=noise_conditioned))
    seeds = data.test.select(torch.arange(min(counts.seeds, len(data.test))))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        return {
            **reconstruction(evaluator, data.test),
            **repeated_sampling(evaluator, seeds, counts.samples_per_seed),
            **prior_samples(evaluator, data, counts),
            **neighborhoods(evaluator, seeds, counts.samples_per_seed),
            **interpolation(evaluator, data.test, counts.pairs),
            **class_separation(evaluator, data.held_out_class, data.known_class),
            **property_prediction(evaluator, data.test),
            **anomaly_detection(evaluator, data.test, data.held_out_class),
        }


def reconstruction(evaluator: Evaluator, test: PackedGraphs) -> Metrics:
    """Exact reconstruction from the posterior mean and from a posterior sample with sampled tokens; KL divergence."""
    posterior, smiles = evaluator.codec.encode(test), canonical_smiles(test, evaluator.codec.vocabulary)
    samples = evaluator.sample_posterior(test)
    return {
        "exact": float(evaluator.exact_reconstructions(test).mean()),
        "exact, sampled": float(np.mean([a == b for a, b in zip(samples, smiles, strict=True)])),
        "KL": float(kl_divergence(posterior).mean()),
        "KL per dimension": float(kl_divergence(posterior).mean()) / posterior.mean.shape[1],
    }


def repeated_sampling(evaluator: Evaluator, seeds: PackedGraphs, n: int) -> Metrics:
    """Unique latents among N samples of the posterior; unique molecules of N latents with M samples each."""
    posterior = evaluator.codec.encode(seeds)
    keys = row_keys(0, torch.arange(len(seeds) * n, device=posterior.mean.device))
    repeated = torch.arange(len(seeds), device=keys.device).repeat_interleave(n)
    posteriors = type(posterior).concatenate([posterior.row(int(i)) for i in repeated])
    z = posteriors.sample(normal(keys, posterior.noise_dim))  # (seeds * n, D)
    metrics = {"latents of N samples": float(np.mean([len(part.unique(dim=0)) for part in z.split(n)]))}
    for name, n_latents, n_samples in (("1 x M", 1, n), ("N x 1", n, 1), ("N x M", n, n)):
        rows = z.view(len(seeds), n, -1)[:, :n_latents].repeat_interleave(n_samples, 1).flatten(0, 1)
        samples = evaluator.decode(rows, 0.0, SamplingOptions(), random_state=n_latents)
        groups = np.array(samples, dtype=object).reshape(len(seeds), n_latents * n_samples)
        unique = [len({smiles for s in group if (smiles := canonical_or_none(s))}) for group in groups]
        metrics[f"molecules, {name}"] = float(np.mean(unique))
    return metrics


def prior_samples(evaluator: Evaluator, data: StudyData, counts: Counts) -> Metrics:
    """Samples of the unit Gaussian, and of a mixture of Gaussians fitted to the encoded training molecules."""
    rows = torch.arange(min(N_PRIOR_FIT, len(data.train)))
    posterior = evaluator.codec.encode(data.train.select(rows))
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
        for key, value in sample_metrics(evaluator.sample_prior(counts.prior, prior=prior), data).items()
    }


def sample_metrics(samples: list[str | None], data: StudyData) -> Metrics:
    """Validity, uniqueness, novelty and FCD of samples (canonical SMILES, None where invalid)."""
    valid = [smiles for smiles in samples if smiles]
    unique = set(valid)
    readable = [smiles for smiles in valid if canonical_or_none(smiles)]  # RDKit rarely writes an invalid SMILES
    distance = float("nan")
    if len(readable) > 1:
        distance = fcd.frechet_distance(fcd.activation_statistics(readable), data.fcd_reference)
    return {
        "valid": len(valid) / len(samples),
        "unique": len(unique) / max(1, len(valid)),
        "novel": len(unique - data.train_smiles) / max(1, len(unique)),
        "FCD": distance,
    }


def neighborhoods(evaluator: Evaluator, seeds: PackedGraphs, samples_per_seed: int) -> Metrics:
    """Validity, unique molecules and similarity of greedily decoded latents around molecules, by noise level."""
    metrics = {}
    for noise_level in NOISE_LEVELS:
        result = evaluator.neighborhood(seeds, noise_level, samples_per_seed=samples_per_seed)
        metrics[f"valid at {noise_level}"] = result.valid
        metrics[f"unique at {noise_level}"] = result.distinct
        metrics[f"similarity at {noise_level}"] = result.similarity
    return metrics


def interpolation(evaluator: Evaluator, test: PackedGraphs, n_pairs: int, n_points: int = LINE_POINTS) -> Metrics:
    """Straight lines between the latents of molecules: validity, smoothness and monotonicity.

    Smoothness is the mean Tanimoto similarity of neighbors on the line. Monotonicity is the rank correlation of the
    position on the line with the similarity to its end minus that to its start.
    """
    z, n_lines = evaluator.codec.encode(test).mean, min(n_pairs, len(test) // 2)
    weights = torch.linspace(0, 1, n_points, device=z.device)[:, None]
    points = torch.cat([torch.lerp(z[2 * i], z[2 * i + 1], weights) for i in range(n_lines)])
    molecules = [canonical_or_none(s) for s in evaluator.decode(points, 0.0, GREEDY)]
    similarities, correlations = [], []
    for i in range(n_lines):
        line = [(p, morgan(parse(m))) for p, m in enumerate(molecules[i * n_points : (i + 1) * n_points]) if m]
        fingerprints = [fingerprint for _, fingerprint in line]
        if len(line) > 2:
            similarities += [float(tanimoto(a, [b])[0]) for a, b in pairwise(fingerprints)]
            progress = tanimoto(fingerprints[-1], fingerprints) - tanimoto(fingerprints[0], fingerprints)
            correlations.append(rank_correlation(np.array([p for p, _ in line]), progress))
    inner = [m for p, m in enumerate(molecules) if 0 < p % n_points < n_points - 1]
    return {
        "interpolation valid": float(np.mean([m is not None for m in inner])),
        "smoothness": float(np.mean(similarities)) if similarities else float("nan"),
        "monotonicity": float(np.nanmean(correlations)) if correlations else float("nan"),
    }


def class_separation(evaluator: Evaluator, a: PackedGraphs, b: PackedGraphs) -> Metrics:
    """Two classes of molecules in latent space: silhouette, k-means purity and AUC of a linear classifier.

    Chance level is 0.5 for the last two.
    """
    size = min(len(a), len(b))
    z = np.concatenate([latent_means(evaluator, part.select(torch.arange(size))) for part in (a, b)])
    labels = np.repeat([0, 1], size)
    clusters = KMeans(2, n_init=5, random_state=0).fit_predict(z)
    agreement = float((clusters == labels).mean())
    classifier = make_pipeline(StandardScaler(), LogisticRegression(max_iter=300))
    order = np.random.default_rng(0).permutation(len(z))
    return {
        "silhouette": float(silhouette_score(z, labels)),
        "purity": max(agreement, 1 - agreement),
        "class AUC": float(cross_val_score(classifier, z[order], labels[order], cv=3, scoring="roc_auc").mean()),
    }


def property_prediction(evaluator: Evaluator, test: PackedGraphs) -> Metrics:
    """Cross-validated R2 of ridge regression of properties on latents."""
    mols = [parse(s) for s in canonical_smiles(test, evaluator.codec.vocabulary)]
    z, properties = latent_means(evaluator, test), compute_properties(mols, PREDICTED_PROPERTIES)
    model = make_pipeline(StandardScaler(), RidgeCV(np.logspace(-2, 4, 7)))
    return {
        f"R2 {name}": float(cross_val_score(model, z, properties[name], cv=3).mean()) for name in PREDICTED_PROPERTIES
    }


def anomaly_detection(evaluator: Evaluator, test: PackedGraphs, anomalies: PackedGraphs) -> Metrics:
    """AUC of the log-likelihood for molecules of a class that is not in the training data."""
    scores = np.concatenate([log_likelihood_per_token(evaluator, part) for part in (test, anomalies)])
    labels = np.repeat([0, 1], [len(test), len(anomalies)])
    return {"anomaly AUC": float(roc_auc_score(labels, -scores))}


def log_likelihood_per_token(evaluator: Evaluator, data: PackedGraphs) -> NDArray[np.float64]:
    """Log-likelihood per token in nats, given the mean of the posterior, shape (N,)."""
    model, parts = evaluator.codec.model, []
    for rows in torch.arange(len(data)).split(256):
        batch = data.gather(rows).to(evaluator.codec.device)
        no_noise = torch.zeros(batch.size, device=evaluator.codec.device)
        log_likelihood = model.log_likelihood(model.encode(batch).mean, no_noise, batch.tokens)
        parts.append((log_likelihood / (batch.tokens != PAD_ID).sum(1)).cpu().double().numpy())
    return np.concatenate(parts)


def latent_means(evaluator: Evaluator, data: PackedGraphs) -> NDArray[np.float64]:
    """Means of the posterior, shape (N, D)."""
    return evaluator.codec.encode(data).mean.cpu().double().numpy()


def rank_correlation(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Spearman's rank correlation; NaN if b is constant."""
    return float(spearmanr(a, b).statistic) if np.ptp(b) else float("nan")
