"""Molecules a second in training, and the share of a step that goes into data.

    python benchmarks/training.py [FILE.smi.gz] [--steps 20] [--molecules 2000]

Every encoder with the GRU, and the GINE encoder with the transformer, at the default sizes; and the shipped size (GRU
of 384, in bf16). The first steps, in which memory is laid out, are not counted. On a GPU it uses the GPU.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from itertools import islice
from pathlib import Path

import lightning
import torch

from molvae.data.packed import PackedGraphs
from molvae.data.packing import pack
from molvae.data.records import read_records
from molvae.models.config import DECODERS, ENCODERS, ModelConfig
from molvae.training.config import TrainConfig
from molvae.training.run import train

WARM_UP = 2
DEFAULT = Path(__file__).parents[2] / "shared" / "data" / "druglike_test.smi.gz"


def main() -> None:
    arguments = _arguments()
    data, vocabulary, _ = pack(islice(read_records(arguments.file), arguments.molecules), workers=0)
    device = torch.cuda.get_device_name() if torch.cuda.is_available() else f"CPU, {torch.get_num_threads()} threads"
    versions = f"torch {torch.__version__}, lightning {lightning.__version__}, python {platform.python_version()}"
    print(f"{device}; {versions}  ")
    print(f"{arguments.file.name}: {len(data):,} molecules; batches of 128, {arguments.steps} steps each\n")
    print("| encoder | decoder | precision | molecules/s | data's share of a step |\n|---|---|---|---|---|")
    base = ModelConfig(vocabulary_size=len(vocabulary))
    shapes = [(base.replace(encoder=encoder), "auto") for encoder in ENCODERS]
    shapes += [(base.replace(decoder=decoder), "auto") for decoder in DECODERS if decoder != base.decoder]
    shapes += [(base.replace(decoder_width=384), "bf16")]
    for model, precision in shapes:
        rate, share = measure(data, model, precision, arguments.steps)
        name = f"{model.decoder} {model.decoder_width}"
        print(
            f"| {model.encoder} {model.encoder_width} | {name} | {precision} | {rate:,.0f} | {share:.1%} |", flush=True
        )


def measure(data: PackedGraphs, model: ModelConfig, precision: str, steps: int) -> tuple[float, float]:
    """Molecules a second and data's share, of the second of two runs: the first warms up what both use."""
    valid = data.select(torch.arange(2))
    for count in (WARM_UP, steps):
        config = TrainConfig(max_steps=count, precision=precision)
        with tempfile.TemporaryDirectory() as folder:
            trained = train(Path(folder), data, valid, model, config, devices=1, progress=False)
    return trained.molecules / trained.step_seconds, trained.data_share


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("file", nargs="?", type=Path, default=DEFAULT, help="molecules to train on")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--molecules", type=int, default=2000)
    arguments = parser.parse_args()
    if not arguments.file.exists():
        sys.exit(f"{arguments.file} does not exist: give a file of molecules as the first argument, FILE")
    return arguments


if __name__ == "__main__":
    main()
