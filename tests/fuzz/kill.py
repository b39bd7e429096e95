"""Kill commands at random moments, repeat them, and compare their outputs with those of an undisturbed run.

For every command and signal, the command is started and stopped by the signal at a random moment, again and again;
then it runs to its end. After every kill

- no process of the command is left after a few seconds,
- an output of an earlier run is unchanged, or complete,
- after SIGINT and SIGTERM, no temporary file is left, and standard error has no traceback,

and at the end the outputs have the same bytes as those of the undisturbed run, and no other file is left.

The moments are measured in CPU time of the command and its workers, because a busy machine delays it. Half of the
commands are forked from a process that has imported molvae, which saves their start, and half are new processes, where
a signal may also arrive during imports. `python tests/fuzz/kill.py --moments 20` kills every command twenty times with
each signal.
"""

from __future__ import annotations

import argparse
import atexit
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

SIGNALS = (signal.SIGKILL, signal.SIGTERM, signal.SIGINT)
SECONDS_TO_END = 5.0
KILLS_PER_RUN = 4
"""After so many kills a command runs to its end."""
DEADLINE = 600
TEMPORARY = re.compile(r"\..+\.[0-9a-f]{32}(\.old)?")
EXIT_CODES = {
    signal.SIGKILL: (-9,),
    signal.SIGTERM: (143, -15),  # -15: before the command has set its handler
    signal.SIGINT: (130, -2, 1),  # 1: a KeyboardInterrupt while the interpreter starts or ends
}


@dataclass
class Case:
    """A command: its arguments for a folder of outputs, and the outputs to compare, relative to this folder.

    `before` are files that exist before the command, as outputs of an earlier run.
    """

    name: str
    arguments: Callable[[Path], list[str]]
    outputs: Sequence[str]
    before: Sequence[str] = ()


@dataclass
class Report:
    """What went wrong, and the longest time until all processes had ended."""

    failures: list[str] = field(default_factory=list)
    kills: int = 0
    late: int = 0
    slowest: float = 0.0


def cases(inputs: Path, *, scale: int = 1) -> list[Case]:
    """The commands on small inputs; `scale` multiplies their work."""
    model, seeds, library = str(inputs / "model"), str(inputs / "seeds.smi"), str(inputs / "library.smi")
    tiny = ["--encoder-dim", "16", "--encoder-layers", "2", "--pooling-heads", "2", "--latent-dim", "8"]
    tiny += ["--decoder-dim", "16", "--bilinear-dim", "8", "--embedding-dim", "8", "--max-length", "80"]
    tiny += ["--batch-size", "16", "--checkpoint-every", "5", "--validate-every", "10", "--warmup-steps", "5"]
    return [
        Case("analogs", lambda out: ["analogs", seeds, "-n", "20", "--max-samples", "24", "--model", model,
                                     "--no-optimize-latents", "-o", str(out / "analogs.csv")],
             ["analogs.csv"], ["analogs.csv"]),
        Case("index", lambda out: ["index", library, "-o", str(out / "library.molvae"), "--model", model,
                                   "--shard-rows", "50", "--workers", "2"],
             ["library.molvae"]),
        Case("train", lambda out: ["train", library, "-o", str(out / "run"), "--max-steps", str(30 * scale),
                                   "--workers", "2", "--devices", "1", *tiny],
             ["run/model/weights.safetensors", "run/model/vocabulary.json", "run/model/bloom_filter.npz",
              "run/metrics.csv"]),
        Case("score", lambda out: ["score", library, "--train", seeds, "-o", str(out / "scores.csv"),
                                   "--report", str(out / "report.html"), "--workers", "2", "--no-fcd"],
             ["scores.csv", "report.html"], ["scores.csv", "report.html"]),
    ]  # fmt: skip


def write_inputs(folder: Path, *, scale: int = 1) -> None:
    """Write a tiny model and small input files into a folder."""
    from molecules import DRUGS
    from tiny_vae import SMALL, trained

    from molvae.checkpoint import Checkpoint, SamplingDefaults, save
    from molvae.data.bloom_filter import BloomFilter
    from molvae.data.datasets import resolve_source
    from molvae.data.readers import read_records

    model, config, vocabulary = trained("gaussian", "gru", 100)
    checkpoint = Checkpoint(
        name="tiny", model=model, config=config, vocabulary=vocabulary, defaults=SamplingDefaults(),
        training_filter=BloomFilter.from_smiles(SMALL), card={},
    )  # fmt: skip
    save(checkpoint, folder / "model")
    sample = [record.smiles for record in read_records(resolve_source("sample", None).path)]
    (folder / "library.smi").write_text("\n".join((sample * scale)[: 400 * scale]) + "\n")
    (folder / "seeds.smi").write_text("\n".join([*SMALL, *DRUGS.values(), *sample[: 55 * scale]]) + "\n")


# --- one run ------------------------------------------------------------------------------------------------------


