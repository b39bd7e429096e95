"""Decoding alone: the engine compared with its own matrix products, with a PyTorch loop, and with MOSES's CharRNN.

All functions run in turn on the same latents. Results are rows with the median time of the rounds.
"""

from __future__ import annotations

import importlib.util
import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from molvae import Generator
from molvae.chem.smiles import canonical
from molvae.chem.tokenizer import END_ID, PAD_ID, START_ID
from molvae.generation.continuous_batching import capture_cuda_graph
from molvae.generation.engine import Engine
from molvae.generation.rng import normal, row_keys
from molvae.generation.token_sampling import GREEDY, SamplingOptions
from molvae.nn.decoders import GRUDecoder, TransformerDecoder
from molvae.nn.devices import TorchThreadPool
from molvae.nn.incremental_decoding import incremental_decoder
from molvae.nn.latents import perturb

NOISE_LEVEL, TEMPERATURE = 0.35, 0.7
PRECISIONS = ("32", "bf16", "int8")
ENGINE, PRODUCTS, PRODUCTS_WITHOUT_INPUT, LOOP = (
    "engine", "all matrix products", "matrix products without input layer", "PyTorch loop"
)  # fmt: skip
CPU_LOOP_BATCH, GPU_LOOP_BATCH = 256, 4096
CHARRNN_BATCHES = (32, 512)
"""The default of MOSES's sampling script, and a faster one."""
STEPS_PER_GRAPH = 16  # matrix products of so many steps are launched together on a GPU
N_SCORED = 300  # samples whose token probabilities are compared between precisions

Latents = tuple[Tensor, Tensor, Tensor]
"""z, shape (N, D); noise level, shape (N,); keys of the random numbers, shape (N,)."""
Function = Callable[[], tuple[int, int]]
"""Does the work and returns the numbers of samples and tokens."""


def measure(
    generator: Generator,
    smiles: list[str],
    n_samples: int,
    n_rounds: int,
    precisions: Sequence[str] = PRECISIONS,
    slots: int = 0,
) -> list[dict[str, Any]]:
    """Time every function with all threads and with one thread (on a GPU: with one)."""
    latents = sample_latents(generator, smiles, n_samples, NOISE_LEVEL)
    max_threads, rows = torch.get_num_threads() if generator.device.type == "cpu" else 1, []
    for n_threads in sorted({max_threads, 1}, reverse=True):
        with torch_threads(n_threads):
            functions = _functions(generator, latents, precisions, slots)
            rows += [{"threads": n_threads, **row} for row in _time_in_turn(functions, n_rounds)]
    return rows


