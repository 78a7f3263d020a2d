"""A small slice store and small trained-looking run folders for the evaluation's tests."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from plr_fast.data.store import SliceRecord, SliceStore, StoreWriter
from plr_fast.files import write_json, write_text
from plr_fast.models import Classifier, UNet
from plr_fast.training.checkpoint import Checkpoint, save_checkpoint

SIZE = 32
WIDTHS = (2, 2, 4, 4, 4)


def picture(label, rng, size=SIZE):
    """A bright body with two dark lungs; positives have a grey blob in one of them. Returns (slice, mask)."""
    y, x = np.mgrid[:size, :size] / (size - 1) * 2 - 1
    body = x**2 + y**2 < 0.9
    mask = ((x - 0.4) ** 2 * 6 + y**2 * 2.5 < 0.75) | ((x + 0.4) ** 2 * 6 + y**2 * 2.5 < 0.75)
    image = np.where(body, 200.0, 20.0) + rng.normal(0, 6, (size, size))
    image[mask] = 60 + rng.normal(0, 6, int(mask.sum()))
    if label:
        blob = (x - 0.4) ** 2 + (y - 0.2) ** 2 < 0.05
        image[blob & mask] += 80
    return image.clip(0, 255).astype(np.uint8), mask.astype(np.uint8)


def make_store(path: Path, *, test_labels=(0, 1), patients=4, slices=3, size=SIZE, bad_mask_ids=(), singles=False):
    """Train and val hold both classes; the test split holds ``test_labels``, ``patients`` groups of each."""
    rng = np.random.default_rng(0)
    plan = [(split, label, patient) for split in ("train", "val") for label in (0, 1) for patient in range(2)]
    plan += [("test", label, patient) for label in test_labels for patient in range(patients)]
    count = len(plan) * slices
    with StoreWriter(path, size=size, count=count, class_names=("normal", "covid"), mask_source="given") as writer:
        for split, label, patient in plan:
            for index in range(slices):
                image, mask = picture(max(label, 0), rng, size)
                name = f"{split}-{label}-p{patient}-{index}"
                record = SliceRecord(
                    id=name,
                    group=name if singles else f"{split}-{label}-p{patient}",
                    split=split,
                    label=label,
                    patient="" if singles else f"{split}-{label}-p{patient}",
                    source=f"{name}.png",
                    mask_ok=name not in bad_mask_ids,
                )
                writer.add(image, mask, record)
    return SliceStore.open(path)


def write_run(path: Path, kind: str, model: torch.nn.Module, fingerprint: str | None, *, history="", **settings):
    """A run folder as training leaves it, with ``model`` as its best checkpoint."""
    config = {"widths": list(WIDTHS), "norm": "none", "seed": 0, "epochs": 2, "optimizer": "adam", "lr": 0.001}
    config |= settings
    record = {"format_version": 1, "kind": kind, "plr_fast": "0", "torch": "0", "config": config}
    if fingerprint is not None:
        record["store_fingerprint"] = fingerprint
    path.mkdir(parents=True)
    write_json(path / "config.json", record)
    write_text(path / "metrics.csv", history or "epoch,train_loss,val_loss,val_accuracy\n1,0.7,0.6,0.5\n2,0.5,0.55,\n")
    save_checkpoint(path / "checkpoints" / "best", Checkpoint(model.state_dict(), None, {"step": 1}))
    return path


def classifier(seed: int, bias: float = 0.0) -> Classifier:
    torch.manual_seed(seed)
    model = Classifier(WIDTHS, "none", 8)
    with torch.no_grad():
        last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
        last.weight.mul_(30)
        last.bias.fill_(bias)
    return model


def write_classifier(path: Path, store: SliceStore, seed: int = 0, **settings) -> Path:
    """A classifier with random weights, its bias set so that about half of the test slices are called positive."""
    model = classifier(seed).eval()
    images = torch.from_numpy(np.asarray(store.slices[store.select("test")], np.float32) / 255).unsqueeze(1)
    with torch.no_grad():
        last = [module for module in model.modules() if isinstance(module, torch.nn.Linear)][-1]
        # Between two logits: a slice exactly at the threshold would be called by the last bit.
        ordered = model(images).sort().values
        last.bias.sub_(ordered[len(ordered) // 2 - 1 : len(ordered) // 2 + 1].mean())
    return write_run(path, "finetune", model, store.fingerprint, hidden=8, init="random", fraction=1.0, **settings)


def write_restorer(path: Path, store: SliceStore, corruption="perlin", seed: int = 0, **settings) -> Path:
    torch.manual_seed(seed)
    model = UNet(1, 1, WIDTHS, "none")
    options = {"count": [6, 6], "blend": "replace", "alpha": 1.0, "feather": 0, "patch": [3, 6], "bank": None}
    options |= {"bank_count": 50, "bank_images": 5, "bank_seed": 0}
    return write_run(path, "pretrain", model, store.fingerprint, corruption=corruption, **(options | settings))


@pytest.fixture(scope="session")
def store(tmp_path_factory) -> SliceStore:
    return make_store(tmp_path_factory.mktemp("data") / "store")


@pytest.fixture(scope="session")
def runs(tmp_path_factory, store) -> dict[str, Path]:
    base = tmp_path_factory.mktemp("runs")
    return {
        "RI": write_classifier(base / "RI", store, 0),
        "PLR-P": write_classifier(base / "PLR-P", store, 1),
        "perlin": write_restorer(base / "perlin", store),
        "blur": write_restorer(base / "blur", store, "gaussian", 1),
    }


@pytest.fixture(autouse=True, scope="session")
def _small_figures():
    """Draw at a third of the resolution: nothing tested depends on it, and drawing is most of the time."""
    from plr_fast.evaluation import figures

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(figures, "DPI", 80)
        yield