class Run:
    """A command that runs in a session of its own, so that its processes can be found."""

    def __init__(self, arguments: Sequence[str], log: Path, *, forked: bool) -> None:
        self.log, self.status = log, None
        if forked:
            self.pid = self._fork(arguments)
        else:
            command = [sys.executable, "-W", "ignore", "-m", "molvae", *arguments]
            with log.open("wb") as file:
                self.process = subprocess.Popen(
                    command, stdout=file, stderr=file, start_new_session=True, cwd=log.parent,
                    env={**os.environ, "OMP_NUM_THREADS": "1"},  # as a forked process has
                    # tests that run in the background of a shell inherit an ignored Ctrl+C
                    preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
                )  # fmt: skip
            self.pid = self.process.pid

    def _fork(self, arguments: Sequence[str]) -> int:
        """Run the command in a fork of this process, up to the end that an interpreter makes."""
        sys.stdout.flush()
        sys.stderr.flush()
        if pid := os.fork():
            return pid
        os.setsid()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        descriptor = os.open(self.log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644)
        os.dup2(descriptor, 1)
        os.dup2(descriptor, 2)
        os.chdir(self.log.parent)
        sys.argv = ["molvae", *arguments]
        from molvae.__main__ import main

        code = 1
        try:
            main()
        except SystemExit as end:
            code = int(end.code or 0)
        except BaseException:
            traceback.print_exc()
        try:
            threading._shutdown()  # type: ignore[attr-defined]
            atexit._run_exitfuncs()
        finally:
            os._exit(code)

    def poll(self) -> int | None:
        """The exit status, or None while the command runs."""
        if self.status is None:
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            self.status = os.waitstatus_to_exitcode(status) if pid else None
        return self.status

    def wait(self, until: Callable[[], bool]) -> bool:
        """Wait until a condition is true or the command ends; whether it is true."""
        deadline = time.monotonic() + DEADLINE
        while self.poll() is None:
            if until():
                return True
            if time.monotonic() > deadline:
                os.killpg(self.pid, signal.SIGKILL)
                raise TimeoutError(f"the command does not end; see {self.log}")
            time.sleep(0.01)
        return False

    def cpu_seconds(self) -> float:
        """CPU time of all processes of the session, ended ones included if their parent has waited for them."""
        ticks = sum(sum(map(int, fields[11:15])) for fields in map(_stat, session_processes(self.pid)) if fields)
        return ticks / os.sysconf("SC_CLK_TCK")

    def send(self, number: int, to_group: bool) -> None:
        """Send a signal to the command alone, or to all of its processes as a terminal does."""
        (os.killpg if to_group else os.kill)(self.pid, number)