def sample_latents(generator: Generator, smiles: list[str], n: int, noise_level: float) -> Latents:
    """`n` perturbed latents, equally many of each molecule."""
    table = generator.encode(smiles).query("error == ''")
    means = torch.tensor(table.filter(regex=r"^z\d+$").to_numpy(np.float32), device=generator.device)
    z = means.repeat(-(-n // len(means)), 1)[:n]
    keys = row_keys(0, torch.arange(len(z), device=z.device))
    return perturb(z, noise_level, normal(keys, z.shape[1])), torch.full((len(z),), noise_level, device=z.device), keys


@contextmanager
def torch_threads(n: int) -> Iterator[None]:
    """Limit torch to `n` threads."""
    before = torch.get_num_threads()
    torch.set_num_threads(n)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _functions(generator: Generator, latents: Latents, precisions: Sequence[str], slots: int) -> dict[str, Function]:
    decoder, max_length = generator.model.decoder, generator.checkpoint.config.max_length
    assert isinstance(decoder, GRUDecoder)
    functions: dict[str, Function] = {}
    n_samples = len(latents[0])
    for precision in precisions:
        engine = Engine(decoder, max_length, precision=precision, slots=slots)
        functions[f"{ENGINE}, {precision}"] = _engine_function(engine, latents)
        n_tokens = functions[f"{ENGINE}, {precision}"]()[1]  # the first call is also a warm-up
        for name, with_input in ((PRODUCTS, True), (PRODUCTS_WITHOUT_INPUT, False)):
            functions[f"{name}, {precision}"] = _products_function(
                decoder, precision, engine.slots, n_samples, n_tokens, with_input=with_input
            )
    for batch_size in (n_samples, GPU_LOOP_BATCH if latents[0].is_cuda else CPU_LOOP_BATCH):
        functions[f"{LOOP}, batch {batch_size}"] = _loop_function(decoder, latents, max_length, batch_size)
    return functions


def _engine_function(engine: Engine, latents: Latents) -> Function:
    def decode() -> tuple[int, int]:
        decoded = engine.decode(*latents, SamplingOptions(TEMPERATURE))
        return len(decoded), int((decoded.tokens != PAD_ID).sum())

    return decode


def _products_function(
    decoder: GRUDecoder, precision: str, n_rows: int, n_samples: int, n_tokens: int, *, with_input: bool
) -> Function:
    """The matrix products of the network for `n_tokens` tokens, `n_rows` at a time, and nothing else.

    They are distributed over threads as in the engine, which on two cores is nearly twice as fast as torch's own
    threads. `with_input` includes the product of token embeddings and input weights, which the engine looks up in a
    table that it computes once.
    """
    device = decoder.output.weight.device
    n_steps, n_threads = -(-n_tokens // n_rows), torch.get_num_threads()
    steps_per_thread = [len(range(thread, n_steps, n_threads)) for thread in range(n_threads)]
    products = [_MatrixProducts(decoder, precision, n_rows, with_input=with_input) for _ in steps_per_thread]

    def multiply() -> tuple[int, int]:
        with TorchThreadPool(device, n_threads) as pool:
            pool.map(lambda thread: products[thread].run(steps_per_thread[thread]), range(n_threads))
        return n_samples, n_tokens

    return multiply


class _MatrixProducts:
    """Operands and results of one thread, or of a GPU, where steps are launched as a CUDA graph as in the engine."""

    def __init__(self, decoder: GRUDecoder, precision: str, n_rows: int, *, with_input: bool) -> None:
        named = {**dict(decoder.gru.named_parameters()), "weight_out": decoder.output.weight}
        if decoder.bilinear_head is not None:
            named |= {
                "weight_state": decoder.bilinear_head.state_projection.weight,
                "weight_bilinear": decoder.bilinear_head.output.weight,
            }
        skipped = set[str]() if with_input else {"weight_ih_l0"}
        weights = [weight.detach() for name, weight in named.items() if "weight" in name and name not in skipped]
        self.pairs = [_operands(weight, n_rows, precision) for weight in weights]
        self.multiply = torch._int_mm if precision == "int8" else torch.mm
        self.results = [self.multiply(x, w) for x, w in self.pairs]
        self.on_gpu = decoder.output.weight.is_cuda
        self.launch = capture_cuda_graph(self._steps, decoder.output.weight.device) if self.on_gpu else self._steps

    def run(self, n_steps: int) -> None:
        """Compute `n_steps` steps; on a GPU up to ``STEPS_PER_GRAPH - 1`` more."""
        for _ in range(-(-n_steps // STEPS_PER_GRAPH) if self.on_gpu else n_steps):
            self.launch()
        if self.on_gpu:
            torch.cuda.synchronize()

    @torch.inference_mode()
    def _steps(self) -> None:
        for _ in range(STEPS_PER_GRAPH if self.on_gpu else 1):
            for (x, w), out in zip(self.pairs, self.results, strict=True):
                self.multiply(x, w, out=out)


def _operands(weight: Tensor, n_rows: int, precision: str) -> tuple[Tensor, Tensor]:
    """Random input, shape (n_rows, K), and the weight, shape (K, N)."""
    x = torch.rand(n_rows, weight.shape[1], device=weight.device) * 2 - 1
    if precision == "int8":
        return (x * 127).to(torch.int8), (weight / weight.abs().max() * 127).to(torch.int8).T.contiguous()
    dtype = torch.bfloat16 if precision == "bf16" else torch.float32
    return x.to(dtype), weight.to(dtype).T


def _loop_function(decoder: GRUDecoder, latents: Latents, max_length: int, batch_size: int) -> Function:
    """A straightforward loop: `nn.GRU` token by token and `multinomial`, until all samples of a batch have ended."""
    z, noise_level, _ = latents

    @torch.inference_mode()
    def decode() -> tuple[int, int]:
        random, n_tokens = torch.Generator(z.device).manual_seed(0), 0
        for rows in torch.arange(len(z), device=z.device).split(batch_size):
            bias, hidden = decoder.initial_state(z[rows], noise_level[rows])
            hidden = hidden.transpose(0, 1).contiguous()
            tokens, ended = torch.full_like(rows, START_ID), torch.zeros_like(rows, dtype=torch.bool)
            for _ in range(max_length + 1):
                y, hidden = decoder.gru((decoder.embedding(tokens) + bias)[:, None], hidden)
                probabilities = (decoder.output(y[:, 0]) / TEMPERATURE).softmax(1)
                tokens = torch.multinomial(probabilities, 1, generator=random)[:, 0]
                n_tokens += len(rows) - int(ended.sum())
                ended |= tokens == END_ID
                if ended.all():
                    break
        return len(z), n_tokens

    return decode


def _time_in_turn(functions: dict[str, Function], n_rounds: int) -> list[dict[str, Any]]:
    seconds: dict[str, list[float]] = {name: [] for name in functions}
    counts = {name: function() for name, function in functions.items()}  # warm-up
    for _ in range(n_rounds):
        for name, function in functions.items():
            start = time.perf_counter()
            counts[name] = function()
            seconds[name].append(time.perf_counter() - start)
    return [
        {"name": name, "seconds": statistics.median(seconds[name]), "samples": n_samples, "tokens": n_tokens}
        for name, (n_samples, n_tokens) in counts.items()
    ]


def measure_precision(
    generator: Generator, smiles: list[str], precisions: Sequence[str] = PRECISIONS
) -> list[dict[str, Any]]:
    """Per precision: exact reconstruction, agreement with precision 32, and the divergence of token probabilities."""
    molecules = [text for text, error in zip(smiles, generator.encode(smiles)["error"], strict=True) if not error]
    expected, options = [canonical(text) for text in molecules], SamplingOptions(TEMPERATURE)
    n = len(molecules)
    clean, noisy = (sample_latents(generator, molecules, n, level) for level in (0.0, NOISE_LEVEL))
    decoder, max_length = generator.model.decoder, generator.checkpoint.config.max_length
    engines = {precision: Engine(decoder, max_length, precision=precision) for precision in precisions}
    greedy = {name: engine.decode(*clean, GREEDY).to_smiles(generator.vocabulary) for name, engine in engines.items()}
    tokens = torch.from_numpy(engines["32"].decode(*noisy, options).tokens[:N_SCORED].astype(np.int64))
    log_probabilities = {name: _token_log_probabilities(decoder, name, noisy, tokens) for name in precisions}
    p, is_token = log_probabilities["32"], tokens != PAD_ID
    entropy = -(p.exp() * p).sum(-1)[is_token].mean().item()
    return [
        {
            "precision": name,
            "molecules": n,
            "exact": np.mean([a == b for a, b in zip(greedy[name], expected, strict=True)]).item(),
            "same_as_32": np.mean([a == b for a, b in zip(greedy[name], greedy["32"], strict=True)]).item(),
            "divergence": (p.exp() * (p - q)).sum(-1)[is_token].mean().item(),
            "entropy": entropy,
        }
        for name, q in log_probabilities.items()
    ]


@torch.inference_mode()
def _token_log_probabilities(
    decoder: GRUDecoder | TransformerDecoder, precision: str, latents: Latents, tokens: Tensor
) -> Tensor:
    """Log-probabilities of every token at every position of the samples `tokens`, (N, L): shape (N, L, V)."""
    incremental = incremental_decoder(decoder, precision)
    previous = functional.pad(tokens[:, :-1], (1, 0), value=START_ID)
    conditioning = incremental.condition(latents[0][: len(tokens)], latents[1][: len(tokens)])
    state = incremental.initial_state(conditioning, torch.arange(len(tokens), device=latents[0].device))
    columns = previous.to(latents[0].device).T
    return torch.stack([incremental.step(column, state).clone() for column in columns], dim=1).log_softmax(-1).cpu()


def measure_charrnn(
    generator: Generator, smiles: list[str], folder: Path, n_samples: int, n_rounds: int
) -> list[dict[str, Any]]:
    """The engine, and MOSES's sampler with a network of the same width and random weights; on a CPU.

    CharRNN has LSTM cells and always computes 100 steps. On a GPU its sampler fails: it packs a batch by lengths on the
    GPU, which torch 2.11 rejects.
    """
    model = _charrnn(folder, smiles, generator.model.decoder).eval()
    latents = sample_latents(generator, smiles, n_samples, NOISE_LEVEL)
    functions = {ENGINE: _engine_function(generator.codec.engine, latents)}
    for batch_size in CHARRNN_BATCHES:
        functions[f"CharRNN, batch {batch_size}"] = _charrnn_function(model, batch_size, 4 if batch_size < 100 else 1)
    return [{"threads": torch.get_num_threads(), **row} for row in _time_in_turn(functions, n_rounds)]


def _charrnn(folder: Path, smiles: list[str], decoder: Any) -> Any:
    """CharRNN from the two files of the molsets wheel that it needs; the whole package cannot be imported any more."""
    vocabulary = _load_module(folder / "utils.py").CharVocab.from_data(smiles)
    config = SimpleNamespace(hidden=decoder.hidden_dim, num_layers=decoder.layers, dropout=0.0)
    return _load_module(folder / "char_rnn" / "model.py").CharRNN(vocabulary, config)


def _load_module(path: Path) -> ModuleType:
    if not path.exists():
        raise SystemExit(
            f"{path} does not exist: --moses must be the folder `moses` of the unzipped molsets 0.3.1 wheel"
        )
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _charrnn_function(model: Any, batch_size: int, n_batches: int) -> Function:
    def sample() -> tuple[int, int]:
        samples = [text for _ in range(n_batches) for text in model.sample(batch_size)]
        return len(samples), sum(map(len, samples)) + len(samples)

    return sample
