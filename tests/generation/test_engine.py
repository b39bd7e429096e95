"""The decoding engine against a plain decoding loop, and against exact probabilities."""

from __future__ import annotations

from collections import Counter
from itertools import product

import numpy as np
import pytest
import torch
from rdkit import Chem

from molvae.chem.smiles import silence_rdkit
from molvae.chem.tokenizer import END_ID, PAD_ID, START_ID
from molvae.errors import InputError
from molvae.generation import engine as engine_module
from molvae.generation.engine import CPU_SLOTS, Engine
from molvae.generation.rng import normal, row_keys
from molvae.generation.token_sampling import GREEDY, SamplingOptions
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.config import ModelConfig


@pytest.fixture(params=["gru", "transformer"])
def parts(request, tiny_checkpoint, tiny_transformer):
    """A model with each kind of decoder, its config and vocabulary."""
    if request.param == "gru":
        return tiny_checkpoint.model, tiny_checkpoint.config, tiny_checkpoint.vocabulary
    return tiny_transformer


def _latents(config, count):
    """Latents, noise levels and keys of rows; those of a row do not depend on the number of rows."""
    rows = torch.arange(count)
    return normal(row_keys(1, rows), config.latent_dim), (rows % 3) * 0.4, row_keys(2, rows)


def _decoded(parts, count, options, rows=slice(None), precision="32", **settings):
    model, config, vocabulary = parts
    z, noise_level, keys = _latents(config, count)
    engine = Engine(model.decoder, config.max_length, precision=precision, vocabulary=vocabulary, **settings)
    return engine.decode(z[rows], noise_level[rows], keys[rows], options)


@torch.inference_mode()
def _plain_loop(model, z, noise_level, max_length):
    """Greedy decoding of one latent; the decoder is run on the complete prefix for each token."""
    tokens = [START_ID]
    while len(tokens) <= max_length + 1 and tokens[-1] != END_ID:
        tokens.append(int(model.decoder(z[None], noise_level[None], torch.tensor([tokens]))[0, -1].argmax()))
    return tokens[1:]


def test_greedy_decoding_equals_plain_loop(parts):
    model, config, _ = parts
    z, noise_level, _ = _latents(config, 12)
    tokens = _decoded(parts, 12, GREEDY).tokens
    for i in range(12):
        expected = _plain_loop(model, z[i], noise_level[i], config.max_length)
        assert tokens[i, : len(expected)].tolist() == expected
        assert (tokens[i, len(expected) :] == PAD_ID).all()


