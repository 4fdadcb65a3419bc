"""Makes boxes of persons exact: cuts out around each, and asks where its sides are.

In: frames and boxes that are of somebody already, whoever found them and whenever: seen in this frame, or known from
those before and after. Out: the same boxes with their sides moved to where that person ends. Whose a box is, whether
there is one, its score and how sure it is stay as they are.

In float32 where the other models compute in bfloat16; a GPU may take TF32 for its convolutions, as torch lets it. What
else is in a batch changes a box by rounding only.

Shapes: N boxes (x1, y1, x2, y2 as fractions of the frame) in B frames of H x W pixels.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import chain
from pathlib import Path

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from rhas.extract.batches import Batches
from rhas.extract.config import DetectorConfig
from rhas.extract.crops import person_crops, pixel_box, placed
from rhas.extract.decode.on_device import OnDevice, together
from rhas.extract.refine.net import MARGIN, SIZE, BoxNet
from rhas.extract.weights.fingerprint import weights_hash
from rhas.extract.weights.shipped_weights import place
from rhas.manifests.common.errors import InputError, Problem
from rhas.manifests.shards.boxes import PersonBoxes
from rhas.manifests.shards.status import HAS_BOX

WEIGHTS = "model.safetensors"
GREY = (0.5, 0.5, 0.5)
_LEAST = 1e-3  # of a frame: a box that would be smaller stays as it was


@dataclass(frozen=True)
class Cutouts:
    """N cut-outs [N, CHANNELS, SIZE, SIZE]; a place of theirs, 0 to 1, is at `first + place * length` of the frame.

    `first`, `length` [N, 2]: x, y.
    """

    pixels: Tensor
    first: Tensor
    length: Tensor

    def of_frame(self, places_N22: Tensor) -> Tensor:
        """Sides [N, 2, 2] (axis; first, last) as boxes [N, 4] of the frame."""
        sides_N22 = self.first[..., None] + places_N22 * self.length[..., None]
        return sides_N22.transpose(1, 2).flatten(1).clamp(0, 1)

    def of_box(self, boxes_N4: Tensor) -> Tensor:
        """The opposite."""
        sides_N22 = boxes_N4.unflatten(1, (2, 2)).transpose(1, 2)
        return (sides_N22 - self.first[..., None]) / self.length[..., None]


def cut_out(frames_BHW3: Tensor, boxes_N4: Tensor, frame_N: Sequence[int]) -> Cutouts:
    """Around each box, of the frame that `frame_N` says. Boxes are on the CPU, cut-outs where the frames are."""
    height, width = frames_BHW3.shape[1:3]
    device = frames_BHW3.device
    first, length = [], []
    for box in boxes_N4.tolist():
        cut = pixel_box(box, height, width, MARGIN)
        left, top, new_width, new_height = placed(cut, SIZE)
        # Pixels of the frame in one of the square, along each axis.
        across, down = (cut[2] - cut[0]) / new_width, (cut[3] - cut[1]) / new_height
        first.append(((cut[0] - left * across) / width, (cut[1] - top * down) / height))
        length.append((SIZE * across / width, SIZE * down / height))
    first_N2, length_N2 = (
        torch.tensor(values, dtype=torch.float32).reshape(-1, 2).to(device, non_blocking=True)
        for values in (first, length)
    )
    crops_N3SS = person_crops(frames_BHW3, boxes_N4, frame_N, SIZE, MARGIN, GREY)
    cutouts = Cutouts(crops_N3SS, first_N2, length_N2)
    places_N22 = cutouts.of_box(boxes_N4.to(device, non_blocking=True))
    middle_S = (torch.arange(SIZE, device=device) + 0.5) / SIZE
    within_N2S = (middle_S >= places_N22[..., :1]) & (middle_S <= places_N22[..., 1:])
    box_N1SS = (within_N2S[:, 1, :, None] & within_N2S[:, 0, None, :])[:, None]
    return Cutouts(torch.cat([crops_N3SS - 0.5, box_N1SS.float()], 1), first_N2, length_N2)


def places_of(logits_N22S: Tensor) -> Tensor:
    """The mean place [N, 2, 2], from 0 to 1, of each side's distribution."""
    middle_S = (torch.arange(SIZE, device=logits_N22S.device) + 0.5) / SIZE
    return (logits_N22S.softmax(-1) * middle_S).sum(-1)


class Refiner:
    """A net and the device that it is on."""

    def __init__(self, net: BoxNet) -> None:
        self.net = net.eval().requires_grad_(False)
        self.device = torch.device("cpu")

    @cached_property
    def weights_hash(self) -> str:
        """Which weights these are; see `rhas.extract.weights.fingerprint`."""
        return weights_hash(self.net)

    def to(self, device: str | torch.device) -> Refiner:
        self.device = torch.device(device)
        self.net.to(self.device)
        return self

    def exact(self, frames_BHW3: Tensor, boxes_N4: Tensor, frame_N: Sequence[int]) -> Tensor:
        """Boxes [N, 4] float32 where the frames are. Within `torch.inference_mode`."""
        with torch.autocast(self.device.type, enabled=False):
            cutouts = cut_out(frames_BHW3, boxes_N4, frame_N)
            exact_N4 = cutouts.of_frame(places_of(self.net(cutouts.pixels)))
        own_N4 = boxes_N4.to(self.device, non_blocking=True)
        box_N1 = (exact_N4[:, 2:] - exact_N4[:, :2] > _LEAST).all(1, keepdim=True)
        return torch.where(box_N1, exact_N4, own_N4)

    def exact_in(
        self, found: Mapping[str, PersonBoxes], frames: OnDevice, lead: int, batches: Batches
    ) -> dict[str, PersonBoxes]:
        """Everybody's boxes in a window whose first `lead` frames they have no rows of."""
        exact = {who: replace(own, box=own.box.copy()) for who, own in found.items()}
        people = list(exact.values())
        # Frame after frame, so that a batch needs few of them.
        asked = sorted(
            (int(row), i)
            for i, own in enumerate(people)
            for row in np.flatnonzero(np.isin(own.status, HAS_BOX))
        )

        def call(items: slice) -> Tensor:
            rows, frame_N = np.unique([row for row, _ in asked[items]], return_inverse=True)
            box_N4 = np.stack([people[i].box[row] for row, i in asked[items]])
            return self.exact(frames.at(rows + lead), torch.from_numpy(box_N4), frame_N.tolist())

        made = together([boxes for _, boxes in batches.run(len(asked), call)])
        for (row, i), box in zip(asked, chain.from_iterable(made), strict=True):
            people[i].box[row] = box.numpy()
        return exact


def load_refiner(weights: str) -> Refiner:
    """From a folder, or `shipped:NAME`. Raises InputError if there is no such net."""
    file = Path(place(weights, "refiner")).expanduser() / WEIGHTS
    net = BoxNet()
    try:
        net.load_state_dict({name: tensor.float() for name, tensor in load_file(file).items()})
    except (OSError, RuntimeError, SafetensorError) as error:
        expected = f"a folder with {WEIGHTS} of a refiner's net; loading said: {error}"
        raise InputError(
            Problem("extraction config", expected, column="detector.refine", value=weights)
        ) from error
    return Refiner(net)


def refiner_of(detector: DetectorConfig, device: str | torch.device) -> Refiner | None:
    """What these settings make boxes exact with, if anything."""
    return None if detector.refine is None else load_refiner(detector.refine).to(device)
