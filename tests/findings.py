"""Findings of runs that never were."""

import numpy as np

from lit_shift.findings import Findings

SIZE = 32


def config(pool="blur", filter="tri5", aug=False, seed=0, **changes):
    """A run's config, by default of the paper's protocol; changes as ``trainer__max_epochs=20``."""
    chosen = {"data": "cifar10", "model": "vgg13", "pool": pool}
    made = {
        "choices": chosen,
        "data": {"_target_": "lit_shift.data.CIFAR10", "root": "data", "batch_size": 128, "aug": aug, "val_size": 0},
        "model": {"_target_": "lit_shift.vgg.VGG13", "width": 64, "padding": "circular"},
        "pool": {"_target_": "lit_shift.pool.Pool", "padding": "circular"},
        "trainer": {"max_epochs": 200, "devices": 1},
        "optimizer": {"lr": 0.1},
        "callbacks": {},
        "logger": {},
        "padding": "circular",
        "aug": aug,
        "seed": seed,
        "runs": "runs",
        "classes": ["cat", "dog", "ship"],
    }
    if pool == "blur":
        made["pool"]["filter"] = filter
    for key, value in changes.items():
        *path, last = key.split("__")
        node = made
        for part in path:
            node = node[part]
        node[last] = value
    return made


def findings(name="run", accuracy=0.9, consistency=0.8, arrays=None, history=(), **of_config):
    metrics = {"test/accuracy": accuracy, "test/accuracy_random": accuracy - 0.01, "test/consistency": consistency}
    metrics |= {"test/images": 100, "test/shifts": 1024, "test/exact": 1, "tv/conv1_1": 1.5, "tv/conv1_2": 1.4}
    return Findings(name, config(**of_config), metrics, list(history), arrays or {})


def arrays(seed=0, images=6, shown=(1, 4), chosen=(4,)):
    """What the callbacks leave, at random."""
    rng = np.random.default_rng(seed)
    probabilities = rng.dirichlet(np.ones(3), (len(shown), SIZE, SIZE)).astype(np.float32)
    made = {
        "labels": np.arange(images) % 3,
        "variation": rng.random(images).astype(np.float32) / 4,
        "diagonal": rng.random((images, SIZE)).astype(np.float32),
        "chosen": np.array(chosen),
        "shown": np.array(shown),
        "pixels": np.random.default_rng(9).integers(0, 256, (images, 3, SIZE, SIZE), dtype=np.uint8)[list(shown)],
        "probabilities": probabilities,
    }
    for layer, side in (("pixels", 32), ("pool1_ds", 16)):
        made[f"equivariance/{layer}"] = rng.random((SIZE, SIZE))
        made[f"between_images/{layer}"] = np.array(0.5)
        made[f"resolution/{layer}"] = np.array([side, side])
    return made
