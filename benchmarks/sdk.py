"""What the SDK costs a training script, beside Weights & Biases offline, MLflow asynchronous and TensorBoardX, in the same run.

The peers get an environment of their own, `.bench/peers` below the working folder, made once; without a network they are left out, which is
said. Each measurement is a process of its own; runs are kept offline, so that none waits for a network.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from figure import Figure, of_rounds

PEERS = {"wandb": "wandb", "mlflow": "mlflow-skinny", "tensorboardX": "tensorboardX"}
ENVIRONMENT = Path(".bench/peers")
ROUNDS = 3
CALLS = 1_000
PACE = 0.0005
"""Seconds between two calls, as beside a training step: the processor has had other things to do then."""
PACES = {"": 0.0, ", each 0.5 ms": PACE}
"""By what is said of them: the seconds between two calls."""
_HERE = Path(__file__).parent
_IMPORTS = 15

_BATCHES = """
import sys, time
from runherald import Experiment, Workspace
run = Experiment(Workspace(), "bench").start_logging()
values = [index * 0.5 for index in range(200_000)]
begin = time.perf_counter()
for _ in range(5):
    run.log_table("table", {"loss": values[:20_000], "accuracy": values[:20_000]})
    run.log_list("loss", values[:20_000])
print("RESULT", 5 * 60_000 / (time.perf_counter() - begin))
"""
_SHIPPER = """
import os, sys, threading, time
sys.path.insert(0, sys.argv[1])
from http.server import ThreadingHTTPServer
import multiprocessing

def serve(port):
    from run_log import Taker
    server = ThreadingHTTPServer(("127.0.0.1", 0), Taker)
    port.send(server.server_address[1])
    server.serve_forever()

if __name__ == "__main__":
    ours, theirs = multiprocessing.Pipe()
    taker = multiprocessing.get_context("fork").Process(target=serve, args=(theirs,), daemon=True)
    taker.start()
    os.environ["RUNHERALD_URL"] = f"http://127.0.0.1:{ours.recv()}"
    from runherald import Experiment, Workspace
    run = Experiment(Workspace(), "bench").start_logging()
    (thread,) = [each for each in threading.enumerate() if each is not threading.main_thread()]
    def used():
        fields = open(f"/proc/self/task/{thread.native_id}/stat").read().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    before, begin = used(), time.monotonic()
    for index in range(10_000):
        run.log("loss", index * 0.1)
        time.sleep(max(0.0, begin + (index + 1) / 1_000 - time.monotonic()))
    share = 100 * (used() - before) / (time.monotonic() - begin)
    run.flush(10)
    assert not run.health.waiting, run.health  # sending nothing is cheap
    print("RESULT", share, flush=True)
    taker.kill()
    os._exit(0)
"""
_AWAY = """
import os
os.environ["RUNHERALD_URL"] = "http://127.0.0.1:9"
from runherald import Experiment, Workspace
run = Experiment(Workspace(), "bench").start_logging()
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * os.sysconf("SC_PAGE_SIZE") / 2**20
for index in range(100_000):
    run.log("loss", index * 0.1)
before = resident()
for index in range(3_500_000):
    run.log("loss", index * 0.1)
