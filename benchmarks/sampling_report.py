"""Result page of `sampling.py`."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import sampling_decoding
import sampling_peers
from common import header
from sampling_decoding import ENGINE, LOOP, PRODUCTS, PRODUCTS_WITHOUT_INPUT
from sampling_end_to_end import DECODE, END_TO_END, PARSE_AND_WRITE, PARSE_SAMPLES

Rows = list[dict[str, Any]]
PACKAGES = ("torch", "rdkit", "selfies", "crem")


def _table(head: str, rows: list[str]) -> list[str]:
    return [f"| {head} |", "|" + "---|" * (head.count("|") + 1), *(f"| {row} |" for row in rows)]


def _decoding_section(rows: Rows) -> list[str]:
    rates = {(row["threads"], row["name"]): row["tokens"] / row["seconds"] for row in rows}
    lines = []
    for row in rows:
        threads, name, rate = row["threads"], row["name"], rates[row["threads"], row["name"]]
        cells = [name, str(threads), f"{row['samples'] / row['seconds']:,.0f}", f"{rate:,.0f}"]
        if name.startswith(ENGINE):
            precision = name.partition(", ")[2]
            for other in (f"{PRODUCTS}, 32", f"{PRODUCTS}, {precision}", f"{PRODUCTS_WITHOUT_INPUT}, {precision}"):
                cells.append(f"{rate / rates[threads, other]:.2f}")
            fastest = max(other for (n, name), other in rates.items() if n == threads and name.startswith(LOOP))
            cells.append(f"{rate / fastest:.1f}")
        lines.append(" | ".join([*cells, *[""] * (8 - len(cells))]))
    return [
        "## Decoding", "",
        f"{rows[0]['samples']:,} samples around test molecules, noise level {sampling_decoding.NOISE_LEVEL}, "
        f"temperature {sampling_decoding.TEMPERATURE}. Tokens exclude padding and include end tokens. The matrix "
        "products are those of the network for as many tokens, with as many rows at once as in the engine, and nothing "
        "else; the engine looks up the product of the input layer in a table. The PyTorch loop runs `nn.GRU` token by "
        "token with `multinomial` until all samples of a batch have ended. The last four columns are ratios of the "
        "engine's tokens per second to others.", "",
        *_table("| threads | samples/s | tokens/s | all products, precision 32 | all products, same precision | "
                "products without input layer | faster loop", lines),
    ]  # fmt: skip


def _precision_section(rows: Rows) -> list[str]:
    return [
        "## Precision", "",
        f"{rows[0]['molecules']:,} test molecules decoded greedily from their latents. The Kullback-Leibler divergence "
        f"from precision 32 is that of the token probabilities in samples at noise level "
        f"{sampling_decoding.NOISE_LEVEL}, whose mean entropy is {rows[0]['entropy']:.3f} nats.", "",
        *_table("precision | exact reconstruction | same sample as with 32 | divergence, nats per token", [
            f"{row['precision']} | {row['exact']:.1%} | {row['same_as_32']:.1%} | {row['divergence']:.1e}"
            for row in rows
        ]),
    ]  # fmt: skip


def _charrnn_section(rows: Rows) -> list[str]:
    rates = [row["samples"] / row["seconds"] for row in rows]
    return [
        "## Comparison with MOSES's CharRNN", "",
        "molsets 0.3.1: its network with one LSTM layer of the width of the decoder and random weights, and its "
        "`sample`, which always computes 100 steps; 32 is the batch size of its script. "
        f"{rows[0]['threads']} threads.", "",
        *_table("| samples/s | tokens per sample | ratio of the engine", [
            f"{row['name']} | {rate:,.0f} | {row['tokens'] / row['samples']:.0f} | "
            f"{f'{rates[0] / rate:,.0f}' if rate != rates[0] else ''}"
            for row, rate in zip(rows, rates, strict=True)
        ]),
    ]  # fmt: skip


def _end_to_end_section(rows: Rows) -> list[str]:
    first, seconds = rows[0], {row["name"]: row["seconds"] for row in rows}
    ratios = {name: seconds[PARSE_AND_WRITE] / value for name, value in seconds.items()}
    sequential = seconds[DECODE] + seconds[PARSE_SAMPLES]
    parts = ((PARSE_AND_WRITE, "unique_samples"), (PARSE_SAMPLES, "unique_samples"), (DECODE, "samples"))
    return [
        "## End to end", "",
        f"`Generator.iter_analogs`, {first['seeds']} test molecules, 100 analogs of each: {first['molecules']:,} "
        f"unique valid molecules with their similarity, from {first['samples']:,} samples, of which "
        f"{first['unique_samples']:,} unique ones are parsed; {first['workers']} worker processes. Each part runs "
        "alone, in the same processes and on the same samples. No properties (`properties=()`).",
        "",
        *_table("| seconds | rate | time of parse and write / time", [
            f"{END_TO_END} | {seconds[END_TO_END]:.1f} | "
            f"{first['molecules'] / seconds[END_TO_END]:,.0f} molecules/s | {ratios[END_TO_END]:.2f}",
            *(f"{name}, alone | {seconds[name]:.1f} | {first[count] / seconds[name]:,.0f} samples/s | "
              f"{ratios[name]:.2f}"
              for name, count in parts),
        ]), "",
        f"Decoding and parsing one after the other, each with all cores: {sequential:.1f} s, "
        f"{sequential / seconds[END_TO_END]:.2f} of the time end to end.",
    ]  # fmt: skip


def _peers_section(rows: Rows) -> list[str]:
    lines = []
    for row in rows:
        lines.append(
            f"{row['name']} | {row['similar']:,} | {row['complete']} | {row['similar'] / row['seconds']:,.0f} | "
            f"{row['usable']:,} | {row['usable'] / max(1, row['similar']):.0%} | {row['usable'] / row['seconds']:,.1f}"
        )
    return [
        "## Comparison with mutation and fragments", "",
        f"{rows[0]['seeds']} test molecules, up to {sampling_peers.N_ANALOGS} unique valid analogs of each at a "
        "Tanimoto similarity of 0.4 or more, one thread, without other properties. Usable as in `molvae score`: also "
        "not in the training set, not harder to synthesize than the seed (SA at most 0.5 higher), and without a PAINS "
        f"or BRENK alert that the seed does not have. CReM's database has {rows[0]['replacements']:,} replacements "
        "with their environments.", "",
        *_table("| similarity >= 0.4 | seeds with all 100 | per second | usable | usable fraction | usable per second",
                lines),
    ]  # fmt: skip


def _cold_start_section(rows: Rows) -> list[str]:
    whole, *stages = rows
    total = sum(row["seconds"] for row in stages)
    return [
        "## Cold start", "",
        "`molvae analogs SEED -n 100 -o analogs.csv` with imatinib as the seed, a new process each time: "
        f"**{whole['seconds']:.1f} s** (median of {len(whole['all'])}, {min(whole['all']):.1f} to "
        f"{max(whole['all']):.1f}). Stages, in instrumented processes; an import excludes those above it:", "",
        *_table("| seconds | fraction", [f"{row['name']} | {row['seconds']:.2f} | {row['seconds'] / total:.0%}"
                                         for row in stages]),
    ]  # fmt: skip


SECTIONS: dict[str, Callable[[Rows], list[str]]] = {
    "decoding": _decoding_section,
    "precision": _precision_section,
    "charrnn": _charrnn_section,
    "end-to-end": _end_to_end_section,
    "peers": _peers_section,
    "cold-start": _cold_start_section,
}


def page(folder: Path, model: str, device: str) -> str:
    """The result page, with the sections that have been measured."""
    lines = [
        *header("Sampling speed", *PACKAGES, model=model, device=device),
        "Times are medians over rounds in which all functions run in turn.", "",
    ]  # fmt: skip
    for section, write in SECTIONS.items():
        file = folder / f"{section}.json"
        if file.exists():
            lines += [*write(json.loads(file.read_text(encoding="utf-8"))), ""]
    return "\n".join(lines)
