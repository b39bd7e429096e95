"""The decode engine against the plainest loop that does the same, and against exact probabilities."""

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
from molvae.generation.engine import CPU_SLOTS, Engine
from molvae.generation.rng import normal, row_keys
from molvae.generation.token_sampling import GREEDY, SamplingOptions
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.config import ModelConfig


@pytest.fixture(params=["gru", "transformer"])
def parts(request, tiny_checkpoint, tiny_transformer):
    """A model with each decoder, and its settings and vocabulary."""
    if request.param == "gru":
        return tiny_checkpoint.model, tiny_checkpoint.config, tiny_checkpoint.vocabulary
    return tiny_transformer


def _latents(config, count):
    """Latents, the noise levels told, and keys: of every row its own, whatever the number of rows."""
    rows = torch.arange(count)
    return normal(row_keys(1, rows), config.latent_dim), (rows % 3) * 0.4, row_keys(2, rows)


def _decoded(parts, count, options, rows=slice(None), precision="32", **settings):
    model, config, vocabulary = parts
    z, noise_level, keys = _latents(config, count)
    engine = Engine(model.decoder, config.max_length, precision=precision, vocabulary=vocabulary, **settings)
    return engine.decode(z[rows], noise_level[rows], keys[rows], options)


@torch.inference_mode()
def _naive(model, z, noise_level, longest):
    """Greedy decoding of one latent, the whole prefix anew for every symbol."""
    symbols = [START_ID]
    while len(symbols) <= longest + 1 and symbols[-1] != END_ID:
        symbols.append(int(model.decoder(z[None], noise_level[None], torch.tensor([symbols]))[0, -1].argmax()))
    return symbols[1:]


def test_greedy_is_the_naive_loop(parts):
    model, config, _ = parts
    z, noise_level, _ = _latents(config, 12)
    symbols = _decoded(parts, 12, GREEDY).tokens
    for i in range(12):
        expected = _naive(model, z[i], noise_level[i], config.max_length)
        assert symbols[i, : len(expected)].tolist() == expected
        assert (symbols[i, len(expected) :] == PAD_ID).all()