@pytest.mark.parametrize(
    "options", [GREEDY, SamplingOptions(), SamplingOptions(temperature=0.5, top_k=3), SamplingOptions(grammar=True)]
)
def test_log_likelihood_is_that_of_the_model(parts, options):
    """At temperature 1 without truncation, whatever the sampling options."""
    model, config, _ = parts
    z, noise_level, _ = _latents(config, 40)
    decoded = _decoded(parts, 40, options)
    tokens = torch.from_numpy(decoded.tokens.astype(np.int64))
    ends = (tokens == END_ID).int().argmax(1)
    complete = torch.tensor([END_ID in row and PAD_ID not in row[:end] for row, end in zip(tokens, ends, strict=True)])
    with torch.inference_mode():
        expected = model.log_likelihood(z, noise_level, tokens)
    assert complete.sum() >= 5  # training ignores PAD within a sample, so that the two would differ
    np.testing.assert_allclose(decoded.log_likelihood[complete], expected[complete], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("precision", ["32", "bf16", "int8"])
@pytest.mark.parametrize("count", [0, 1, CPU_SLOTS, 300])
def test_order_of_rows_and_independence_of_the_batch(parts, count, precision):
    """Also with more rows than slots, when slots are refilled in the order in which samples end."""
    decoded = _decoded(parts, count, SamplingOptions(), precision=precision)
    assert decoded.tokens.shape == (count, parts[1].max_length + 1)
    assert decoded.log_likelihood.shape == (count,)
    assert len(decoded.to_smiles(parts[2])) == count
    for i in {0, 1, 150, count - 1} & set(range(count)):
        alone = _decoded(parts, count, SamplingOptions(), slice(i, i + 1), precision)
        assert alone.tokens[0].tolist() == decoded.tokens[i].tolist()
        np.testing.assert_allclose(alone.log_likelihood[0], decoded.log_likelihood[i], rtol=1e-4)


def test_forced_tokens(parts):
    """Samples have them, and continue as the model does after them; rows without forced tokens do not change."""
    model, config, _ = parts
    z, noise_level, keys = _latents(config, 200)
    free = _decoded(parts, 200, SamplingOptions())
    forced = torch.from_numpy(free.tokens[:, :4].astype(np.int64)).roll(1, 0)
    forced[forced == END_ID] = PAD_ID
    forced[::2] = PAD_ID
    engine = Engine(model.decoder, config.max_length, precision="32")
    constrained = engine.decode(z, noise_level, keys, SamplingOptions(), forced_tokens=forced)
    assert np.array_equal(constrained.tokens[::2], free.tokens[::2])
    where = forced.numpy() != PAD_ID
    assert where.sum() > 100
    assert np.array_equal(constrained.tokens[:, :4][where], forced.numpy()[where])
    tokens = torch.from_numpy(constrained.tokens.astype(np.int64))
    complete = torch.tensor([END_ID in row and PAD_ID not in row[: row.index(END_ID)] for row in tokens.tolist()])
    with torch.inference_mode():
        expected = model.log_likelihood(z, noise_level, tokens)
    np.testing.assert_allclose(constrained.log_likelihood[complete], expected[complete], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("options", [GREEDY, SamplingOptions(), SamplingOptions(grammar=True)])
def test_banned_tokens(parts, options):
    """Samples equal the unconstrained ones up to a position, and differ there; greedy ones continue as a plain loop."""
    model, config, vocabulary = parts
    z, noise_level, keys = _latents(config, 200)
    free = torch.from_numpy(_decoded(parts, 200, options).tokens.astype(np.int64))
    length = ((free == PAD_ID) | (free == END_ID)).int().argmax(1)
    end = (torch.arange(200) % 7).minimum(length - 1).clamp(min=0)[:, None]
    position = torch.arange(7)
    forced = torch.where(position < end, free[:, :7], torch.where(position == end, -free[:, :7], PAD_ID))
    engine = Engine(model.decoder, config.max_length, precision="32", vocabulary=vocabulary)
    decoded_tokens = torch.from_numpy(
        engine.decode(z, noise_level, keys, options, forced_tokens=forced).tokens.astype(np.int64)
    )
    for i, position in enumerate(end[:, 0].tolist()):
        assert decoded_tokens[i, :position].tolist() == free[i, :position].tolist()
        assert decoded_tokens[i, position] not in (free[i, position], PAD_ID)
        if options is GREEDY and i < 20:
            prefix_tokens = torch.tensor([[START_ID, *free[i, :position].tolist()]])
            with torch.no_grad():
                logits = model.decoder(z[i : i + 1], noise_level[i : i + 1], prefix_tokens)[0, -1]
            logits[free[i, position]] = -torch.inf
            assert decoded_tokens[i, position] == logits.argmax()


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": 1.5}, {"temperature": 3.0, "top_k": 4}])
def test_grammar_gives_valid_syntax(parts, options):
    """Also after refills, as there are more samples than slots; a sample is the same alone."""
    free = _decoded(parts, 400, SamplingOptions(**options))
    kept = _decoded(parts, 400, SamplingOptions(**options, grammar=True), slots=CPU_SLOTS)
    with silence_rdkit():
        readable = [
            [
                Chem.MolFromSmiles(text, sanitize=False) is not None and text != ""
                for text in decoded.to_smiles(parts[2])
            ]
            for decoded in (free, kept)
        ]
    ended = (kept.tokens == END_ID).any(1)
    assert ended.sum() > 20
    assert all(is_readable for is_readable, end in zip(readable[1], ended, strict=True) if end)
    if options["temperature"]:
        assert sum(readable[0]) < 0.9 * sum(readable[1])
    alone = _decoded(parts, 400, SamplingOptions(**options, grammar=True), slice(390, 391))
    assert alone.tokens[0].tolist() == kept.tokens[390].tolist()


def test_grammar_does_not_change_valid_samples(tiny_checkpoint):
    """Both are sampled with the same random numbers."""
    parts = (tiny_checkpoint.model, tiny_checkpoint.config, tiny_checkpoint.vocabulary)
    free = _decoded(parts, 300, GREEDY).tokens
    kept = _decoded(parts, 300, SamplingOptions(temperature=0.0, grammar=True)).tokens
    with silence_rdkit():
        is_valid = [Chem.MolFromSmiles(tiny_checkpoint.vocabulary.decode(row)) is not None for row in free]
    assert np.array_equal(free[is_valid], kept[is_valid])
    assert not np.array_equal(free, kept)


def test_grammar_without_vocabulary_is_an_error(parts):
    model, config, _ = parts
    with pytest.raises(InputError, match="vocabulary"):
        Engine(model.decoder, config.max_length).decode(*_latents(config, 3), SamplingOptions(grammar=True))


def test_truncated_samples_have_no_smiles(parts):
    model, config, vocabulary = parts
    z, noise_level, keys = _latents(config, 20)
    decoded = Engine(model.decoder, 3).decode(z, noise_level, keys, SamplingOptions(temperature=5.0))
    ended = (decoded.tokens == END_ID).any(1)
    assert decoded.tokens.shape == (20, 4)
    assert not ended.all()
    assert all(text == "" for text, done in zip(decoded.to_smiles(vocabulary), ended, strict=True) if not done)


@pytest.mark.parametrize("slots", [1, 3, 64])
def test_number_of_slots_does_not_change_samples(parts, slots):
    """In 8 bits, whose products are exact, including refills and idle slots."""
    few = _decoded(parts, 40, SamplingOptions(), precision="int8", slots=slots)
    many = _decoded(parts, 40, SamplingOptions(), precision="int8")
    assert (few.tokens == many.tokens).mean() > 0.99  # other operations may differ in the last digit
    assert [len(row[row != PAD_ID]) for row in few.tokens[:5]] == [len(row[row != PAD_ID]) for row in many.tokens[:5]]


@pytest.mark.parametrize("options", [GREEDY, SamplingOptions(), SamplingOptions(grammar=True)])
@pytest.mark.parametrize("count", [2, 35, 400])
def test_number_of_threads_does_not_change_samples(parts, set_threads, options, count):
    """Bit for bit, also if threads have different numbers of rows."""
    written = []
    for threads in (1, 2, 3):
        set_threads(threads)
        written.append(_decoded(parts, count, options, slots=16))
    for other in written[1:]:
        assert np.array_equal(written[0].tokens, other.tokens)
        assert np.array_equal(written[0].log_likelihood, other.log_likelihood)


def test_stream_in_blocks(parts, monkeypatch):
    """Also with more latents than the queue holds."""
    model, config, _ = parts
    monkeypatch.setattr(engine_module, "CPU_QUEUE", 150)
    z, noise_level, keys = _latents(config, 400)
    engine = Engine(model.decoder, config.max_length, precision="32", slots=16)
    blocks = list(engine.stream(z, noise_level, keys, SamplingOptions(), block=20))
    assert len(blocks) > 4
    complete = _decoded(parts, 400, SamplingOptions())
    assert np.array_equal(np.concatenate([b.tokens for b in blocks]), complete.tokens)
    np.testing.assert_allclose(np.concatenate([b.log_likelihood for b in blocks]), complete.log_likelihood)


def test_progress_counts_finished_samples(parts):
    model, config, _ = parts
    z, noise_level, keys = _latents(config, 2000)
    seen: list[int] = []
    engine = Engine(model.decoder, config.max_length, slots=16)
    engine.decode(z, noise_level, keys, SamplingOptions(temperature=0.8), seen.append)
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert seen[-1] == 2000


@pytest.mark.parametrize("decoder", ["gru", "transformer"])
def test_frequencies_equal_exact_probabilities(decoder):
    """Chi-square test of all 85 sequences of 5 tokens and length 3 from one latent; the false positive rate is 1e-4."""
    config = ModelConfig(
        5, encoder_dim=4, encoder_layers=1, encoder_heads=1, pooling_heads=1, latent_dim=3, decoder=decoder,
        decoder_dim=8, decoder_heads=2, embedding_dim=4, max_length=2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Autoencoder.from_config(config).eval()
        model.decoder.output.weight.data.mul_(4)  # make the distribution less uniform
    count = 20_000
    z, noise_level = torch.tensor([[0.3, -1.0, 0.8]]), torch.tensor([0.25])
    engine = Engine(model.decoder, 2, precision="32")
    decoded = engine.decode(
        z.expand(count, -1), noise_level.expand(count), row_keys(9, torch.arange(count)), SamplingOptions()
    )
    exact = _probabilities(model, z, noise_level)
    observed = Counter(tuple(row) for row in decoded.tokens.tolist())
    assert set(observed) <= set(exact)
    assert sum(exact.values()) == pytest.approx(1, abs=1e-5)
    statistic, cells = _chi_square(observed, exact, count)
    assert statistic < _quantile(cells - 1, 3.719)


def _probabilities(model, z, noise_level) -> dict[tuple[int, ...], float]:
    sequences = set()
    for tokens in product(range(5), repeat=3):
        end = tokens.index(END_ID) + 1 if END_ID in tokens else 3
        sequences.add(tokens[:end] + (PAD_ID,) * (3 - end))
    exact = {}
    for sequence in sequences:
        total, prefix = 0.0, [START_ID]
        for token in sequence:
            with torch.inference_mode():
                total += float(model.decoder(z, noise_level, torch.tensor([prefix]))[0, -1].log_softmax(0)[token])
            prefix.append(token)
            if token == END_ID:
                break
        exact[sequence] = float(np.exp(total))
    return exact


def _chi_square(observed, exact, count) -> tuple[float, int]:
    """The statistic, with sequences expected less than 10 times pooled, and the number of cells."""
    rare = [s for s, p in exact.items() if p * count < 10]
    cells = [(observed[s], p * count) for s, p in exact.items() if p * count >= 10]
    if rare:
        cells.append((sum(observed[s] for s in rare), sum(exact[s] for s in rare) * count))
    return sum((o - e) ** 2 / e for o, e in cells), len(cells)


def _quantile(freedom: int, z: float) -> float:
    """Quantile of chi-square (Wilson and Hilferty 1931); z is the normal quantile."""
    return freedom * (1 - 2 / (9 * freedom) + z * (2 / (9 * freedom)) ** 0.5) ** 3
