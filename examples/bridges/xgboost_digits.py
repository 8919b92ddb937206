"""XGBoost on scikit-learn's digits: every round's evaluations as metrics."""

from sklearn.datasets import load_digits
from sklearn.model_selection import train_test_split
from xgboost import XGBClassifier

from runherald import Experiment, Workspace
from runherald.bridges.xgboost import RunCallback

x, x_held_out, y, y_held_out = train_test_split(*load_digits(return_X_y=True), random_state=0)
with Experiment(Workspace(), "bridges-xgboost").start_logging() as run:
    model = XGBClassifier(
        n_estimators=8, max_depth=3, early_stopping_rounds=5, eval_metric=["mlogloss", "merror"], n_jobs=1, callbacks=[RunCallback(run)]
    )
    model.fit(x[:400], y[:400], eval_set=[(x_held_out[:100], y_held_out[:100])], verbose=False)
    print(run.id)
