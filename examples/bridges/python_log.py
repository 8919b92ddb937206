"""Python's log as lines of a run, next to its metrics: `runherald run logs RUN` shows them."""

import logging

from runherald import Experiment, Workspace
from runherald.bridges.logging import RunHandler

with Experiment(Workspace(), "bridges-log").start_logging() as run:
    logging.getLogger().addHandler(RunHandler(run, level=logging.INFO))
    log = logging.getLogger("train")
    log.setLevel(logging.INFO)
    for epoch in range(3):
        run.log("loss", 1 / (epoch + 1), step=epoch)
        log.info("epoch %d is done", epoch)
    print(run.id)
