"""What a run remembers of its slices, and that no encoder is fine-tuned to be judged on them."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from plr_fast.data.split_hash import split_hash
from plr_fast.data.store import SliceRecord, SliceStore, StoreWriter
from plr_fast.errors import CheckpointError, ConfigError
from plr_fast.training import FinetuneConfig, PretrainConfig, finetune, pretrain
from plr_fast.training.overlap import overlap
from plr_fast.training.seen import SeenSlices, read_seen, seen_slices

from .conftest import SIZE, write_store

Make = Callable[..., FinetuneConfig]
MakePretrain = Callable[..., PretrainConfig]


def copy_store(source: Path, path: Path, change: Callable[[int, dict[str, Any]], None], size: int = SIZE) -> SliceStore:
    """A copy of the store in which ``change(index, columns)`` has altered rows of the manifest."""
    store = SliceStore.open(source)
    with StoreWriter(path, size=size, count=len(store), class_names=store.class_names) as writer:
        for index in range(len(store)):
            columns = {
                "id": str(store.ids[index]), "group": str(store.groups[index]), "split": str(store.splits[index]),
                "label": int(store.labels[index]), "patient": str(store.patients[index]),
            }  # fmt: skip
            change(index, columns)
            picture, mask = np.array(store.slices[index]), np.array(store.masks[index])
            scale = size // SIZE
            writer.add(
                picture.repeat(scale, 0).repeat(scale, 1),
                mask.repeat(scale, 0).repeat(scale, 1),
                SliceRecord(**columns),
            )
    return SliceStore.open(path)


def unchanged(index: int, columns: dict[str, Any]) -> None:
    pass


def swap(first: int, second: int) -> Callable[[int, dict[str, Any]], None]:
    """Give two slices each other's split."""

    def change(index: int, columns: dict[str, Any]) -> None:
        if index in (first, second):
            columns["split"] = {"train": "val", "val": "train"}[columns["split"]]
            columns["group"] += "-moved"

    return change


@pytest.fixture
def pretrained(pretrain_config: MakePretrain) -> Path:
    config = pretrain_config("plr", epochs=1)
    pretrain(config)
    return config.run


def test_the_record_holds_what_was_read_and_no_names(pretrained: Path, store_path: Path) -> None:
    store = SliceStore.open(store_path)
    seen = read_seen(pretrained)
    assert seen == seen_slices(store, store.select("train", 0))
    assert len(seen.ids) == len(seen.pixels or ()) == 14
    assert "train0" not in (pretrained / "training_slices.json").read_text()
    assert overlap(seen, store).slices == 0


def test_a_finetuning_run_writes_its_subset(finetune_config: Make, store_path: Path) -> None:
    config = finetune_config(epochs=1, fraction=0.3)
    finetune(config)
    seen = read_seen(config.run)
    assert seen is not None
    assert len(seen.ids) == 8


def test_swapped_slices_are_found_by_id_at_any_size_and_by_pixels_under_any_name(
    pretrained: Path, store_path: Path, tmp_path: Path
) -> None:
    seen = read_seen(pretrained)
    assert seen is not None
    first = int(SliceStore.open(store_path).select("train", 0)[0])
    second = int(SliceStore.open(store_path).select("val", 0)[0])
    larger = copy_store(store_path, tmp_path / "larger", swap(first, second), size=2 * SIZE)
    assert overlap(seen, larger).slices == 1

    def renamed(index: int, columns: dict[str, Any]) -> None:
        swap(first, second)(index, columns)
        columns["id"] = f"other-{index}"

    assert overlap(seen, copy_store(store_path, tmp_path / "renamed", renamed)).slices == 1
    # Another size and other names: nothing can be known.
    assert overlap(seen, copy_store(store_path, tmp_path / "both", renamed, size=2 * SIZE)).slices == 0


def test_a_list_of_before_looks_were_kept_is_read(pretrained: Path, store_path: Path) -> None:
    path = pretrained / "training_slices.json"
    content = json.loads(path.read_text())
    del content["looks"]
    path.write_text(json.dumps(content | {"format_version": 1}))
    seen = read_seen(pretrained)
    assert seen is not None
    assert set(seen.looks) == {""}
    store = SliceStore.open(store_path)
    assert overlap(seen, store, store.select("train", 0)).slices == 14
    assert overlap(seen, store).slices == 0
    # Where pixels cannot be compared either, names must do.
    larger = copy_store(store_path, store_path.parent / "larger", unchanged, size=2 * SIZE)
    assert overlap(seen, larger, larger.select("train", 0)).slices == 14
    assert overlap(seen, larger).slices == 0


