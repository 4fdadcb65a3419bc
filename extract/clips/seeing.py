"""The frames of one moment, everyone who is referred to in it: what a model of RAVAR takes of each.

Frames are seen once and read once for each sentence. The detector is asked twice: for the categories, all in one
caption, whoever is meant; and for the sentence, as in any extraction, whose best box is cut out of the key frame.

Shapes: T frames of the clip of H x W pixels, N query tokens (1 where the encoder has none), D features, K detections.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rhas.extract.clips.config import ClipConfig
from rhas.extract.config import ExtractConfig
from rhas.extract.crops import person_crops, whole_frames
from rhas.extract.encode.encoder import Encoder
from rhas.extract.encode.windows import FeatureError
from rhas.extract.ground.boxes import Candidates, suppress
from rhas.extract.ground.detector import Detector
from rhas.extract.ground.known_boxes import KnownBoxes
from rhas.extract.ground.outside import OutsideDetector
from rhas.extract.refine.refiner import Refiner
from rhas.manifests.common.errors import InputError, Problem


@dataclass(frozen=True)
class Seen:
    """Of one clip; as the rows of `ClipTokens`."""

    image: NDArray[np.float16]
    person: NDArray[np.float16]
    sentence: NDArray[np.float32]
    grounded: NDArray[np.float32]
    grounded_score: np.float32
    boxes: NDArray[np.float32]
    categories: NDArray[np.int16]
    scores: NDArray[np.float32]


class Seer:
    """Encoder and detector, and what they make of clips."""

    def __init__(
        self, encoder: Encoder, detector: Detector | OutsideDetector | KnownBoxes, config: ExtractConfig,
        clips: ClipConfig, device: torch.device, refiner: Refiner | None = None,
    ):  # fmt: skip
        """Raises InputError for a detector that can't be asked, and categories that the models can't read."""
        if isinstance(detector, KnownBoxes):
            expected = "a detector that can be asked for names: boxes of a table are of persons"
            raise InputError(
                Problem("extraction config", expected, column="detector.implementation", value="boxes")
            )
        self.encoder, self.detector, self.config, self.clips, self.device = (
            encoder,
            detector,
            config,
            clips,
            device,
        )
        self.refiner = refiner
        self.names: Detector | OutsideDetector = detector
        if isinstance(detector, Detector):
            self.names = copy.copy(detector)  # the same model, all names in one caption
            self.names.config = detector.config.replace(joint=True)
        detector.check(clips.categories)
        encoder.check(clips.categories)
        self.tokens = encoder.feature_shape[0] if len(encoder.feature_shape) > 1 else 1
        self.width = encoder.feature_shape[-1]

    @torch.inference_mode()
    def name_embeddings(self) -> NDArray[np.float32]:
        """[G, D]"""
        return np.stack([self._vector(name) for name in self.clips.categories])

    @torch.inference_mode()
    def see(self, frames_THW3: NDArray[np.uint8], key: int, sentences: list[str]) -> list[Seen]:
        """For each sentence. `key`: which of the frames is the key frame. Raises FeatureError."""
        pixels = torch.from_numpy(frames_THW3).to(self.device)
        encoder, shown = self.encoder, pixels[key : key + 1]
        vectors = [self._vector(sentence) for sentence in sentences]  # in float32, as in any extraction
        with torch.autocast(self.device.type, torch.bfloat16, enabled=self.config.precision == "bfloat16"):
            seen = encoder.see(whole_frames(pixels, encoder.image_size, encoder.fit, encoder.fill))
            boxes, categories, scores = self._detections(
                [found for (found,) in self.names.detect(shown, self.clips.categories)]
            )
            meant = [found for (found,) in self.detector.detect(shown, sentences)]
            out = []
            for sentence, vector, candidates in zip(sentences, vectors, meant, strict=True):
                image = self._shaped(encoder.read(seen, sentence)).mean(0)
                person = np.full(image.shape, np.nan, np.float16)
                box, score = np.full(4, np.nan, np.float32), np.nan
                if len(candidates):
                    boxes_14, score = candidates.boxes[:1], float(candidates.scores[0])
                    if self.refiner is not None:
                        boxes_14 = self.refiner.exact(shown, boxes_14, [0]).cpu()
                    box = boxes_14[0].numpy()
                    crops = person_crops(
                        shown, boxes_14, [0], encoder.image_size,
                        self.config.encoder.crop_margin, encoder.fill,
                    )  # fmt: skip
                    person = _half(self._shaped(encoder.read(encoder.see(crops), sentence))[0], sentence)
                out.append(
                    Seen(
                        _half(image, sentence), person, vector, box, np.float32(score), boxes, categories, scores,
                    )
                )  # fmt: skip
        return out

    def _shaped(self, features: Tensor) -> Tensor:
        """[T, N, D] float32."""
        return features.float().reshape(len(features), self.tokens, self.width)

    def _vector(self, sentence: str) -> NDArray[np.float32]:
        """Raises InputError for an encoder without one."""
        vector = self.encoder.text_embedding(sentence)
        if vector is None or vector.shape != (self.width,):
            expected = f"an encoder that makes a vector of size {self.width} of a sentence"
            raise InputError(
                Problem("extraction config", expected, column="encoder.kind", value=self.config.encoder.kind)
            )
        return vector.float().cpu().numpy()

    def _detections(
        self, found: list[Candidates]
    ) -> tuple[NDArray[np.float32], NDArray[np.int16], NDArray[np.float32]]:
        """Boxes [K, 4], categories [K] and scores [K], best first; a place that has two names has the likelier one."""
        boxes_M4 = torch.cat([one.boxes for one in found])
        scores_M = torch.cat([one.scores for one in found])
        category_M = torch.cat([torch.full((len(one),), c, dtype=torch.int16) for c, one in enumerate(found)])
        best_first = scores_M.argsort(descending=True, stable=True)
        stays = best_first[suppress(boxes_M4[best_first], self.config.detector.nms_iou)][
            : self.clips.detections
        ]
        K = self.clips.detections
        boxes, scores = np.zeros((K, 4), np.float32), np.zeros(K, np.float32)
        categories = np.full(K, -1, np.int16)
        boxes[: len(stays)], scores[: len(stays)] = boxes_M4[stays].numpy(), scores_M[stays].numpy()
        categories[: len(stays)] = category_M[stays].numpy()
        return boxes, categories, scores


def _half(features: Tensor, sentence: str) -> NDArray[np.float16]:
    """Raises FeatureError for what can't be stored."""
    array: NDArray[np.float16] = features.to(torch.float16).cpu().numpy()
    if not np.isfinite(array).all():
        raise FeatureError(f"features of {sentence!r} are not finite in float16")
    return array
