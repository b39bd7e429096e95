"""Decoding alone: the engine beside its own matrix products, beside a plain loop, and beside MOSES's CharRNN.

All contestants take turns on the same latents; what is returned are rows of figures, medians over the rounds.
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

from molvae.chem.smiles import canonical
from molvae.chem.tokenizer import END_ID, PAD_ID, START_ID
from molvae.generation.continuous_batching import capture_cuda_graph
from molvae.generation.engine import Decoded, Engine
from molvae.generation.rng import normal, row_keys
from molvae.generation.token_sampling import GREEDY, SamplingOptions
from molvae.generator import Generator
from molvae.nn.decoders import GRUDecoder, TransformerDecoder
from molvae.nn.devices import TorchThreadPool
from molvae.nn.incremental_decoding import incremental_decoder
from molvae.nn.latents import perturb

NOISE_LEVEL, TEMPERATURE = 0.35, 0.7
PRECISIONS = ("32", "bf16", "int8")
LOOP_BATCH, GPU_LOOP_BATCH = 256, 4096
CHARRNN_BATCHES = (32, 512)
"""The default of MOSES's own sampling script, and one that suits it better."""
STEPS_AT_ONCE = 16  # of the products, launched together on a GPU
FORCED = 300  # strings that are scored symbol by symbol under every precision

Latents = tuple[Tensor, Tensor, Tensor]
"""z N x D, what the decoder is told of their noise level N, the keys of their strings N."""


def decode(
    generator: Generator,
    smiles: list[str],
    count: int,
    rounds: int,
    precisions: Sequence[str] = PRECISIONS,
    slots: int = 0,
) -> list[dict[str, Any]]:
    """A row per contestant and number of threads (on a GPU 1): strings and symbols a second."""
    latents = around(generator, smiles, count, NOISE_LEVEL)
    every, rows = torch.get_num_threads() if generator.device.type == "cpu" else 1, []
    for threads in sorted({every, 1}, reverse=True):
        with threads_of(threads):
            contestants = _contestants(generator, latents, precisions, slots)
            rows += [{"threads": threads, **row} for row in _raced(contestants, rounds)]
    return rows


