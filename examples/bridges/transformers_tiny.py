"""Hugging Face's Trainer with a model so small that it needs no download: it learns to repeat numbers."""

import torch
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments

from runherald import Experiment, Workspace
from runherald.bridges.transformers import RunCallback

rows = [{"input_ids": (ids := torch.arange(8) % (2 + row % 3)), "labels": ids} for row in range(32)]
model = GPT2LMHeadModel(GPT2Config(vocab_size=16, n_positions=8, n_embd=16, n_layer=1, n_head=2))
arguments = TrainingArguments(
    output_dir="trainer",
    max_steps=6,
    logging_steps=2,
    eval_strategy="steps",
    eval_steps=3,
    save_strategy="no",
    per_device_train_batch_size=4,
    report_to="none",
    use_cpu=True,
)
with Experiment(Workspace(), "bridges-transformers").start_logging() as run:
    Trainer(model, arguments, train_dataset=rows, eval_dataset=rows[:8], callbacks=[RunCallback(run)]).train()
    print(run.id)
