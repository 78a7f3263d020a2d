"""Where a fine-tuned network begins: putting the weights in, and what the run's record says of them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

from torch import nn

from ..errors import CheckpointError
from ..models import load_encoder, load_head, load_imagenet
from ..models.imagenet import load_timm_pretrained
from ..models.transfer import find_weights
from .checkpoint import find_checkpoint
from .config import FinetuneConfig
from .config.finetune import IMAGENET, PRETRAINED
from .record import CONFIG_FILE, file_sha256, last_checkpoint, read_record

PRETEXTS = {"perlin": "PLR-P", "gaussian": "PLR-G", "shuffle": "PLR-L"}
"""The paper's name of each corruption's initialisation."""


def initialise(model: nn.Module, config: FinetuneConfig) -> None:
    """Put the weights that ``config.init`` names into ``model.encoder``, and its head as ``config.init_head`` says;
    nothing for "random".

    Raises:
        CheckpointError: they cannot be read or do not fit, or there is no head and one is asked for.
    """
    if config.init == "random":
        return
    if config.init == PRETRAINED:
        load_timm_pretrained(model, normalise=config.init_normalise)
    elif config.init.startswith(IMAGENET):
        load_imagenet(model, config.init.removeprefix(IMAGENET), normalise=config.init_normalise)
    else:
        load_encoder(model, config.init, inflate=config.init_inflate)
        if config.init_head != "off" and config.model == "plr":
            found = load_head(model, config.init)
            if config.init_head == "on" and not found:
                raise CheckpointError(
                    f"{config.init} has no head to take over (init_head=on): pretrain with --presence-weight, or leave "
                    "--init-head out"
                )


def initialised_by(config: FinetuneConfig, model: nn.Module) -> dict[str, Any]:
    """What the run's record says of its initialisation; ``model`` as :func:`initialise` left it.

    ``init_kind``: RI, ImageNet, PLR-P, PLR-G, PLR-L (with a + where pretraining had further tasks), supervised (a
    fine-tuning run), or file (weights of unknown origin). ``init_name``: what tables call it. ``init_sha256``: hash of
    the file of weights (of the encoder's tensors for timm's own). ``init_source``: of a run its kind, its own
    init_kind, class names, the fingerprint of its store, seed and version; else None.

    Raises:
        CheckpointError: the source is gone and the record of a resumed run, which would tell of it, as well.
    """
    started = config.resume and find_checkpoint(last_checkpoint(Path(config.run))) is not None
    if config.init != "random" and started and not _path(config).exists():
        # Not needed any more once the run has a checkpoint of its own.
        recorded = read_record(config.run)
        return {key: recorded.get(key) for key in ("init_kind", "init_name", "init_sha256", "init_source")}
    kind, sha256, source = "RI", None, None
    if config.init == PRETRAINED:
        kind, sha256 = "ImageNet", _tensors_sha256(model)
    elif config.init.startswith(IMAGENET):
        kind, sha256 = "ImageNet", file_sha256(_path(config))
    elif config.init != "random":
        sha256 = file_sha256(find_weights(config.init))
        kind, source = _origin(Path(config.init))
    return {"init_kind": kind, "init_name": config.init_name or kind, "init_sha256": sha256, "init_source": source}


def _tensors_sha256(model: nn.Module) -> str:
    """SHA-256 over the names and bytes of the encoder's tensors."""
    digest = hashlib.sha256()
    for name, tensor in cast(Any, model).encoder.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def _path(config: FinetuneConfig) -> Path:
    return Path(config.init.removeprefix(IMAGENET))


def _origin(path: Path) -> tuple[str, dict[str, Any] | None]:
    """Kind of initialisation, and facts, of a run folder or of something inside one."""
    # The file lies in RUN/checkpoints/best.
    for folder in (path, *list(path.resolve().parents)[:3]):
        if not (folder / CONFIG_FILE).is_file():
            continue
        try:
            record = read_record(folder)
        except CheckpointError:
            continue  # some other program's file
        settings = record.get("config", {})
        kind = "supervised"
        if record.get("kind") == "pretrain":
            kind = PRETEXTS.get(settings.get("corruption"), "file")
            if kind != "file" and (settings.get("mask_weight") or settings.get("presence_weight")):
                kind += "+"
        facts = {key: record.get(key) for key in ("kind", "init_kind", "class_names", "store_fingerprint", "plr_fast")}
        return kind, {**facts, "seed": settings.get("seed")}
    return "file", None
