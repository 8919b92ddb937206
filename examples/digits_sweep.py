"""Search a learning rate for the handwritten digits of scikit-learn, each candidate a run of its own in a process of its own.

    python examples/digits_sweep.py

needs a server (`runherald up`) on RUNHERALD_URL, or none: what is logged waits in the journal until there is one. The parent run holds the
sweep, a child run each candidate, with loss and accuracy at every epoch. The candidate with the hinge loss fails for a real reason:
it is asked for probabilities, which that loss does not have.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits
from sklearn.linear_model import SGDClassifier
from sklearn.metrics import log_loss
from sklearn.model_selection import train_test_split
from sklearn.preprocessing import StandardScaler

from runherald import Experiment, Run, Workspace

EXPERIMENT = "digits"
LABELS = np.arange(10)

CANDIDATES: tuple[tuple[str, ...], ...] = (
    ("--learning-rate", "0.001"),
    ("--learning-rate", "0.01"),
    ("--learning-rate", "0.1"),
    ("--learning-rate", "0.01", "--loss", "hinge"),
    # Two that would train for long: time enough to stop one of them, or to see one die.
    ("--learning-rate", "0.003", "--epochs", "100000"),
    ("--learning-rate", "0.03", "--epochs", "100000"),
)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the sweep, or one candidate of it."""
    options = parse(arguments)
    experiment = Experiment(Workspace(), EXPERIMENT)
    if options.parent:
        train(Run(experiment, options.parent), options)
        return 0
    return sweep(experiment, CANDIDATES if options.long else CANDIDATES[:-2])


def sweep(experiment: Experiment, candidates: Sequence[Sequence[str]]) -> int:
    """Run every candidate, two at a time, and log which was best."""
    with experiment.start_logging(display_name="digits sweep") as parent:
        parent.tag("purpose", "find a learning rate")
        parent.add_properties({"dataset": "sklearn.datasets.load_digits"})
        print(f"sweep {parent.id}", flush=True)
        with ThreadPoolExecutor(len(candidates)) as pool:
            codes = list(pool.map(lambda candidate: run_candidate(parent.id, candidate), candidates))
        parent.log("candidates", len(candidates))
        parent.log("succeeded", codes.count(0))
        scores = {
            run_id: max(np.atleast_1d(metrics["accuracy"]))
            for run_id, metrics in parent.get_metrics("accuracy", recursive=True).items()
            if metrics
        }
        if scores:
            best = max(scores, key=lambda run_id: scores[run_id])
            parent.log("best_accuracy", float(scores[best]))
            parent.tag("best_run", best)
    return 0


def run_candidate(parent_id: str, candidate: Sequence[str]) -> int:
    """Train one candidate in a process of its own and return its exit code."""
    return subprocess.run([sys.executable, str(Path(__file__)), "--parent", parent_id, *candidate], check=False).returncode


def train(parent: Run, options: argparse.Namespace) -> None:
    """Train one candidate, logging loss and accuracy at each epoch."""
    digits = load_digits()
    inputs = StandardScaler().fit_transform(digits.data)
    x_train, x_test, y_train, y_test = train_test_split(inputs, digits.target, random_state=0, stratify=digits.target)
    model = SGDClassifier(loss=options.loss, learning_rate="constant", eta0=options.learning_rate, random_state=0)
    name = f"{options.loss} lr={options.learning_rate:g}"
    with parent.child_run(name=name) as run:
        run.tag("loss", options.loss)
        run.tag("learning_rate", str(options.learning_rate))
        run.add_properties({"estimator": "SGDClassifier"})
        print(f"child {run.id} {os.getpid()} {name}", flush=True)
        for epoch in range(options.epochs):
            model.partial_fit(x_train, y_train, classes=LABELS)
            run.log("accuracy", model.score(x_test, y_test), step=epoch)
            run.log("loss", log_loss(y_test, model.predict_proba(x_test), labels=LABELS), step=epoch)
            if run.cancel_requested:  # leaving the block now makes the run Canceled
                return
        run.log_table("confidence", {"digit": LABELS.tolist(), "accuracy": accuracy_by_digit(model, x_test, y_test)})


def accuracy_by_digit(model: SGDClassifier, inputs: np.ndarray, labels: np.ndarray) -> list[float]:
    """Return the share of each digit that was recognised."""
    right = model.predict(inputs) == labels
    return [float(right[labels == digit].mean()) for digit in LABELS]


def parse(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--long", action="store_true", help="add two candidates that train until they are stopped")
    parser.add_argument("--parent", help="train one candidate, as a child of this run")
    parser.add_argument("--learning-rate", type=float, default=0.01)
    parser.add_argument("--loss", default="log_loss")
    parser.add_argument("--epochs", type=int, default=60)
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
