"""A window of frames through the full-size models of stage 1, on a GPU that isn't there.

GroundingDINO (Swin-T) looks for two persons in frames of 1080p, BLIP-2 (ViT-g) or CLIP (ViT-B/32) encodes whole frames
and crops by boxes that are given, in the precision that a GPU gets. Weights are random; only their shapes are on the
device.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import Tensor, nn

from rhas.extract.config import load_config
from rhas.extract.decode.on_device import on_device
from rhas.extract.decode.process import Frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.encode import load_encoder
from rhas.extract.encode.windows import OnePass
from rhas.extract.ground import load_detector
from rhas.extract.weights.precision import cast_once
from rhas.manifests.shards.boxes import PersonBoxes, no_boxes
from rhas.manifests.shards.status import FrameStatus
from rhas.manifests.tables.manifest import Person

FRAMES, HEIGHT, WIDTH = 16, 1080, 1920
PERSONS = [Person("m", "a", "the man with the hat"), Person("m", "b", "the woman in the red coat")]
PARTS = ("ground", "encode")


def models_of(kind: str) -> OnePass:
    """The models of one worker, on the CPU."""
    full = ["detector.weights=random:full", "encoder.weights=random:full", "precision=bfloat16"]
    config = load_config(kind, full)
    detector, encoder = load_detector(config.detector), load_encoder(config.encoder)
    cast_once(detector.model)
    cast_once(encoder.model)
    return OnePass(detector, encoder, config, torch.device("cpu"), FRAMES)


def on_the_gpu(models: OnePass, gpu: Any) -> OnePass:
    """The same there, for good; to be called while it is entered."""
    with mock.patch.object(nn.Module, "to", _moved):
        models.grounder.detector.to(gpu.device)
        models.encoder.to(gpu.device)
    return OnePass(models.grounder.detector, models.encoder, models.config, gpu.device, FRAMES)


def _moved(module: nn.Module, device: torch.device) -> nn.Module:
    """As `module.to(device)`, which swaps tensors that the mode knows already where modules share one."""
    there: dict[int, Tensor] = {}
    for part in module.modules():
        for own in (part._parameters, part._buffers):
            for name, tensor in own.items():
                if tensor is not None:
                    known = there.setdefault(
                        id(tensor), tensor if tensor.device == device else tensor.to(device)
                    )
                    own[name] = nn.Parameter(known, requires_grad=False) if own is part._parameters else known
    return module


def one_window(models: OnePass, part: str) -> None:
    """Looks for everybody in a window, or encodes it by boxes that are known."""
    # In inference mode operations come whole, and are taken apart where nobody counts.
    own = torch.inference_mode
    with mock.patch("torch.inference_mode", lambda *mode: own(*mode) if mode else torch.no_grad()):
        _one_window(models, part)


def _one_window(models: OnePass, part: str) -> None:
    pixels = np.zeros((FRAMES, HEIGHT, WIDTH, 3), np.uint8)
    window = WindowFrames(Frames(pixels, np.ones(FRAMES, bool), "", False, 0), 0)
    inside = [np.ones(FRAMES, bool)] * len(PERSONS)
    if part == "encode":
        models.process(window, PERSONS, inside, dict(_boxes()))
        return
    with torch.inference_mode(), models.autocast(), on_device(pixels, models.device) as frames:
        models.grounder.ground(window, PERSONS, inside, frames)


def _boxes() -> Iterator[tuple[str, PersonBoxes]]:
    for place, person in enumerate(PERSONS):
        own = no_boxes(np.ones(FRAMES, bool))
        own.box[:] = (0.1 + 0.4 * place, 0.2, 0.3 + 0.4 * place, 0.9)
        own.status[:], own.score[:], own.sure[:] = FrameStatus.DETECTED, 0.9, 0.9
        yield person.person_id, own
