"""Screening on a Ray cluster of two nodes: the same shortlist as in a single process, also if a node fails.

    python benchmarks/ray_cluster.py library.smi --output benchmarks/ray_cluster.md

The script starts the cluster on this machine: two nodes with one core each, with their own schedulers and object
stores. In the third screen the second node is removed as soon as the first rows are done; Ray then repeats the lost
work on the first node. The script fails if a shortlist differs.
"""

from __future__ import annotations

import argparse
import threading
import time
from pathlib import Path
from typing import Any

import pandas as pd
import ray
from common import DRUGS, header
from ray.cluster_utils import Cluster

import molvae

OBJECT_STORE_BYTES = 300_000_000  # per node


def timed_screen(path: Path, **options: Any) -> tuple[pd.DataFrame, str, float]:
    """Shortlist, counts and seconds of a screen."""
    start = time.perf_counter()
    result = molvae.screen(path.resolve(), seeds=DRUGS["imatinib"], **options)
    return result.table, result.counts.summary(), time.perf_counter() - start


class NodeFailure:
    """Callback that removes a node when it is called for the first time."""

    def __init__(self, cluster: Cluster, node: Any) -> None:
        self.cluster, self.node, self.removed = cluster, node, False

    def __call__(self, _: Any) -> None:
        if not self.removed:
            self.removed = True
            threading.Thread(target=self.cluster.remove_node, args=(self.node, False), daemon=True).start()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("library", type=Path, help="file of SMILES")
    parser.add_argument("--top", type=int, default=1000, help="length of the shortlist")
    parser.add_argument("--note", default="", help="sentence added to the page")
    parser.add_argument("--output", type=Path, required=True, help="result page (.md)")
    options = parser.parse_args()
    cluster = Cluster(
        initialize_head=True,
        head_node_args={"num_cpus": 1, "include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES},
    )
    second_node = cluster.add_node(num_cpus=1, object_store_memory=OBJECT_STORE_BYTES)
    cluster.wait_for_nodes()
    rows, counts = [], ""
    for rank_by, node_fails in (("tanimoto", False), ("latent", False), ("latent", True)):
        expected, expected_counts, local_seconds = timed_screen(
            options.library, rank_by=rank_by, top=options.top, workers=0
        )
        callback = {"on_part": NodeFailure(cluster, second_node)} if node_fails else {}
        table, counts, ray_seconds = timed_screen(
            options.library, rank_by=rank_by, top=options.top, ray=cluster.address, **callback
        )
        pd.testing.assert_frame_equal(
            table.drop(columns="source"), expected.drop(columns="source"), rtol=1e-6, atol=1e-6
        )
        assert counts == expected_counts, (counts, expected_counts)
        assert sum(node["Alive"] for node in ray.nodes()) == (1 if node_fails else 2)
        rows.append(
            f"| {rank_by} | {'one of two fails' if node_fails else 'two'} | {local_seconds:.0f} | {ray_seconds:.0f} | "
            f"{len(table):,} rows, identical order | {(table['score'] - expected['score']).abs().max():.0e} |"
        )
        print(rows[-1], flush=True)
    lines = [
        *header("Screening on two Ray nodes", "ray", "torch", "rdkit", model="druglike"),
        f"Two nodes with one core each, on one machine. {counts}. The times include the start of the actors, about ten "
        f"seconds each. {options.note}".rstrip(), "",
        "| ranked by | nodes | single process, s | Ray, s | shortlists | largest difference of scores |",
        "|---|---|---|---|---|---|", *rows, "",
    ]  # fmt: skip
    options.output.write_text("\n".join(lines), encoding="utf-8")
    ray.shutdown()
    cluster.shutdown()


if __name__ == "__main__":
    main()
