"""SAM 2 as a tracker: transformers' `Sam2VideoModel`, prompted by the detector's boxes.

In: a window's frames, and whom the detector saw in some of them. Out: a track for each person from where they were
first seen to the window's end, with the box around their mask, and how sure the model is that they are there. Somebody
who is seen where nobody's mask is begins a track. Ravi et al., "SAM 2: Segment Anything in Images and Videos" (2024).

Shapes: n frames, K persons, S the side of the model's images, h x w its masks, a quarter of that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from rhas.extract.config import TracksConfig
from rhas.extract.ground.exclusive import overlapping
from rhas.extract.tracks.outside import OutsideTracker, Track
from rhas.extract.weights.checkpoints import refuse_missing_weights, refuse_other_models
from rhas.extract.weights.fingerprint import weights_hash
from rhas.extract.weights.torchvision_fix import ensure_importable
from rhas.manifests.common.errors import InputError, Problem

SAME_IOU = 0.3  # a detection that overlaps somebody's box by more is of them; those of masks are tighter
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # as its processor has them
_BOX_CORNERS = torch.tensor([[[2, 3]]], dtype=torch.int32)  # how points say that they are those of a box
_VERSION = 1


class Sam2Tracker(OutsideTracker):
    """`tracks.weights`: a directory or hub id of a `Sam2VideoModel`."""

    def __init__(self, config: TracksConfig):
        if not config.weights:
            expected = "a directory or hub id of SAM 2's weights, such as facebook/sam2.1-hiera-base-plus"
            raise InputError(Problem("extraction config", expected, column="tracks.weights"))
        ensure_importable()
        from transformers import PretrainedConfig, Sam2VideoModel

        record, _ = PretrainedConfig.get_config_dict(config.weights)
        refuse_other_models(config.weights, record.get("architectures"), "Sam2VideoModel")
        model, info = Sam2VideoModel.from_pretrained(
            config.weights, dtype=torch.float32, output_loading_info=True
        )
        refuse_missing_weights(config.weights, info["missing_keys"])
        self.model: Any = model.eval()
        self._hash = f"{weights_hash(self.model)}, version {_VERSION}"

    @property
    def weights_hash(self) -> str:
        return self._hash

    def to(self, device: str | torch.device) -> Self:
        self.model.to(device)
        return self

    def track(self, frames_nHW3: Tensor, seen: Mapping[int, Tensor]) -> Sequence[Track]:
        from transformers.models.sam2_video.modeling_sam2_video import Sam2VideoInferenceSession

        device = self.model.device
        session = Sam2VideoInferenceSession(
            video_height=frames_nHW3.shape[1], video_width=frames_nHW3.shape[2],
            inference_device=device, inference_state_device=device, video_storage_device=device,
        )  # fmt: skip
        session.processed_frames = _Frames(frames_nHW3, self.model.config.image_size, device)
        tracks: list[Track] = []
        for row in range(min(seen), len(frames_nHW3)):
            if tracks:
                self._follow(session, row, tracks)
            if new := self._strangers(row, seen.get(row, ()), tracks):
                for box_4 in new:
                    self._begin(session, row, len(tracks), box_4)
                    tracks.append(_nowhere(len(frames_nHW3)))
                # All are asked once more: those who were there give the same again.
                session.obj_with_new_inputs = list(range(len(tracks) - len(new), len(tracks)))
                self._follow(session, row, tracks)
            self._forget(session, row)
        return tracks

    def _strangers(self, row: int, boxes: Sequence[Tensor] | Tensor, tracks: Sequence[Track]) -> list[Tensor]:
        """Those of the boxes, best first, that overlap nobody's."""
        there = [track.box[row] for track in tracks if not np.isnan(track.box[row]).any()]
        new: list[Tensor] = []
        for box_4 in boxes:
            known = [*there, *(own.numpy() for own in new)]
            if not overlapping(box_4[None], known, SAME_IOU).any():
                new.append(box_4)
        return new

    def _begin(self, session: Any, row: int, person: int, box_4: Tensor) -> None:
        corners_1122 = (box_4 * self.model.config.image_size).reshape(1, 1, 2, 2)
        prompt = {"point_coords": corners_1122, "point_labels": _BOX_CORNERS}
        session.add_point_inputs(session.obj_id_to_idx(person), row, prompt)

    def _follow(self, session: Any, row: int, tracks: Sequence[Track]) -> None:
        masks_K1hw = self.model(inference_session=session, frame_idx=row).pred_masks.float()
        for person, (track, mask_hw) in enumerate(zip(tracks, masks_K1hw[:, 0] > 0, strict=True)):
            track.box[row], track.score[row] = np.nan, np.nan
            box_4 = box_around(mask_hw)
            if box_4 is not None:
                track.box[row], track.score[row] = box_4, _sure(session, person, row)

    def _forget(self, session: Any, row: int) -> None:
        """Drops what no later frame asks for: memory doesn't grow with the window."""
        config = self.model.config
        oldest = row - max(config.num_maskmem, config.max_object_pointers_in_encoder)
        for outputs in session.output_dict_per_obj.values():
            outputs["non_cond_frame_outputs"].pop(oldest, None)


def box_around(mask_hw: Tensor) -> NDArray[np.float32] | None:
    """x1 y1 x2 y2 as shares of the picture; None for an empty mask."""
    rows, columns = (torch.nonzero(mask_hw.any(axis)).flatten().tolist() for axis in (1, 0))
    if not rows:
        return None
    height, width = mask_hw.shape
    edges = columns[0] / width, rows[0] / height, (columns[-1] + 1) / width, (rows[-1] + 1) / height
    return np.array(edges, np.float32)


def _sure(session: Any, person: int, row: int) -> float:
    """The model's own probability that they are in the picture."""
    outputs = session.output_dict_per_obj[person]
    own = outputs["cond_frame_outputs"].get(row) or outputs["non_cond_frame_outputs"][row]
    return float(own["object_score_logits"].float().sigmoid())


def _nowhere(frames: int) -> Track:
    return Track(np.full((frames, 4), np.nan, np.float32), np.full(frames, np.nan, np.float32))


class _Frames:
    """Frames as the model takes them, each made when it is asked for: a whole window of them would fill a GPU."""

    def __init__(self, frames_nHW3: Tensor, side: int, device: torch.device):
        self.frames_nHW3, self.side = frames_nHW3, side
        self.mean, self.std = (torch.tensor(v, device=device).view(3, 1, 1) for v in (_MEAN, _STD))

    def __len__(self) -> int:
        return len(self.frames_nHW3)

    def __getitem__(self, row: int) -> Tensor:
        pixels_13HW = self.frames_nHW3[row].to(self.mean.device).permute(2, 0, 1)[None].float() / 255
        size = (self.side, self.side)
        squashed_3SS = F.interpolate(pixels_13HW, size, mode="bilinear", antialias=True, align_corners=False)[
            0
        ]
        return (squashed_3SS - self.mean) / self.std