def around(generator: Generator, smiles: list[str], count: int, noise_level: float) -> Latents:
    """`count` latents, each a noise level from that of a molecule; as many of each molecule as of any other."""
    table = generator.encode(smiles).query("error == ''")
    means = torch.tensor(table.filter(regex=r"^z\d+$").to_numpy(np.float32), device=generator.device)
    z = means.repeat(-(-count // len(means)), 1)[:count]
    keys = row_keys(0, torch.arange(len(z), device=z.device))
    return perturb(z, noise_level, normal(keys, z.shape[1])), torch.full((len(z),), noise_level, device=z.device), keys


@contextmanager
def threads_of(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)


Contestant = Callable[[], tuple[int, int]]
"""Does its work and says of how many strings and symbols it was."""


def _contestants(
    generator: Generator, latents: Latents, precisions: Sequence[str], slots: int
) -> dict[str, Contestant]:
    decoder, longest = generator.model.decoder, generator.checkpoint.config.max_length
    assert isinstance(decoder, GRUDecoder)
    found: dict[str, Contestant] = {}
    for precision in precisions:
        engine = Engine(decoder, longest, precision=precision, slots=slots)
        symbols = _written(engine, latents)()[1]  # the first time also warms it up
        strings = len(latents[0])
        found[f"engine, {precision}"] = _written(engine, latents)
        found[f"products, {precision}"] = _products(decoder, precision, engine.slots, strings, symbols, looked_up=False)
        found[f"products that are not looked up, {precision}"] = _products(
            decoder, precision, engine.slots, strings, symbols, looked_up=True
        )
    for batch in (len(latents[0]), GPU_LOOP_BATCH if latents[0].is_cuda else LOOP_BATCH):
        found[f"plain loop, batch {batch}"] = _loop(decoder, latents, longest, batch)
    return found


def _written(engine: Engine, latents: Latents) -> Contestant:
    def work() -> tuple[int, int]:
        done = engine.decode(*latents, SamplingOptions(TEMPERATURE))
        return len(done), _symbols(done)

    return work


def _symbols(done: Decoded) -> int:
    return int((done.tokens != PAD_ID).sum())


def _products(
    decoder: GRUDecoder, precision: str, rows: int, strings: int, symbols: int, *, looked_up: bool
) -> Contestant:
    """The network's matrix products, `rows` symbols at a time, and nothing else; no step has an empty row.

    They are shared out among threads as the engine shares its strings, which on two cores is nearly twice as quick as
    leaving the threads to torch. `looked_up`: without the first product, symbols times their gates, which the engine
    computes once and looks up.
    """
    device = decoder.output.weight.device
    steps, threads = -(-symbols // rows), torch.get_num_threads()
    shares = [len(range(thread, steps, threads)) for thread in range(threads)]
    lanes = [_Lane(decoder, precision, rows, looked_up=looked_up) for _ in shares]

    def work() -> tuple[int, int]:
        with TorchThreadPool(device, threads) as side_by_side:
            side_by_side.map(lambda lane: lanes[lane].run(shares[lane]), range(threads))
        return strings, symbols

    return work


class _Lane:
    """Operands and results of one thread, or of a GPU, where steps are launched as a graph, as the engine's are."""

    def __init__(self, decoder: GRUDecoder, precision: str, rows: int, *, looked_up: bool) -> None:
        named = {**dict(decoder.gru.named_parameters()), "weight_out": decoder.output.weight}
        if decoder.bilinear_head is not None:
            named |= {
                "weight_ask": decoder.bilinear_head.state_projection.weight,
                "weight_answer": decoder.bilinear_head.output.weight,
            }
        skipped = {"weight_ih_l0"} if looked_up else set[str]()
        weights = [weight.detach() for name, weight in named.items() if "weight" in name and name not in skipped]
        self.pairs = [_operands(weight, rows, precision) for weight in weights]
        self.multiply = torch._int_mm if precision == "int8" else torch.mm
        self.results = [self.multiply(x, w) for x, w in self.pairs]
        self.on_gpu = decoder.output.weight.is_cuda
        self.launch = capture_cuda_graph(self._steps, decoder.output.weight.device) if self.on_gpu else self._steps

    def run(self, steps: int) -> None:
        """As many steps, or up to `STEPS_AT_ONCE` - 1 more on a GPU."""
        for _ in range(-(-steps // STEPS_AT_ONCE) if self.on_gpu else steps):
            self.launch()
        if self.on_gpu:
            torch.cuda.synchronize()

    @torch.inference_mode()
    def _steps(self) -> None:
        for _ in range(STEPS_AT_ONCE if self.on_gpu else 1):
            for (x, w), out in zip(self.pairs, self.results, strict=True):
                self.multiply(x, w, out=out)


def _operands(weight: Tensor, rows: int, precision: str) -> tuple[Tensor, Tensor]:
    """Some input, rows x K, and the weight, K x N."""
    x = torch.rand(rows, weight.shape[1], device=weight.device) * 2 - 1
    if precision == "int8":
        return (x * 127).to(torch.int8), (weight / weight.abs().max() * 127).to(torch.int8).T.contiguous()
    kind = torch.bfloat16 if precision == "bf16" else torch.float32
    return x.to(kind), weight.to(kind).T


def _loop(decoder: GRUDecoder, latents: Latents, longest: int, batch: int) -> Contestant:
    """What one would write: `nn.GRU` a symbol at a time and `multinomial`, until the last string of a batch ends."""
    z, told, _ = latents

    @torch.inference_mode()
    def work() -> tuple[int, int]:
        source, symbols = torch.Generator(z.device).manual_seed(0), 0
        for rows in torch.arange(len(z), device=z.device).split(batch):
            bias, hidden = decoder.initial_state(z[rows], told[rows])
            hidden = hidden.transpose(0, 1).contiguous()
            symbol, ended = torch.full_like(rows, START_ID), torch.zeros_like(rows, dtype=torch.bool)
            for _ in range(longest + 1):
                y, hidden = decoder.gru((decoder.embedding(symbol) + bias)[:, None], hidden)
                chances = (decoder.output(y[:, 0]) / TEMPERATURE).softmax(1)
                symbol = torch.multinomial(chances, 1, generator=source)[:, 0]
                symbols += len(rows) - int(ended.sum())
                ended |= symbol == END_ID
                if ended.all():
                    break
        return len(z), symbols

    return work


def _raced(contestants: dict[str, Contestant], rounds: int) -> list[dict[str, Any]]:
    seconds: dict[str, list[float]] = {name: [] for name in contestants}
    done = {name: work() for name, work in contestants.items()}  # a first time that does not count
    for _ in range(rounds):
        for name, work in contestants.items():
            start = time.perf_counter()
            done[name] = work()
            seconds[name].append(time.perf_counter() - start)
    return [
        {"name": name, "seconds": statistics.median(seconds[name]), "strings": strings, "symbols": symbols}
        for name, (strings, symbols) in done.items()
    ]


def exactness(generator: Generator, smiles: list[str], precisions: Sequence[str] = PRECISIONS) -> list[dict[str, Any]]:
    """A row per precision: what it reconstructs, and how far it is from precision 32, greedily and by symbol."""
    usable = [text for text, error in zip(smiles, generator.encode(smiles)["error"], strict=True) if not error]
    wanted, options = [canonical(text) for text in usable], SamplingOptions(TEMPERATURE)
    clean, noisy = around(generator, usable, len(usable), 0.0), around(generator, usable, len(usable), NOISE_LEVEL)
    decoder, longest = generator.model.decoder, generator.checkpoint.config.max_length
    engines = {precision: Engine(decoder, longest, precision=precision) for precision in precisions}
    greedy = {name: engine.decode(*clean, GREEDY).to_smiles(generator.vocabulary) for name, engine in engines.items()}
    forced = torch.from_numpy(engines["32"].decode(*noisy, options).tokens[:FORCED].astype(np.int64))
    scores = {name: _forced(decoder, name, noisy, forced) for name in precisions}
    p, real = scores["32"], forced != PAD_ID
    entropy = -(p.exp() * p).sum(-1)[real].mean().item()
    return [
        {
            "precision": name,
            "molecules": len(usable),
            "exact": np.mean([a == b for a, b in zip(greedy[name], wanted, strict=True)]).item(),
            "as 32": np.mean([a == b for a, b in zip(greedy[name], greedy["32"], strict=True)]).item(),
            "divergence": (p.exp() * (p - q)).sum(-1)[real].mean().item(),
            "entropy": entropy,
        }
        for name, q in scores.items()
    ]


@torch.inference_mode()
def _forced(decoder: GRUDecoder | TransformerDecoder, precision: str, latents: Latents, symbols: Tensor) -> Tensor:
    """Log-probabilities, N x L x V, of what may stand at each place of given strings, N x L ids."""
    stepper = incremental_decoder(decoder, precision)
    before = functional.pad(symbols[:, :-1], (1, 0), value=START_ID)
    begun = stepper.condition(latents[0][: len(symbols)], latents[1][: len(symbols)])
    state = stepper.initial_state(begun, torch.arange(len(symbols), device=latents[0].device))
    columns = before.to(latents[0].device).T
    return torch.stack([stepper.step(column, state).clone() for column in columns], dim=1).log_softmax(-1).cpu()


def charrnn(generator: Generator, smiles: list[str], folder: Path, count: int, rounds: int) -> list[dict[str, Any]]:
    """MOSES's sampler with a network of our decoder's width and random weights, beside the engine; on a CPU.

    It has LSTM cells, and always takes 100 steps, however long its strings are. On a GPU it stops with an error: it
    packs a batch by lengths that lie there, which torch 2.11 rejects.
    """
    model = _charrnn(folder, smiles, generator.model.decoder).eval()
    contestants = {"engine": _written(generator.codec.engine, around(generator, smiles, count, NOISE_LEVEL))}
    for batch in CHARRNN_BATCHES:
        contestants[f"CharRNN, batch {batch}"] = _sampled(model, batch, 4 if batch < 100 else 1)
    return [{"threads": torch.get_num_threads(), **row} for row in _raced(contestants, rounds)]


def _charrnn(folder: Path, smiles: list[str], like: Any) -> Any:
    """The network of the molsets wheel, from the two files that it needs: the package as a whole does not import."""
    vocabulary = _module(folder / "utils.py").CharVocab.from_data(smiles)
    config = SimpleNamespace(hidden=like.hidden_dim, num_layers=like.layers, dropout=0.0)
    return _module(folder / "char_rnn" / "model.py").CharRNN(vocabulary, config)


def _module(path: Path) -> ModuleType:
    if not path.exists():
        raise SystemExit(f"there is no {path}: --moses is the folder `moses` of the wheel of molsets 0.3.1, unzipped")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _sampled(model: Any, batch: int, times: int) -> Contestant:
    def work() -> tuple[int, int]:
        strings = [text for _ in range(times) for text in model.sample(batch)]
        return len(strings), sum(map(len, strings)) + len(strings)

    return work
