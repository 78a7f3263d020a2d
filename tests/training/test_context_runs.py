"""2.5-D input through training and evaluation: channels, transfer between numbers of them, and what is refused."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plr_fast.data.store import SliceRecord, SliceStore, StoreWriter
from plr_fast.errors import CheckpointError, ConfigError, DataError
from plr_fast.evaluation import EvaluateConfig, evaluate
from plr_fast.evaluation.inference import predict, restore
from plr_fast.models import Classifier, PretextUNet, UNet, load_encoder
from plr_fast.training import FinetuneConfig, PretrainConfig, finetune, load_classifier, load_unet, pretrain

Make = Callable[..., FinetuneConfig]
MakePretrain = Callable[..., PretrainConfig]
SIZE = 32


@pytest.fixture(scope="module")
def volumes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Volumes of four slices; the positives are bright in the middle."""
    path = tmp_path_factory.mktemp("volumes") / "store"
    generator = np.random.default_rng(5)
    rows, columns = np.mgrid[:SIZE, :SIZE]
    lung = ((rows - 16) ** 2 + (columns - 16) ** 2 < 150).astype(np.uint8)
    with StoreWriter(path, size=SIZE, count=100, class_names=("normal", "covid")) as writer:
        for split, count in (("train", 3), ("val", 1), ("test", 2)):
            for label in (0, 1):
                for volume in range(count):
                    name = f"{split}{label}v{volume}"
                    for page in range(4):
                        image = generator.integers(20, 60, (SIZE, SIZE)).astype(np.uint8) + 60 * (1 - lung)
                        image[12:20, 12:20] += np.uint8(90 * label)
                        record = SliceRecord(
                            id=f"{name}#{page:04d}", group=name, patient=name, split=split, label=label
                        )
                        writer.add(image, lung, record)
    return path


def test_runs_with_neighbours_go_through_evaluation(
    volumes: Path, finetune_config: Make, pretrain_config: MakePretrain, tmp_path: Path
) -> None:
    flat, deep = (pretrain_config(f"pre{c}", store=volumes, context=c, epochs=1) for c in (0, 2))
    classifier = finetune_config("cls", store=volumes, context=2, epochs=1, init=str(deep.run))
    for config in (flat, deep):
        pretrain(config)
    finetune(classifier)
    assert load_unet(deep.run).encoder.in_channels == 5
    assert load_unet(flat.run).encoder.in_channels == 1
    result = evaluate(
        EvaluateConfig(
            store=volumes,
            out=tmp_path / "report",
            classifiers=(classifier.run,),
            restorers=(flat.run, deep.run),
            bootstrap=100,
            device="cpu",
        )
    )
    assert result.report.exists()
    assert {found.restorer for found in result.restorations} == {"pre0", "pre2"}
    # Both are judged on the same pictures.
    baselines = {found.summary["altered"]["mse"]["corrupted"].to_json()["value"] for found in result.restorations}
    assert len(baselines) == 1


def test_further_tasks_with_neighbours(volumes: Path, finetune_config: Make, pretrain_config: MakePretrain) -> None:
    tasks: dict[str, Any] = {"clean_share": 0.5, "mask_weight": 1.0, "presence_weight": 1.0, "hidden": 8}
    before = pretrain_config(store=volumes, context=1, epochs=1, **tasks)
    pretrain(before)
    unet = load_unet(before.run)
    assert isinstance(unet, PretextUNet)
    outputs = unet(torch.rand(2, 3, 20, 20), heads=True)
    assert [part.shape for part in outputs] == [(2, 1, 20, 20), (2, 1, 20, 20), (2,)]
    finetune(finetune_config(store=volumes, context=1, init=str(before.run), init_head="on", max_steps=1))


def test_scores_come_from_the_slice_and_its_neighbours(volumes: Path, finetune_config: Make) -> None:
    config = finetune_config(store=volumes, context=1, max_steps=1)
    finetune(config)
    store, model = SliceStore.open(volumes), load_classifier(config.run)
    chosen = np.array([0, 1, 7])
    grey = torch.from_numpy(np.asarray(store.slices[[[0, 0, 1], [0, 1, 2], [6, 7, 7]]]) / np.float32(255))
    with torch.inference_mode():
        expected = torch.sigmoid(model(grey).double()).numpy()
    np.testing.assert_allclose(predict(model, store, chosen, name="x", batch_size=2), expected, rtol=1e-5)


