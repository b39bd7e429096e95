"""Molecules a second in training, and the share of a step that goes into data.

    python benchmarks/training.py [FILE.smi.gz] [--steps 20] [--molecules 2000]
    python benchmarks/training.py --packed FOLDER --batch-sizes 512 1024 2048 --precisions bf16 tf32   # on a GPU

Every encoder with the GRU, and the GINE encoder with the transformer, at the default sizes. With `--packed`, a folder
that `scripts/train_shipped.py` packed, the shape that ships, with the share that it reaches of what a large matrix
product reaches on the same device. The first steps, in which memory is laid out, are not counted. Where there is a GPU it is
used.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
import time
from itertools import islice, product
from pathlib import Path

import lightning
import torch
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

WARM_UP = 2
LARGE = 8192  # rows and columns of the matrices whose product is the limit
Shape = tuple[int, int]
DEFAULT = Path(__file__).parents[2] / "shared" / "data" / "druglike_test.smi.gz"


def main() -> None:
    arguments = _arguments()
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    print(
        f"{device}; torch {torch.__version__}, lightning {lightning.__version__}, python {platform.python_version()}  "
    )
    if arguments.packed:
        shipped(Data.load(arguments.packed), arguments)
    else:
        parts(arguments)


def parts(arguments: argparse.Namespace) -> None:
    """Encoders and decoders beside each other."""
    data, vocabulary, _ = pack(islice(read_records(arguments.file), arguments.molecules), workers=0)
    print(f"{arguments.file.name}: {len(data):,} molecules; batches of 128, {arguments.steps} steps each\n")
    print("| encoder | decoder | molecules/s | data's share of a step |\n|---|---|---|---|")
    base = ModelConfig(vocab_size=len(vocabulary))
    shapes = [base.replace(encoder=encoder) for encoder in ENCODERS]
    shapes += [base.replace(decoder=decoder) for decoder in DECODERS if decoder != base.decoder]
    for shape in shapes:
        rate, share = measure(data, None, shape, TrainConfig(max_steps=arguments.steps))
        decoder = f"{shape.decoder} {shape.decoder_dim}"
        print(f"| {shape.encoder} {shape.encoder_dim} | {decoder} | {rate:,.0f} | {share:.1%} |", flush=True)


def shipped(data: Data, arguments: argparse.Namespace) -> None:
    """The shape that ships, in batches of several sizes."""
    shape = ModelConfig.from_dict({"vocab_size": len(data.vocabulary), "latent": "gaussian", **SHAPE})
    work, limit = operations(data.train, shape), fastest()
    print(
        f"{len(data.train):,} molecules, {arguments.steps} steps each; {work / 1e9:.2f} GFLOP a molecule, padding not"
    )
    print(f"counted; a product of {LARGE} x {LARGE} bf16 matrices reaches {limit / 1e12:,.0f} TFLOP/s\n")
    print("| batch | precision | molecules/s | TFLOP/s | of the product's | data's share of a step |")
    print("|---|---|---|---|---|---|")
    for size, precision in product(arguments.batch_sizes, arguments.precisions):
        config = TrainConfig(max_steps=arguments.steps, batch_size=size, precision=precision)
        rate, share = measure(data.train, data.neighbors, shape, config)
        done = f"{rate:,.0f} | {rate * work / 1e12:.1f} | {rate * work / limit:.1%}"
        print(f"| {size} | {precision} | {done} | {share:.1%} |", flush=True)


def measure(data: PackedGraphs, near: Neighbors | None, model: ModelConfig, config: TrainConfig) -> tuple[float, float]:
    """Molecules a second and data's share, of the second of two runs: the first warms up what both use."""
    valid = data.select(torch.arange(2))
    for count in (WARM_UP, config.max_steps):
        with tempfile.TemporaryDirectory() as folder:
            trained = train_autoencoder(
                Path(folder), data, valid, model, config.replace(max_steps=count), neighbors=near, devices=1,
                progress_bar=False,
            )  # fmt: skip
    return trained.n_molecules / trained.step_seconds, trained.batch_fraction


def operations(data: PackedGraphs, shape: ModelConfig, molecules: int = 64) -> float:
    """Floating-point operations of a step in matrix products, a molecule; counted on the CPU, which skips padding."""
    model, batch = Autoencoder.from_config(shape), data.gather(torch.arange(molecules))
    with FlopCounterMode(display=False, custom_mapping={torch.ops.aten.addmm_: in_place}) as counter:
        losses = model.losses(batch, sample_noise_levels(molecules, TrainConfig(), torch.device("cpu")))
        (losses.reconstruction + losses.kl).mean().backward()
    return counter.get_total_flops() / molecules


def in_place(_: Shape, a: Shape, b: Shape, **__: object) -> int:
    """Operations of `addmm_`, which torch's counter does not know."""
    return 2 * a[0] * a[1] * b[1]


def fastest() -> float:
    """Operations a second of a large product in bf16."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    size = LARGE if device.type == "cuda" else LARGE // 8
    a, b = torch.randn(2, size, size, device=device).bfloat16()
    for turns in (3, 20):
        start = time.perf_counter()
        for _ in range(turns):
            a @ b
        if device.type == "cuda":
            torch.cuda.synchronize()
        seconds = time.perf_counter() - start
    return 2 * size**3 * turns / seconds


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=DEFAULT, help="molecules to train on")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--molecules", type=int, default=2000)
    parser.add_argument("--packed", type=Path, help="a folder that train_shipped.py packed")
    parser.add_argument("--batch-sizes", type=int, nargs="+", default=[128])
    parser.add_argument("--precisions", nargs="+", default=["auto"])
    arguments = parser.parse_args()
    if not (arguments.packed or arguments.file.exists()):
        sys.exit(f"{arguments.file} does not exist: give a file of molecules as the first argument, FILE")
    return arguments


if __name__ == "__main__":
    main()
