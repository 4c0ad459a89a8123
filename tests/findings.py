"""Findings of runs that never were."""

from copy import deepcopy
from functools import cache

import numpy as np
from omegaconf import DictConfig, OmegaConf

from lit_shift.measures import TABLE1, standing
from lit_shift.results import table1
from lit_shift.results.frame import frame
from lit_shift.results.rows.costs import with_costs
from lit_shift.runs.config import composed
from lit_shift.runs.findings import Findings

SIZE = 32
OF_ZHANG = {  # figures
    "accuracy_consistency",
    "equivariance",
    "invariance",
    "variation",
    "filter_tv",
    "filter_tv_course",
    "stability",
}


@cache
def as_composed(data: str, model: str, pool: str) -> DictConfig:
    """A config as Hydra composes it, once for all tests, as that takes longer than they do."""
    return composed("train", [f"data={data}", f"model={model}", f"pool={pool}"])


def config(pool="blur", filter="tri5", aug=False, seed=0, data="cifar10", model="vgg13", **changes):
    """A run's config as train.py writes it, by default of the paper's protocol; changes as ``optimizer__lr=0.05``."""
    made = deepcopy(as_composed(data, model, pool))
    made.choices = {"data": data, "model": model, "pool": pool}
    made.aug, made.seed = aug, seed
    if pool == "blur":
        made.filter = made.pool.filter = filter
    OmegaConf.set_struct(made, False)
    for key, value in changes.items():
        OmegaConf.update(made, key.replace("__", "."), value)
    made.classes = ["cat", "dog", "ship"]
    return OmegaConf.to_container(made, resolve=True)


def findings(name="run", accuracy=0.9, consistency=0.8, arrays=None, history=(), **of_config):
    metrics = {f"test/{measure.name}": accuracy - 0.01 for measure in standing(TABLE1) if measure.name != "average"}
    metrics |= {
        "test/accuracy": accuracy,
        "test/consistency": consistency,
        "test/images": 100,
        "test/shifts": 1024,
        "test/exact": 1,
        "test/complete": 1,
        "tv/conv1_1": 1.5,
        "tv/conv1_2": 1.4,
    }
    return Findings(name, config(**of_config), metrics, list(history), arrays or {})


def build(models):
    """Table 1 of them, with costs."""
    made = frame(models)
    return with_costs(table1(made), made)


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
        "shown_labels": np.array(shown) % 3,
        "pixels": np.random.default_rng(9).integers(0, 256, (images, 3, SIZE, SIZE), dtype=np.uint8)[list(shown)],
        "probabilities": probabilities,
    }
    for layer, side in (("pixels", 32), ("pool1_ds", 16)):
        made[f"equivariance/{layer}"], made[f"invariance/{layer}"] = rng.random((2, SIZE, SIZE))
        made[f"between_images/{layer}"] = np.array(0.5)
        made[f"resolution/{layer}"] = np.array([side, side])
    return made


def by_image(seed=0, images=200, accuracy=0.9, consistency=0.8):
    """Values of each test image, at random; the labels are the same for every seed."""
    rng = np.random.default_rng(seed)
    return {
        "labels": np.arange(images) % 3,
        "accuracy": (rng.random(images) < accuracy).astype(np.float32),
        "accuracy_random": rng.beta(9, 1, images).astype(np.float32),
        "consistency": np.where(rng.random(images) < consistency, 1, rng.random(images)).astype(np.float32),
    }
