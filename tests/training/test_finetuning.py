"""Fine-tuning end to end: what it trains on, where it starts, what it measures."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from torch import Tensor, nn

from plr_fast.data.datasets import LabelledSliceDataset
from plr_fast.data.store import SliceStore
from plr_fast.errors import CheckpointError, DataError
from plr_fast.models import Classifier
from plr_fast.training import FinetuneConfig, PretrainConfig, finetune, load_classifier, pretrain
from plr_fast.training.checkpoint import load_checkpoint
from plr_fast.training.finetuning import ClassificationMeter, FinetuneTask, cross_entropy

from .conftest import assert_same_run, write_store

Make = Callable[..., FinetuneConfig]
MakePretrain = Callable[..., PretrainConfig]


def record(run: Path) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((run / "config.json").read_text())
    return loaded


class StoppedError(Exception):
    pass


def stop(*_arguments: Any) -> Tensor:
    raise StoppedError


@pytest.fixture
def trained_on(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Store indices that the training data set was made of (the first one made in a run)."""
    seen: list[int] = []
    make = LabelledSliceDataset.__init__

    def watched(self: LabelledSliceDataset, store: SliceStore, indices: np.ndarray, **options: Any) -> None:
        make(self, store, indices, **options)
        if not seen:
            seen.extend(indices.tolist())

    monkeypatch.setattr(LabelledSliceDataset, "__init__", watched)
    return seen


def test_learns_to_tell_the_classes_apart(finetune_config: Make) -> None:
    config = finetune_config(epochs=12, widths=(4, 4, 8, 8, 8), optimizer="adam", lr=1e-2)
    finetune(config)
    best = json.loads((config.run / "summary.json").read_text())["best"]
    assert best["val_accuracy"] == 1.0
    assert best["val_auroc"] == 1.0
    store = SliceStore.open(config.store)
    images = torch.from_numpy(np.array(store.slices[store.select("test")])).float()[:, None] / 255
    with torch.no_grad():
        assert (load_classifier(config.run)(images) > 0).tolist() == [False, True]


def test_random_and_pretrained_start_differ_in_the_encoder_alone(
    finetune_config: Make, pretrain_config: MakePretrain
) -> None:
    before = pretrain_config(epochs=1)
    pretrain(before)
    random, pretrained = finetune_config("ri", max_steps=1), finetune_config("plr", max_steps=1, init=str(before.run))
    for config in (random, pretrained):
        # Stop after the first save: the state before any step.
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(FinetuneTask, "loss", stop)
            with pytest.raises(StoppedError):
                finetune(config)
    first, second = (load_checkpoint(c.run / "checkpoints/last").model for c in (random, pretrained))
    source = load_checkpoint(before.run / "checkpoints/best").model
    for name in first:
        if name.startswith("encoder."):
            assert torch.equal(second[name], source[name])
        else:
            assert torch.equal(first[name], second[name])
    assert not torch.equal(first["encoder.conv5.weight"], second["encoder.conv5.weight"])
    assert record(random.run)["init_sha256"] is None
    assert len(record(pretrained.run)["init_sha256"]) == 64


def test_an_encoder_of_another_width_is_refused(finetune_config: Make, pretrain_config: MakePretrain) -> None:
    before = pretrain_config(epochs=1, widths=(2, 3, 4, 4, 5))
    pretrain(before)
    with pytest.raises(CheckpointError, match=r"widths \(2, 3, 4, 4, 5\) there, \(2, 3, 4, 4, 4\) here"):
        finetune(finetune_config(init=str(before.run)))


def test_trains_on_labelled_training_slices_only(finetune_config: Make, trained_on: list[int]) -> None:
    config = finetune_config(epochs=1)
    finetune(config)
    store = SliceStore.open(config.store)
    assert trained_on == sorted(store.select("train").tolist())


def test_a_fraction_takes_whole_groups_of_both_classes(finetune_config: Make, trained_on: list[int]) -> None:
    config = finetune_config(fraction=0.3, epochs=1)
    finetune(config)
    store = SliceStore.open(config.store)
    # 7 negative and 5 positive groups of two slices: 2 of each.
    assert sorted(store.labels[trained_on].tolist()) == [0, 0, 0, 0, 1, 1, 1, 1]
    assert len(set(store.groups[trained_on])) == 4
    facts = record(config.run)
    assert (facts["train_slices"], facts["train_positives"]) == (8, 4)
    assert (facts["train_groups"], facts["train_groups_available"]) == (4, 12)