@pytest.mark.parametrize(
    "options", [GREEDY, SamplingOptions(), SamplingOptions(temperature=0.5, top_k=3), SamplingOptions(grammar=True)]
)
def test_log_likelihood_is_the_models(parts, options):
    """Under the model itself, whatever the temperature and the cut."""
    model, config, _ = parts
    z, noise_level, _ = _latents(config, 40)
    decoded = _decoded(parts, 40, options)
    tokens = torch.from_numpy(decoded.tokens.astype(np.int64))
    ends = (tokens == END_ID).int().argmax(1)
    whole = torch.tensor([END_ID in row and PAD_ID not in row[:end] for row, end in zip(tokens, ends, strict=True)])
    with torch.inference_mode():
        expected = model.log_likelihood(z, noise_level, tokens)
    assert whole.sum() >= 5  # PAD within a string is no target of training, so the two could not agree on it
    np.testing.assert_allclose(decoded.log_likelihood[whole], expected[whole], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("precision", ["32", "bf16", "int8"])
@pytest.mark.parametrize("count", [0, 1, CPU_SLOTS, 300])
def test_every_row_in_its_order(parts, count, precision):
    """More rows than slots: strings that end early hand their slot on, and still stand in the order of the latents."""
    decoded = _decoded(parts, count, SamplingOptions(), precision=precision)
    assert decoded.tokens.shape == (count, parts[1].max_length + 1)
    assert decoded.log_likelihood.shape == (count,)
    assert len(decoded.to_smiles(parts[2])) == count
    for i in {0, 1, 150, count - 1} & set(range(count)):
        alone = _decoded(parts, count, SamplingOptions(), slice(i, i + 1), precision)
        assert alone.tokens[0].tolist() == decoded.tokens[i].tolist()
        np.testing.assert_allclose(alone.log_likelihood[0], decoded.log_likelihood[i], rtol=1e-4)


def test_strings_begin_as_they_are_told(parts):
    """And go on as the model has them after such a beginning; rows of which nothing is said are as ever."""
    model, config, _ = parts
    z, noise_level, keys = _latents(config, 200)
    free = _decoded(parts, 200, SamplingOptions())
    given = torch.from_numpy(free.tokens[:, :4].astype(np.int64)).roll(1, 0)
    given[given == END_ID] = PAD_ID  # a beginning is no end
    given[::2] = PAD_ID
    engine = Engine(model.decoder, config.max_length, precision="32")
    told = engine.decode(z, noise_level, keys, SamplingOptions(), forced_tokens=given)
    assert np.array_equal(told.tokens[::2], free.tokens[::2])
    where = given.numpy() != PAD_ID
    assert where.sum() > 100
    assert np.array_equal(told.tokens[:, :4][where], given.numpy()[where])
    tokens = torch.from_numpy(told.tokens.astype(np.int64))
    whole = torch.tensor([END_ID in row and PAD_ID not in row[: row.index(END_ID)] for row in tokens.tolist()])
    with torch.inference_mode():
        expected = model.log_likelihood(z, noise_level, tokens)
    np.testing.assert_allclose(told.log_likelihood[whole], expected[whole], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("options", [GREEDY, SamplingOptions(), SamplingOptions(grammar=True)])
def test_strings_leave_another_where_they_are_told(parts, options):
    """They are it up to there and differ there; greedily, they go on as the plain loop does."""
    model, config, vocabulary = parts
    z, noise_level, keys = _latents(config, 200)
    free = torch.from_numpy(_decoded(parts, 200, options).tokens.astype(np.int64))
    length = ((free == PAD_ID) | (free == END_ID)).int().argmax(1)
    end = (torch.arange(200) % 7).minimum(length - 1).clamp(min=0)[:, None]
    place = torch.arange(7)
    given = torch.where(place < end, free[:, :7], torch.where(place == end, -free[:, :7], PAD_ID))
    engine = Engine(model.decoder, config.max_length, precision="32", vocabulary=vocabulary)
    left = torch.from_numpy(engine.decode(z, noise_level, keys, options, forced_tokens=given).tokens.astype(np.int64))
    for i, place in enumerate(end[:, 0].tolist()):
        assert left[i, :place].tolist() == free[i, :place].tolist()
        assert left[i, place] not in (free[i, place], PAD_ID)
        if options is GREEDY and i < 20:
            begun = torch.tensor([[START_ID, *free[i, :place].tolist()]])
            with torch.no_grad():
                logits = model.decoder(z[i : i + 1], noise_level[i : i + 1], begun)[0, -1]
            logits[free[i, place]] = -torch.inf
            assert left[i, place] == logits.argmax()


@pytest.mark.parametrize("options", [{"temperature": 0.0}, {"temperature": 1.5}, {"temperature": 3.0, "top_k": 4}])
def test_with_the_grammar_every_string_that_ends_can_be_read(parts, options):
    """There are more strings than slots, so that slots begin anew; a string is the same alone."""
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
    assert all(ok for ok, end in zip(readable[1], ended, strict=True) if end)
    if options["temperature"]:
        assert sum(readable[0]) < 0.9 * sum(readable[1])
    alone = _decoded(parts, 400, SamplingOptions(**options, grammar=True), slice(390, 391))
    assert alone.tokens[0].tolist() == kept.tokens[390].tolist()


def test_with_the_grammar_a_string_without_fault_is_the_same(tiny_checkpoint):
    """And one with a fault is the same up to there: both are drawn with the same random numbers."""
    parts = (tiny_checkpoint.model, tiny_checkpoint.config, tiny_checkpoint.vocabulary)
    free = _decoded(parts, 300, GREEDY).tokens
    kept = _decoded(parts, 300, SamplingOptions(temperature=0.0, grammar=True)).tokens
    with silence_rdkit():
        fine = [Chem.MolFromSmiles(tiny_checkpoint.vocabulary.decode(row)) is not None for row in free]
    assert np.array_equal(free[fine], kept[fine])
    assert not np.array_equal(free, kept)


def test_the_grammar_needs_the_vocabulary(parts):
    model, config, _ = parts
    with pytest.raises(InputError, match="vocabulary"):
        Engine(model.decoder, config.max_length).decode(*_latents(config, 3), SamplingOptions(grammar=True))


def test_a_string_cut_at_the_longest_length_is_none(parts):
    model, config, vocabulary = parts
    z, noise_level, keys = _latents(config, 20)
    decoded = Engine(model.decoder, 3).decode(z, noise_level, keys, SamplingOptions(temperature=5.0))
    ended = (decoded.tokens == END_ID).any(1)
    assert decoded.tokens.shape == (20, 4)
    assert not ended.all()
    assert all(text == "" for text, done in zip(decoded.to_smiles(vocabulary), ended, strict=True) if not done)


@pytest.mark.parametrize("slots", [1, 3, 64])
def test_slots_do_not_show(parts, slots):
    """Not in 8 bits, whose products are exact: one slot writes what many write, refills and idle slots and all."""
    few = _decoded(parts, 40, SamplingOptions(), precision="int8", slots=slots)
    many = _decoded(parts, 40, SamplingOptions(), precision="int8")
    assert (few.tokens == many.tokens).mean() > 0.99  # what is not a product may differ in its last digit
    assert [len(row[row != PAD_ID]) for row in few.tokens[:5]] == [len(row[row != PAD_ID]) for row in many.tokens[:5]]


@pytest.mark.parametrize("options", [GREEDY, SamplingOptions(), SamplingOptions(grammar=True)])
@pytest.mark.parametrize("count", [2, 35, 400])
def test_threads_do_not_show(parts, set_threads, options, count):
    """Not to the last digit, in the order of the latents, with lanes that have a row more than others."""
    written = []
    for threads in (1, 2, 3):
        set_threads(threads)
        written.append(_decoded(parts, count, options, slots=16))
    for other in written[1:]:
        assert np.array_equal(written[0].tokens, other.tokens)
        assert np.array_equal(written[0].log_likelihood, other.log_likelihood)


def test_blocks_are_the_whole_in_order(parts, monkeypatch):
    """Also where the latents are more than may wait at once."""
    model, config, _ = parts
    monkeypatch.setattr("molvae.generation.engine.CPU_QUEUE", 150)
    z, noise_level, keys = _latents(config, 400)
    engine = Engine(model.decoder, config.max_length, precision="32", slots=16)
    blocks = list(engine.stream(z, noise_level, keys, SamplingOptions(), block=20))
    assert len(blocks) > 4
    whole = _decoded(parts, 400, SamplingOptions())
    assert np.array_equal(np.concatenate([b.tokens for b in blocks]), whole.tokens)
    np.testing.assert_allclose(np.concatenate([b.log_likelihood for b in blocks]), whole.log_likelihood)


def test_progress_counts_finished_strings(parts):
    model, config, _ = parts
    z, noise_level, keys = _latents(config, 2000)
    seen: list[int] = []
    engine = Engine(model.decoder, config.max_length, slots=16)
    engine.decode(z, noise_level, keys, SamplingOptions(temperature=0.8), seen.append)
    assert seen == sorted(seen)
    assert len(seen) > 1
    assert seen[-1] == 2000


@pytest.mark.parametrize("decoder", ["gru", "transformer"])
def test_strings_come_as_often_as_they_should(decoder):
    """All 85 strings of 5 symbols and length 3, from one latent: chi-square against their exact probabilities.

    False positive rate 1 in 10,000 if the seeds were random; they are fixed.
    """
    config = ModelConfig(
        5, encoder_dim=4, encoder_layers=1, encoder_heads=1, pooling_heads=1, latent_dim=3, decoder=decoder,
        decoder_dim=8, decoder_heads=2, embedding_dim=4, max_length=2,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(1)
        model = Autoencoder.from_config(config).eval()
        model.decoder.output.weight.data.mul_(4)  # far from uniform
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
    strings = set()
    for symbols in product(range(5), repeat=3):
        end = symbols.index(END_ID) + 1 if END_ID in symbols else 3
        strings.add(symbols[:end] + (PAD_ID,) * (3 - end))
    exact = {}
    for string in strings:
        total, prefix = 0.0, [START_ID]
        for symbol in string:
            with torch.inference_mode():
                total += float(model.decoder(z, noise_level, torch.tensor([prefix]))[0, -1].log_softmax(0)[symbol])
            prefix.append(symbol)
            if symbol == END_ID:
                break
        exact[string] = float(np.exp(total))
    return exact


def _chi_square(observed, exact, count) -> tuple[float, int]:
    """The statistic, strings expected fewer than 10 times pooled; and the number of cells."""
    rare = [s for s, p in exact.items() if p * count < 10]
    cells = [(observed[s], p * count) for s, p in exact.items() if p * count >= 10]
    if rare:
        cells.append((sum(observed[s] for s in rare), sum(exact[s] for s in rare) * count))
    return sum((o - e) ** 2 / e for o, e in cells), len(cells)


def _quantile(freedom: int, z: float) -> float:
    """Of chi-square, after Wilson and Hilferty 1931; z is the normal quantile."""
    return freedom * (1 - 2 / (9 * freedom) + z * (2 / (9 * freedom)) ** 0.5) ** 3