def test_an_encoder_that_saw_held_out_slices_is_refused(
    pretrained: Path, finetune_config: Make, store_path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    store = SliceStore.open(store_path)
    other = copy_store(store_path, tmp_path / "other", swap(int(store.select("train", 0)[0]), len(store) - 3))
    leaking = {"init": str(pretrained), "store": other.path, "epochs": 1}
    with pytest.raises(ConfigError, match=r"trained on 1 of the 8 slices .* --allow-overlap"):
        finetune(finetune_config("refused", **leaking))
    finetune(finetune_config("allowed", **leaking, allow_overlap=True))
    assert "trained on 1 of the 8 slices" in " ".join(capsys.readouterr().err.split())
    finetune(finetune_config("clean", init=str(pretrained), epochs=1))
    assert "trained on" not in capsys.readouterr().err


def test_what_an_encoder_saw_is_passed_on(
    pretrained: Path, finetune_config: Make, store_path: Path, tmp_path: Path
) -> None:
    """pretrained -> fine-tuned on half of the store -> fine-tuned where a slice of the first is held out."""
    store = SliceStore.open(store_path)
    middle = finetune_config("middle", init=str(pretrained), fraction=0.3, epochs=1)
    finetune(middle)
    own, seen = finetune_config("own", fraction=0.3, epochs=1), read_seen(middle.run)
    finetune(own)
    first, alone = read_seen(pretrained), read_seen(own.run)
    assert first is not None
    assert alone is not None
    assert seen is not None
    assert set(seen.ids) == {*first.ids, *alone.ids} > set(alone.ids)
    assert set(seen.pixels or ()) == {*(first.pixels or ()), *(alone.pixels or ())}
    shutil.rmtree(pretrained)
    finetune(replace(middle, resume=True, epochs=2))
    assert read_seen(middle.run) == seen
    earlier = next(i for i in store.select("train", 0) if is_new_to(alone, store, int(i)))
    other = copy_store(store_path, tmp_path / "other", swap(earlier, len(store) - 3))
    with pytest.raises(ConfigError, match="trained on 1 of"):
        finetune(finetune_config("last", init=str(middle.run), store=other.path, epochs=1))


def is_new_to(seen: SeenSlices, store: SliceStore, index: int) -> bool:
    """Whether a slice is not among those seen."""
    return seen_slices(store, np.array([index])).ids[0] not in seen.ids


def test_other_pictures_of_the_same_patient_are_said(
    pretrain_config: MakePretrain, finetune_config: Make, store_path: Path, tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    store = SliceStore.open(store_path)

    def patients(index: int, columns: dict[str, Any]) -> None:
        columns["patient"] = "Jane Doe" if index in (0, len(store) - 1) else ""

    known = copy_store(store_path, tmp_path / "known", patients)
    pretrain(pretrain_config("plr", store=known.path, epochs=1))
    assert "Jane" not in (tmp_path / "plr" / "training_slices.json").read_text()
    finetune(finetune_config("fine", store=known.path, init=str(tmp_path / "plr"), epochs=1))
    said = " ".join(capsys.readouterr().err.split())
    assert "1 of the 8 slices" in said
    assert "if they are the same patients" in said


def test_a_run_without_the_list_is_judged_by_its_fingerprint(
    pretrained: Path, finetune_config: Make, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (pretrained / "training_slices.json").unlink()
    other = write_store(tmp_path / "other", normals=8)
    finetune(finetune_config("a", init=str(pretrained), epochs=1))
    assert "another store" not in capsys.readouterr().err
    finetune(finetune_config("b", store=other, init=str(pretrained), epochs=1))
    assert "another store" in capsys.readouterr().err


def test_a_damaged_list_is_said(pretrained: Path) -> None:
    path = pretrained / "training_slices.json"
    content = json.loads(path.read_text())
    wrong_looks = [
        json.dumps(content | {"looks": [look, *content["looks"][1:]]})
        for look in ("0", "xy" * 16, "0" * 30, "0" * 34, "0" * 32 + "\n", 7, None)
    ]
    fewer = json.dumps(content | {"looks": content["looks"][1:]})
    for text in ("{", '{"format_version": 1}', "[]", fewer, *wrong_looks):
        path.write_text(text)
        with pytest.raises(CheckpointError, match="is damaged"):
            read_seen(pretrained)
    path.write_text('{"format_version": 99}')
    with pytest.raises(CheckpointError, match="newer plr_fast"):
        read_seen(pretrained)


def test_the_split_hash_knows_splits_and_nothing_else(store_path: Path, tmp_path: Path) -> None:
    store = SliceStore.open(store_path)

    def digest(of: SliceStore) -> str:
        return split_hash(of.ids.tolist(), of.splits.tolist())

    larger = copy_store(store_path, tmp_path / "larger", unchanged, size=2 * SIZE)
    assert larger.fingerprint != store.fingerprint
    assert digest(larger) == digest(store)
    assert digest(copy_store(store_path, tmp_path / "moved", swap(0, 24))) != digest(store)
    order = np.random.default_rng(0).permutation(len(store))
    assert split_hash(store.ids[order].tolist(), store.splits[order].tolist()) == digest(store)


def test_records_of_both_kinds_name_split_and_machine(
    pretrained: Path, finetune_config: Make, store_path: Path
) -> None:
    config = finetune_config(epochs=1)
    finetune(config)
    store = SliceStore.open(store_path)
    for run in (pretrained, config.run):
        record = json.loads((run / "config.json").read_text())
        assert record["split_sha256"] == split_hash(store.ids.tolist(), store.splits.tolist())
        assert record["recipe"] is None
        machine = record["starts"][0]["machine"]
        assert set(machine) == {"system", "processor", "cpus_usable", "gpus", "gpu_driver"}
        assert machine["cpus_usable"] >= 1
