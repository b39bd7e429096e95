"""Training speed: molecules per second, and the fraction of a step that is spent on data.

    python benchmarks/training.py FILE.smi.gz --steps 20 --molecules 2000
    python benchmarks/training.py --packed FOLDER --batch-sizes 1024 2048 4096 --precisions tf32 bf16   # on a GPU

Measures every encoder with the GRU, and the default encoder with the transformer, at the default sizes. With
`--packed`, a folder that `scripts/train_shipped.py` packed, it measures the architecture of the shipped models, also in
relation to the speed of a large matrix product on the same device. Warm-up steps are not counted. A GPU is used if
there is one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from itertools import islice, product
from pathlib import Path

import torch
from common import header
from torch.utils.flop_counter import FlopCounterMode

from molvae.data.graph_dataset import PackedGraphs
from molvae.data.neighbors import Neighbors
from molvae.data.packing import pack
from molvae.data.readers import read_records
from molvae.nn.autoencoder import Autoencoder
from molvae.nn.config import DECODERS, ENCODERS, ModelConfig
from molvae.training.config import TrainConfig
from molvae.training.module import sample_noise_levels
from molvae.training.trainer import train_autoencoder

sys.path.insert(0, str(Path(__file__).parents[1] / "scripts"))
from train_shipped import SHAPE, Data

N_WARM_UP_STEPS = 2
MATRIX_SIZE = 8192  # rows and columns of the large matrix product on a GPU
Shape = tuple[int, int]


def main() -> None:
    arguments = parse_arguments()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print("\n".join(header("Training speed", "torch", "lightning", device=device)))
    if arguments.packed:
        measure_shipped(Data.load(arguments.packed), arguments)
    else:
        measure_architectures(arguments)


def measure_architectures(arguments: argparse.Namespace) -> None:
    """A row for each encoder and decoder."""
    data, vocabulary, _ = pack(islice(read_records(arguments.file), arguments.molecules), workers=0)
    base = ModelConfig(vocab_size=len(vocabulary))
    config = TrainConfig(max_steps=arguments.steps)
    print(f"{arguments.file.name}: {len(data):,} molecules; {arguments.steps} steps of {config.batch_size} molecules\n")
    print("| encoder | decoder | molecules/s | data loading, fraction of a step |\n|---|---|---|---|")
    models = [base.replace(encoder=encoder) for encoder in ENCODERS]
    models += [base.replace(decoder=decoder) for decoder in DECODERS if decoder != base.decoder]
    for model in models:
        rate, data_fraction = measure(data, None, model, config)
        decoder = f"{model.decoder} {model.decoder_dim}"
        print(f"| {model.encoder} {model.encoder_dim} | {decoder} | {rate:,.0f} | {data_fraction:.1%} |", flush=True)


def measure_shipped(data: Data, arguments: argparse.Namespace) -> None:
    """A row for each batch size and precision, with the architecture of the shipped models."""
    model = ModelConfig.from_dict({"vocab_size": len(data.vocabulary), "latent": "gaussian", **SHAPE})
    flops, peak = flops_per_molecule(data.train, model), peak_flops()
    print(f"{len(data.train):,} molecules, {arguments.steps} steps each; {flops / 1e9:.2f} GFLOP per molecule without")
    print(f"padding; a product of {MATRIX_SIZE} x {MATRIX_SIZE} bf16 matrices reaches {peak / 1e12:,.0f} TFLOP/s\n")
    print(
        "| batch size | precision | molecules/s | TFLOP/s | ratio to the product | data loading, fraction of a step |"
    )
    print("|---|---|---|---|---|---|")
    for batch_size, precision in product(arguments.batch_sizes, arguments.precisions):
        config = TrainConfig(max_steps=arguments.steps, batch_size=batch_size, precision=precision)
        rate, data_fraction = measure(data.train, data.neighbors, model, config)
        speed = f"{rate:,.0f} | {rate * flops / 1e12:.1f} | {rate * flops / peak:.1%}"
        print(f"| {batch_size} | {precision} | {speed} | {data_fraction:.1%} |", flush=True)


def measure(
    data: PackedGraphs, neighbors: Neighbors | None, model: ModelConfig, config: TrainConfig
) -> tuple[float, float]:
    """Molecules per second, and the fraction of the time spent on data, after a short warm-up run."""
    valid = data.select(torch.arange(2))
    for n_steps in (N_WARM_UP_STEPS, config.max_steps):
        with tempfile.TemporaryDirectory() as folder:
            result = train_autoencoder(
                Path(folder), data, valid, model, config.replace(max_steps=n_steps), neighbors=neighbors, devices=1,
                progress_bar=False,
            )  # fmt: skip
    return result.n_molecules / result.step_seconds, result.batch_fraction


def flops_per_molecule(data: PackedGraphs, config: ModelConfig, n_molecules: int = 64) -> float:
    """Floating-point operations of the matrix products of a step, per molecule; on the CPU, which skips padding."""
    model, batch = Autoencoder.from_config(config), data.gather(torch.arange(n_molecules))
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: addmm_flops}) as counter:
        losses = model.losses(batch, sample_noise_levels(n_molecules, TrainConfig(), torch.device("cpu")))
        (losses.reconstruction + losses.kl).mean().backward()
    return counter.get_total_flops() / n_molecules


def addmm_flops(_: Shape, a: Shape, b: Shape, **__: object) -> int:
    """Operations of `addmm_`, which torch's counter does not support."""
    return 2 * a[0] * a[1] * b[1]


def peak_flops() -> float:
    """Operations per second of a large matrix product in bf16."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = MATRIX_SIZE if device.type == "cuda" else MATRIX_SIZE // 8
    a, b = torch.randn(2, size, size, device=device).bfloat16()
    for n_products in (3, 20):  # the first is a warm-up
        start = time.perf_counter()
        for _ in range(n_products):
            a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return 2 * size**3 * n_products / seconds


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, help="molecules to train on")
    parser.add_argument("--steps", type=int, default=20, help="optimizer steps")
    parser.add_argument("--molecules", type=int, default=2000, help="molecules of the file")
    parser.add_argument("--packed", type=Path, help="folder that scripts/train_shipped.py packed")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128])
    parser.add_argument("--precisions", nargs="+", default=["auto"])
    arguments = parser.parse_args()
    if arguments.packed is None and arguments.file is None:
        parser.error("a file of molecules or --packed is needed")
    return arguments


if __name__ == "__main__":
    main()