def _stat(pid: int) -> list[str]:
    """The fields of /proc/PID/stat after the name: state, parent, process group, session ..."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def session_processes(session: int) -> list[int]:
    """The processes of a session that have not ended."""
    pids = [int(name) for name in os.listdir("/proc") if name.isdecimal()]
    return [p for p in pids if (fields := _stat(p)) and int(fields[3]) == session and fields[0] not in "ZX"]


# --- many runs ----------------------------------------------------------------------------------------------------


def read_files(folder: Path, names: Sequence[str]) -> dict[str, bytes]:
    """The contents of files, and of all files in folders."""
    paths = [path for name in names for path in [folder / name, *sorted((folder / name).rglob("*"))]]
    return {str(path.relative_to(folder)): path.read_bytes() for path in paths if path.is_file()}


def temporary_files(folder: Path) -> list[str]:
    """The files and folders that are only temporary."""
    return [str(path.relative_to(folder)) for path in folder.rglob(".*") if TEMPORARY.fullmatch(path.name)]


@dataclass
class Undisturbed:
    """What an undisturbed run gives: its outputs, the names of all files that it leaves, and its CPU time."""

    outputs: dict[str, bytes]
    names: list[str]
    seconds: float


def run_undisturbed(case: Case, folder: Path, *, forked: bool) -> Undisturbed:
    """Run a command to its end."""
    folder.mkdir(parents=True)
    run, seconds = Run(case.arguments(folder), folder.parent / "log.txt", forked=forked), 0.0

    def measure() -> bool:
        nonlocal seconds
        seconds = max(seconds, run.cpu_seconds())
        return False

    run.wait(measure)
    if run.status != 0:
        raise RuntimeError(f"molvae {case.name} failed: {run.log.read_text(errors='replace')}")
    names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return Undisturbed(read_files(folder, case.outputs), names, seconds)


def kill_and_repeat(
    case: Case, number: int, moments: int, folder: Path, expected: dict[bool, Undisturbed], rng: random.Random,
    report: Report,
) -> None:  # fmt: skip
    """Kill a command at random moments, and compare what it leaves; `expected` is the run of a fork (True) or not."""
    outputs, names = (last := list(expected.values())[-1]).outputs, last.names
    limit = SECONDS_TO_END * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    name = f"{case.name} {signal.Signals(number).name}"
    killed = 0
    while killed < moments:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for file in case.before:
            (folder / file).write_bytes(b"old")
        for _ in range(KILLS_PER_RUN):
            if killed >= moments:
                break
            forked = rng.choice(list(expected))
            run = Run(case.arguments(folder), folder.parent / "log.txt", forked=forked)
            moment = rng.uniform(0, expected[forked].seconds)
            if not run.wait(lambda run=run, moment=moment: run.cpu_seconds() >= moment):  # type: ignore[misc]
                report.late += 1
                break  # it ended before: compare, and begin again
            run.send(number, to_group := rng.random() < 0.5)
            killed, sent = killed + 1, time.monotonic()
            run.wait(lambda: False)
            while left := session_processes(run.pid):
                if time.monotonic() > sent + limit:
                    break
                time.sleep(0.05)
            took = time.monotonic() - sent
            report.slowest, report.kills = max(report.slowest, took), report.kills + 1
            where = f"{name} {'to all ' if to_group else ''}{'' if forked else 'new '}after {moment:.2f} s of CPU time"
            text = run.log.read_text(errors="replace")
            if left:
                report.failures.append(f"{where}: processes are left after {took:.1f} s: {len(left)}")
                os.killpg(run.pid, signal.SIGKILL)
            if run.status not in (0, *EXIT_CODES[signal.Signals(number)]):
                report.failures.append(f"{where}: exit status {run.status}: {text[-2000:]}")
            if number != signal.SIGKILL and run.status in (130, 143):
                if temporary := temporary_files(folder):
                    report.failures.append(f"{where}: temporary files are left: {temporary}")
                if "Traceback" in text:
                    report.failures.append(f"{where}: {text[-3000:]}")
            for file, content in read_files(folder, case.before).items():
                if content not in (b"old", outputs[file]):
                    report.failures.append(f"{where}: {file} is neither the old nor the new one")
            if set(case.before) - set(read_files(folder, case.before)):
                report.failures.append(f"{where}: an old output has disappeared")
        run = Run(case.arguments(folder), folder.parent / "log.txt", forked=True in expected)
        run.wait(lambda: False)
        if run.status != 0:
            report.failures.append(
                f"{name}: the repeated command failed: {run.log.read_text(errors='replace')[-2000:]}"
            )
            continue
        found = read_files(folder, case.outputs)
        if different := sorted(file for file in {**outputs, **found} if outputs.get(file) != found.get(file)):
            report.failures.append(f"{name}: the repeated command gives other bytes: {different}")
        left_files = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        if left_files != names:
            report.failures.append(f"{name}: other files are left: {sorted(set(left_files) ^ set(names))}")


def kill_commands(
    folder: Path, moments: int, *, names: Sequence[str] = (), signals: Sequence[int] = SIGNALS, seed: int = 0,
    scale: int = 1, forks: Sequence[bool] = (True, False), say: Callable[[str], None] = lambda _: None,
) -> Report:  # fmt: skip
    """Kill every command at so many random moments with every signal; return what went wrong."""
    report, inputs = Report(), folder / "inputs"
    inputs.mkdir(parents=True, exist_ok=True)
    write_inputs(inputs, scale=scale)
    if True in forks:  # saves the start of forked commands
        import molvae.cli.app
        import molvae.generator
        import molvae.training.train  # noqa: F401

    for case in cases(inputs, scale=scale):
        if names and case.name not in names:
            continue
        expected = {f: run_undisturbed(case, folder / case.name / f"fork {f}", forked=f) for f in forks}
        if len({tuple(found.outputs.items()) for found in expected.values()}) > 1:
            report.failures.append(f"{case.name}: two undisturbed runs differ")
        say(f"{case.name}: {' and '.join(f'{found.seconds:.1f}' for found in expected.values())} s of CPU time")
        for number in signals:
            rng, before = random.Random(f"{seed} {case.name} {number}"), len(report.failures)
            kill_and_repeat(case, number, moments, folder / case.name / "killed", expected, rng, report)
            say(f"  {signal.Signals(number).name}: {moments} kills, {len(report.failures) - before} failures")
            for failure in report.failures[before:]:
                say(f"    {failure}")
    return report


def main() -> None:
    """Kill commands as the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=20, help="kills of every command with every signal")
    parser.add_argument("--commands", nargs="*", default=[], help="only these commands")
    parser.add_argument("--signals", nargs="*", default=[number.name for number in SIGNALS])
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(prefix="molvae-kill."))  # a TemporaryDirectory would also be removed by the forks
    report = kill_commands(
        folder, options.moments, names=options.commands, seed=options.seed,
        signals=[signal.Signals[name] for name in options.signals], say=lambda text: print(text, flush=True),
    )  # fmt: skip
    shutil.rmtree(folder)
    print(f"{report.kills} kills, {len(report.failures)} failures; {report.late} commands ended before their moment;")
    print(f"the slowest command and its workers had ended after {report.slowest:.1f} s")
    sys.exit(bool(report.failures))


if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[1]))
    main()
