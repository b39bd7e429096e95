"""Small libraries in several formats, with invalid rows and duplicates, for tests of the index."""

from __future__ import annotations

import gzip

import pandas as pd
from molecules import DRUGS
from tiny_vae import SMALL

from molvae.chem.smiles import canonical
from molvae.library.build import build_index
from molvae.library.manifest import ModelId

SMILES = [*DRUGS.values(), *SMALL]
INVALID = ["C1CC", "not-a-molecule", "[Pt]", "C" * 100]


def write_library(folder):
    """Write three files into a folder, half of the molecules in all three; return the number of rows."""
    (folder / "deeper").mkdir(parents=True)
    with gzip.open(folder / "a.smi.gz", "wt") as file:
        file.writelines(f"{smiles} drug-{row}\n" for row, smiles in enumerate(SMILES))
        file.writelines(f"{text}\n" for text in INVALID)
    half = SMILES[: len(SMILES) // 2]
    pd.DataFrame({"smiles": [*half, "", *INVALID]}).to_csv(folder / "b.csv", index=False)
    pd.DataFrame({"smiles": [*SMILES[::-1], None]}).to_parquet(folder / "deeper" / "c.parquet")
    (folder / "notes.md").write_text("no molecules")
    return len(SMILES) + len(INVALID) + len(half) + 1 + len(INVALID) + len(SMILES) + 1


def distinct_smiles():
    return list(dict.fromkeys(map(canonical, SMILES)))


def build_library(checkpoint, library, folder, **options):
    settings = {"workers": 0, "shard_rows": 256, **options}
    return build_index(
        library if isinstance(library, list) else [library], folder, checkpoint.model, checkpoint.vocabulary,
        model_id=ModelId.from_model("tiny", checkpoint.model, checkpoint.config.latent_dim),
        max_length=checkpoint.config.max_length, **settings,
    )  # fmt: skip


def file_contents(folder):
    """Return the bytes of all files of a folder by name."""
    return {str(p.relative_to(folder)): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}