def test_a_fraction_of_slices_is_the_papers_way(finetune_config: Make, trained_on: list[int]) -> None:
    config = finetune_config(fraction=0.3, fraction_by="slices", epochs=1)
    finetune(config)
    store = SliceStore.open(config.store)
    # 14 negative and 10 positive slices: 4 and 3 of them, which leaves some group in part.
    assert sorted(store.labels[trained_on].tolist()) == [0, 0, 0, 0, 1, 1, 1]
    whole = [sum(store.groups[store.select("train")] == group) for group in set(store.groups[trained_on])]
    assert sum(whole) > 7


def test_best_epoch_and_plateau_follow_what_is_asked(finetune_config: Make) -> None:
    rows = [
        {"val_loss": 0.9, "val_accuracy": 0.6, "val_balanced_accuracy": 0.7, "val_auroc": 0.5},
        {"val_loss": 0.8, "val_accuracy": 0.6, "val_balanced_accuracy": 0.5, "val_auroc": 0.5},
        {"val_loss": 1.0, "val_accuracy": 0.5, "val_balanced_accuracy": 0.5, "val_auroc": 0.6},
    ]
    best = {"loss": 1, "accuracy": 1, "balanced_accuracy": 0, "auroc": 2}
    for name, expected in best.items():
        task = FinetuneTask(Classifier((2, 2, 2, 2, 2)), None, None, finetune_config(best_by=name), positive_weight=1.0)
        assert max(range(3), key=lambda i: task.score(rows[i])) == expected, name
        assert task.best_metric == f"val_{name}"
        assert task.plateau == ("val_accuracy", "max")
    by_loss = FinetuneTask(
        Classifier((2, 2, 2, 2, 2)), None, None, finetune_config(plateau_by="loss"), positive_weight=1.0
    )
    assert by_loss.plateau == ("val_loss", "min")


@pytest.mark.parametrize("best_by", ["balanced_accuracy", "auroc"])
def test_best_by_what_needs_both_classes(finetune_config: Make, tmp_path: Path, best_by: str) -> None:
    config = finetune_config(best_by=best_by, epochs=2)
    finetune(config)
    assert f"val_{best_by}" in json.loads((config.run / "summary.json").read_text())["best_metric"]
    one_class = write_store(tmp_path / "one", val=1)  # no slice of either class there
    with pytest.raises(DataError):
        finetune(finetune_config("b", store=one_class, best_by=best_by))


def test_the_subset_has_a_seed_of_its_own(finetune_config: Make) -> None:
    make = LabelledSliceDataset.__init__
    chosen = []
    for run, changes in (("a", {"seed": 1}), ("b", {"seed": 2}), ("c", {"seed": 1, "subset_seed": 2})):
        seen: list[list[int]] = []
        with pytest.MonkeyPatch.context() as patch:

            def watched(
                self: LabelledSliceDataset,
                store: SliceStore,
                indices: np.ndarray,
                seen: list[list[int]] = seen,
                **options: Any,
            ) -> None:
                make(self, store, indices, **options)
                seen.append(indices.tolist())

            patch.setattr(LabelledSliceDataset, "__init__", watched)
            finetune(finetune_config(run, fraction=0.3, epochs=1, **changes))
        chosen.append(seen[0])
    assert chosen[1] == chosen[2] != chosen[0]


