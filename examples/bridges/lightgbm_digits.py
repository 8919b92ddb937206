"""LightGBM on scikit-learn's digits: every round's evaluations as metrics."""

import lightgbm
from sklearn.datasets import load_digits

from runherald import Experiment, Workspace
from runherald.bridges.lightgbm import RunCallback

x, y = load_digits(n_class=2, return_X_y=True)
data = lightgbm.Dataset(x[:250], y[:250])
params = {"objective": "binary", "metric": ["auc", "binary_logloss"], "num_leaves": 7, "verbose": -1, "num_threads": 1}
with Experiment(Workspace(), "bridges-lightgbm").start_logging() as run:
    held_out = lightgbm.Dataset(x[250:], y[250:], reference=data)
    lightgbm.train(params, data, num_boost_round=8, valid_sets=[held_out], callbacks=[RunCallback(run), lightgbm.early_stopping(3)])
    print(run.id)