def test_validation_identity_is_of_the_slice_in_the_middle(volumes: Path, pretrain_config: MakePretrain) -> None:
    import csv

    identities = []
    for context in (0, 1):
        config = pretrain_config(f"run{context}", store=volumes, context=context, epochs=1)
        pretrain(config)
        with (config.run / "metrics.csv").open() as stream:
            identities.append(float(next(csv.DictReader(stream))["val_identity"]))
    assert identities[0] == pytest.approx(identities[1], rel=1e-6)
    assert identities[0] > 0


def test_an_encoder_for_another_number_of_slices_is_fitted_only_when_asked(
    volumes: Path, finetune_config: Make, pretrain_config: MakePretrain
) -> None:
    before = pretrain_config(store=volumes, epochs=1)
    pretrain(before)
    with pytest.raises(CheckpointError, match=r"in_channels 1 there, 3 here.*--init-inflate"):
        finetune(finetune_config("no", store=volumes, context=1, init=str(before.run)))
    config = finetune_config("yes", store=volumes, context=1, init=str(before.run), init_inflate=True, max_steps=1)
    finetune(config)
    assert load_classifier(config.run).encoder.in_channels == 3
    with pytest.raises(ConfigError, match="init_inflate=True would have no effect: it is for the init of a run"):
        finetune_config("ri", store=volumes, init_inflate=True).check()


@pytest.mark.parametrize(("theirs", "ours"), [(1, 5), (3, 1)])
def test_fitted_encoders_see_the_same_in_equal_slices(theirs: int, ours: int, tmp_path: Path) -> None:
    from safetensors.torch import save_file

    widths = (2, 3, 4, 5, 6)
    source, model = UNet(theirs, 1, widths), Classifier(widths, in_channels=ours)
    save_file(source.state_dict(), tmp_path / "model.safetensors")
    load_encoder(model, tmp_path, inflate=True)
    images = torch.rand(1, 1, 16, 16)
    for expected, found in zip(
        source.encoder(images.expand(-1, theirs, -1, -1)), model.encoder(images.expand(-1, ours, -1, -1)), strict=True
    ):
        torch.testing.assert_close(found, expected)


def test_only_one_channel_can_become_several(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    widths = (2, 3, 4, 5, 6)
    save_file(UNet(3, 1, widths).state_dict(), tmp_path / "model.safetensors")
    with pytest.raises(CheckpointError, match="takes 3 channels, this network 5: only from or to one"):
        load_encoder(Classifier(widths, in_channels=5), tmp_path, inflate=True)


def test_a_store_without_volumes_is_refused(pretrain_config: MakePretrain, finetune_config: Make) -> None:
    for train, config in ((pretrain, pretrain_config(context=1)), (finetune, finetune_config(context=1))):
        with pytest.raises(DataError, match="holds no volumes"):
            train(config)  # type: ignore[operator]


def test_a_restorer_gets_the_neighbours_it_takes_and_no_fewer() -> None:
    seen: list[torch.Tensor] = []

    class Middle(torch.nn.Module):
        def __init__(self, channels: int) -> None:
            super().__init__()
            self.encoder = torch.nn.Module()
            self.encoder.in_channels = channels  # type: ignore[assignment]

        def forward(self, images: torch.Tensor) -> torch.Tensor:
            seen.append(images)
            middle = images.shape[1] // 2
            return images[:, middle : middle + 1]

    stack = np.random.default_rng(0).random((2, 5, 8, 8), dtype=np.float32)
    for channels in (1, 3, 5):
        np.testing.assert_array_equal(restore(Middle(channels), stack, name="r"), stack[:, 2])
        first = 2 - channels // 2
        np.testing.assert_array_equal(seen[-1].numpy(), stack[:, first : first + channels])
    with pytest.raises(CheckpointError, match="takes 3 channels, but 1 are given"):
        restore(Middle(3), stack[:, 0], name="r")


def test_negative_context_is_refused(pretrain_config: MakePretrain) -> None:
    settings: dict[str, Any] = {"context": -1}
    with pytest.raises(ConfigError, match="context must be at least 0"):
        pretrain_config(**settings).check()
