"""Train the models that ship: pack, train in a time box, resume, write the model directories, measure.

    python benchmarks/train_shipped.py druglike_train.smi.gz druglike_valid.smi.gz moses_train.csv.gz \
        --minutes 83 --ae-minutes 14 --out runs/shipped

Started again, it goes on from its last checkpoint. `druglike` is the Gaussian model; `druglike-ae` starts from its
weights and is trained on as a deterministic autoencoder. Both see the druglike set and as many molecules of MOSES,
drawn at random; the novelty filter holds all of both. Then measure each with `benchmarks/evaluate.py`.
"""

from __future__ import annotations

import argparse
import platform
from dataclasses import asdict
from itertools import chain
from pathlib import Path
from typing import Any

import torch

from molvae import checkpoint as checkpoints
from molvae.checkpoint import Checkpoint, SamplingDefaults
from molvae.chem.tokens import Vocabulary
from molvae.data.packed import PackedGraphs
from molvae.data.packing import pack
from molvae.data.records import read_records
from molvae.evaluation import probe, targets
from molvae.models.config import ModelConfig
from molvae.novelty import SeenSet
from molvae.training.config import TrainConfig
from molvae.training.run import Trained, train

MOSES_SHARE = 600_000
DATA = {
    "druglike": "601,323 molecules: ChEMBL (CC BY-SA 3.0, European Bioinformatics Institute), PubChem bioassays, "
    "ZINC leads and natural products; isomeric SMILES, 6 to 64 heavy atoms, salts stripped",
    "MOSES train": "1,584,663 lead-like molecules of ZINC without charges or stereo (MIT), of which "
    f"{MOSES_SHARE:,} drawn at random were trained on",
    "novel means": "in neither training set, whole",
}


def main() -> None:
    arguments = _arguments()
    out: Path = arguments.out
    whole, vocabulary = _packed(out / "packed", [arguments.train, arguments.moses], None)
    valid, _ = _packed(out / "valid", [arguments.valid], vocabulary)
    mix = whole.select(_mixture(len(whole), arguments.druglike_rows))
    seen = SeenSet.from_smiles(_all_smiles(whole, vocabulary))
    shape = ModelConfig(vocabulary_size=len(vocabulary), decoder_width=384)
    vae = TrainConfig(max_steps=100_000, max_minutes=arguments.minutes, learning_rate=2e-3, precision="bf16")
    gaussian = train(out / "druglike", mix, valid, shape, vae, probe=probe(vocabulary, shape.max_symbols))
    _write(out, "druglike", gaussian, shape, vae, vocabulary, seen)
    point = shape.replace(latent="deterministic")
    ae = vae.replace(max_minutes=arguments.ae_minutes, learning_rate=1e-3, noise_share=0.15, decay_share=0.6)
    start = gaussian.model
    deterministic = train(
        out / "druglike-ae",
        mix,
        valid,
        point,
        ae,
        probe=probe(vocabulary, shape.max_symbols),
        start_from=start,
    )
    _write(out, "druglike-ae", deterministic, point, ae, vocabulary, seen)


def _packed(folder: Path, files: list[Path], vocabulary: Vocabulary | None) -> tuple[PackedGraphs, Vocabulary]:
    """Pack once; afterwards map what is there."""
    words = folder / "vocabulary.json"
    if not words.exists():
        data, found, report = pack(chain.from_iterable(read_records(f) for f in files), vocabulary=vocabulary)
        print(f"{', '.join(f.name for f in files)}: {report.summary()}")
        data.save(folder)
        words.write_text(found.to_json(), encoding="utf-8")
    return PackedGraphs.load(folder), Vocabulary.from_json(words.read_text(encoding="utf-8"))


def _mixture(total: int, druglike: int) -> torch.Tensor:
    """The druglike rows, which were packed first, and as many of MOSES."""
    others = torch.randperm(total - druglike, generator=torch.Generator().manual_seed(0))[:MOSES_SHARE]
    return torch.cat([torch.arange(druglike), druglike + others])


def _all_smiles(data: PackedGraphs, vocabulary: Vocabulary) -> list[str]:
    parts = (data.select(rows) for rows in torch.arange(len(data)).split(20_000))
    return [smiles for part in parts for smiles in targets(part, vocabulary)]


def _write(
    out: Path,
    name: str,
    trained: Trained,
    shape: ModelConfig,
    config: TrainConfig,
    words: Vocabulary,
    seen: SeenSet,
) -> None:
    card: dict[str, Any] = {
        "What it is": f"{shape.encoder} encoder, {shape.latent} latent of {shape.latent_size}, "
        f"{shape.decoder} decoder; {sum(p.numel() for p in trained.model.parameters()):,} parameters",
        "Data": DATA,
        "Training": {
            "steps": f"{trained.steps:,} of {config.batch_size} molecules ({trained.molecules:,} molecules seen)",
            "time": f"{trained.minutes:.0f} minutes on {_hardware()}",
            "settings": ", ".join(f"{name} {value}" for name, value in asdict(config).items()),
        },
    }
    ready = Checkpoint(name, trained.model, shape, words, SamplingDefaults(), seen, card)
    checkpoints.save(ready, out / "models" / name)


def _hardware() -> str:
    if torch.cuda.is_available():
        return torch.cuda.get_device_name()
    return f"{torch.get_num_threads()} cores of a CPU ({platform.machine()}), bf16"


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("train", type=Path)
    parser.add_argument("valid", type=Path)
    parser.add_argument("moses", type=Path)
    parser.add_argument("--druglike-rows", type=int, default=601_323, help="distinct molecules in the first file")
    parser.add_argument("--minutes", type=float, default=83, help="time box of the Gaussian model")
    parser.add_argument("--ae-minutes", type=float, default=14, help="time box of the autoencoder, after it")
    parser.add_argument("--out", type=Path, default=Path("runs/shipped"))
    return parser.parse_args()


if __name__ == "__main__":
    main()