def test_meter_agrees_with_scikit_learn() -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(40, generator=generator)
    logits[:6] = 0.25  # ties
    labels = (torch.rand(40, generator=generator) < 0.3).float()

    class Echo(nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            return images[:, 0, 0, 0]

    meter = ClassificationMeter(positive_weight=2.5)
    for part in (slice(0, 7), slice(7, 40)):
        meter.update(Echo(), {"image": logits[part, None, None, None], "label": labels[part]})
    values = meter.compute(_single())
    chances = logits.double().sigmoid().numpy()
    truth = labels.numpy()
    weighted = -np.mean(2.5 * truth * np.log(chances) + (1 - truth) * np.log(1 - chances))
    assert values["val_loss"] == pytest.approx(weighted, rel=1e-7)
    assert values["val_accuracy"] == pytest.approx(np.mean((chances >= 0.5) == truth))
    assert values["val_balanced_accuracy"] == pytest.approx(balanced_accuracy_score(truth, chances >= 0.5))
    assert values["val_auroc"] == pytest.approx(roc_auc_score(truth, chances))


def test_meter_of_a_single_class_leaves_undefined_values_out() -> None:
    meter = ClassificationMeter(1.0)
    meter.update(nn.Flatten(0), {"image": torch.tensor([1.0, -1.0]), "label": torch.tensor([1.0, 1.0])})
    values = meter.compute(_single())
    assert values["val_accuracy"] == 0.5
    assert values["val_auroc"] is None
    assert values["val_balanced_accuracy"] is None


def _single() -> Any:
    from lightning_fabric import Fabric

    return Fabric(accelerator="cpu", devices=1)


def test_balanced_weighting_makes_the_classes_equal(finetune_config: Make) -> None:
    config = finetune_config(class_weight="balanced", epochs=1)
    finetune(config)
    weight = record(config.run)["positive_weight"]
    assert weight == pytest.approx(14 / 10)
    # At a logit of 0 every slice costs log 2 and the classes' shares of the loss are then equal.
    labels = torch.tensor([0.0] * 14 + [1.0] * 10)
    loss = cross_entropy(torch.zeros(24), labels, weight)
    assert loss.item() == pytest.approx(2 * 14 / 24 * np.log(2), rel=1e-6)


@pytest.mark.parametrize("best_by", ["loss", "accuracy"])
def test_the_best_epoch_is_the_one_asked_for(
    finetune_config: Make, best_by: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [(0.5, 0.9), (0.7, 0.6), (0.7, 0.8), (0.7, 0.5), (0.6, 0.4)]  # accuracy, loss
    planned = iter(rows)

    def compute(_meter: ClassificationMeter, _fabric: Any) -> dict[str, float | None]:
        accuracy, loss = next(planned)
        return {"val_loss": loss, "val_accuracy": accuracy, "val_auroc": None}

    monkeypatch.setattr(ClassificationMeter, "compute", compute)
    config = finetune_config(epochs=5, best_by=best_by, early_stop=0)
    result = finetune(config)
    epoch = {"loss": 5, "accuracy": 4}[best_by]  # of the equal accuracies the one of least loss
    assert json.loads((config.run / "summary.json").read_text())["best"]["epoch"] == epoch
    assert load_checkpoint(result.best).state["row"]["epoch"] == epoch
    assert result.best_metric == {"loss": 0.4, "accuracy": 0.7}[best_by]


def test_batches_do_not_decide_the_augmentation(finetune_config: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    """The augmented picture of each slice in each epoch is the same for any batch size."""
    seen: dict[int, dict[str, Tensor]] = {}
    forward = Classifier.forward

    for size in (3, 8):
        pictures: list[Tensor] = []

        def watched(self: Classifier, images: Tensor, pictures: list[Tensor] = pictures) -> Tensor:
            if self.training:
                pictures.extend(images.clone())
            return forward(self, images)

        monkeypatch.setattr(Classifier, "forward", watched)
        finetune(finetune_config(f"size{size}", batch_size=size, epochs=2))
        seen[size] = {str(picture.sum(dtype=torch.float64).item()): picture for picture in pictures}
    assert len(seen[3]) == 2 * 24
    assert seen[3].keys() == seen[8].keys()
    assert all(torch.equal(picture, seen[8][key]) for key, picture in seen[3].items())


def test_the_same_settings_give_the_same_bits(finetune_config: Make) -> None:
    first, second, third = finetune_config("a"), finetune_config("b"), finetune_config("c", seed=1)
    for config in (first, second, third):
        finetune(config)
    assert_same_run(first.run, second.run)
    weights = [load_checkpoint(config.run / "checkpoints/last").model["output.weight"] for config in (first, third)]
    assert not torch.equal(*weights)


def test_splits_without_labels_or_class_are_said(finetune_config: Make, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no positive"):
        finetune(finetune_config("a", store=write_store(tmp_path / "healthy", positives=0)))
    with pytest.raises(DataError, match="no labelled slice in its val split"):
        finetune(finetune_config("b", store=write_store(tmp_path / "unvalidated", val=0)))
