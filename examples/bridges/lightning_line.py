"""PyTorch Lightning learns a line; its checkpoints lie below checkpoints/EXPERIMENT/RUN ID."""

import pytorch_lightning as lightning
import torch
from pytorch_lightning.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

from runherald import Experiment, Workspace
from runherald.bridges.lightning import RunLogger


class Line(lightning.LightningModule):
    """A line, and how far it is from where it is to be."""

    def __init__(self, lr: float = 0.1) -> None:
        super().__init__()
        self.save_hyperparameters()
        self.lr = lr
        self.layer = torch.nn.Linear(1, 1)

    def training_step(self, batch):
        """Return the loss."""
        loss = torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])
        self.log("train/loss", loss)
        return loss

    def validation_step(self, batch):
        """Log the loss on what was held out."""
        self.log("valid/loss", torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1]))

    def configure_optimizers(self):
        """Return the optimizer."""
        return torch.optim.SGD(self.parameters(), self.lr)


if __name__ == "__main__":
    x = torch.linspace(-1, 1, 64).reshape(-1, 1)
    data = DataLoader(TensorDataset(x, 3 * x + 1), batch_size=16)
    with Experiment(Workspace(), "bridges-lightning").start_logging() as run:
        checkpoints = ModelCheckpoint(monitor="valid/loss")
        trainer = lightning.Trainer(
            max_epochs=3,
            accelerator="cpu",
            log_every_n_steps=1,
            logger=RunLogger(run, save_dir="checkpoints"),
            callbacks=[checkpoints],
            enable_progress_bar=False,
        )
        trainer.fit(Line(), data, data)
        print(run.id, checkpoints.best_model_path)
