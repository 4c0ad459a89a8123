"""A small training, without a run around it."""

import os
from functools import partial
from typing import Any

import torch
from pytorch_lightning import Callback, Trainer

from lit_shift.data import Digits
from lit_shift.data.module import ImageDataModule
from lit_shift.models.vgg import VGG13
from lit_shift.pools.pool import MaxPoolBlurDS
from lit_shift.training.module import LitClassifier
from lit_shift.training.progress import Progress


def train_digits(
    *callbacks: Callback, val_size: int = 0, compile: bool = False, **how: Any
) -> tuple[Trainer, LitClassifier, ImageDataModule]:
    """A slim VGG13 trained on digits, in 12 batches an epoch, or 10 where 200 images are held out."""
    torch.manual_seed(0)
    data = Digits(128, 16, aug=True, flip=True, padding="circular", val_size=val_size, seed=0)
    data.setup()
    sgd = partial(torch.optim.SGD, lr=0.01, momentum=0.9)
    classifier = LitClassifier(
        VGG13(MaxPoolBlurDS, width=2), data.mean, data.std, sgd, [0.5, 0.75], 0.1, compile=compile
    )
    trainer = Trainer(
        callbacks=list(callbacks),
        enable_progress_bar=any(isinstance(callback, Progress) for callback in callbacks),
        limit_val_batches=1.0 if val_size else 0,
        num_sanity_val_steps=0,
        logger=False,
        default_root_dir=os.devnull,
        enable_checkpointing=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
        **how,
    )
    trainer.fit(classifier, data)
    return trainer, classifier, data