print("RESULT", resident() - before, flush=True)
os._exit(0)
"""


def figures() -> list[Figure]:
    """Measure all of it."""
    pythons = {"runherald": sys.executable, **dict.fromkeys(_peers(), str(ENVIRONMENT / "bin" / "python"))}
    found = [_import_figure()]
    for name, python in pythons.items():
        found += _cost_of(name, python)
    for name, python in pythons.items():
        kept = [_kept_by(name, python) for _ in range(ROUNDS)]
        found.append(
            of_rounds(
                f"{name}: kept of {CALLS:,} after SIGKILL", kept, "points", CALLS if name == "runherald" else None, more_is_better=True
            )
        )
    per_second = [_answer(_BATCHES) for _ in range(ROUNDS)]
    sending = [_answer(_SHIPPER, str(_HERE))]
    added = [_answer(_AWAY)]
    note = "tables and lists of 20,000"
    found.append(of_rounds("points from one process in batches", per_second, "/s", 1_000_000, note=note, more_is_better=True))
    found.append(of_rounds("the sending thread at 1,000 points/s", sending, "% of a core", 2))
    found.append(
        of_rounds("memory that 3.5 M points without a server add", added, "MiB", note="an hour's at 1,000 a second, as fast as they go")
    )
    return found


def _peers() -> list[str]:
    python = ENVIRONMENT / "bin" / "python"
    if not python.exists():
        try:
            subprocess.run([sys.executable, "-m", "venv", str(ENVIRONMENT)], check=True, capture_output=True)
            subprocess.run([str(python), "-m", "pip", "install", "--quiet", *PEERS.values()], check=True, capture_output=True, timeout=600)
        except (subprocess.SubprocessError, OSError) as error:
            print(f"peers are left out: their environment cannot be made ({type(error).__name__})", file=sys.stderr)
            return []
    return list(PEERS)


def _import_figure() -> Figure:
    """Measure imports as users have them: of modules that were compiled before, whatever the environment says of that."""
    code = (
        "import time; begin = time.perf_counter(); from runherald import Experiment, Run, Workspace;"
        " print('RESULT', (time.perf_counter() - begin) * 1000)"
    )
    with _folder() as compiled:
        more = {"PYTHONDONTWRITEBYTECODE": "", "PYTHONPYCACHEPREFIX": compiled}
        _answer(code, **more)
        return of_rounds("import of the SDK", [_answer(code, **more) for _ in range(_IMPORTS)], "ms", 80)


def _cost_of(name: str, python: str) -> list[Figure]:
    found = []
    for said, pace in PACES.items():
        rounds = []
        for _ in range(ROUNDS):
            with _folder() as folder:
                rounds.append(json.loads(_run(python, "cost.py", name, folder, str(CALLS), str(pace))))
        budgets = {"scalar": (5, None), "row": (10, 100)} if name == "runherald" else {"scalar": (None, None), "row": (None, None)}
        found += [
            of_rounds(f"{name}: {what}{said}, {percentile}", [one[what][place] for one in rounds], "µs", budgets[what][place])
            for what in ("scalar", "row")
            for place, percentile in enumerate(("p50", "p99"))
        ]
    return found


def _kept_by(name: str, python: str) -> float:
    with _folder() as folder:
        command = [python, str(_HERE / "peers" / "cost.py"), name, folder, str(CALLS), str(PACE), "--kill"]
        subprocess.run(command, capture_output=True, timeout=120, check=False, env=_variables(folder))
        return float(_run(python, "kept.py", name, folder))


def _run(python: str, script: str, *arguments: str) -> str:
    command = [python, str(_HERE / "peers" / script), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, check=True, env=_variables(arguments[1]))
    return _result(done.stdout)


def _answer(code: str, *arguments: str, **environment: str) -> float:
    with _folder() as folder:
        variables = _variables(folder) | environment
        done = subprocess.run(
            [sys.executable, "-c", code, *arguments], capture_output=True, text=True, timeout=300, check=True, env=variables
        )
    return float(_result(done.stdout))


def _result(output: str) -> str:
    return next(line.removeprefix("RESULT ") for line in output.splitlines() if line.startswith("RESULT "))


def _variables(folder: str) -> dict[str, str]:
    return {**os.environ, "RUNHERALD_HOME": folder, "RUNHERALD_URL": "offline", "RUNHERALD_PROVENANCE": "false"}


def _folder() -> tempfile.TemporaryDirectory[str]:
    """Return a folder in the home folder, and not in /tmp, which may be memory."""
    return tempfile.TemporaryDirectory(prefix="runherald-bench-", dir=Path.home(), ignore_cleanup_errors=True)
