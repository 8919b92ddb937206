"""Keras learns a line: every epoch's metrics, and every fourth batch's."""

import keras
import numpy as np

from runherald import Experiment, Workspace
from runherald.bridges.keras import RunCallback

x = np.linspace(-1, 1, 64, dtype="float32").reshape(-1, 1)
model = keras.Sequential([keras.layers.Input((1,)), keras.layers.Dense(1)])
model.compile(optimizer=keras.optimizers.SGD(0.1), loss="mse", metrics=["mae"])
with Experiment(Workspace(), "bridges-keras").start_logging() as run:
    callback = RunCallback(run, every_batches=4)
    model.fit(x, 3 * x + 1, epochs=3, batch_size=8, validation_split=0.25, verbose=0, callbacks=[callback])
    model.evaluate(x, 3 * x + 1, verbose=0, callbacks=[callback])
    print(run.id)
