"""What of a clip is looked at. Defaults: the paper's 8 frames, AVA's 3 s, DETR's 100 detections of COCO's names."""

from __future__ import annotations

from pydantic import Field

from rhas.manifests.common.configs import Settings

COCO = (
    "person", "bicycle", "car", "motorcycle", "airplane", "bus", "train", "truck", "boat", "traffic light",
    "fire hydrant", "stop sign", "parking meter", "bench", "bird", "cat", "dog", "horse", "sheep", "cow", "elephant",
    "bear", "zebra", "giraffe", "backpack", "umbrella", "handbag", "tie", "suitcase", "frisbee", "skis", "snowboard",
    "sports ball", "kite", "baseball bat", "baseball glove", "skateboard", "surfboard", "tennis racket", "bottle",
    "wine glass", "cup", "fork", "knife", "spoon", "bowl", "banana", "apple", "sandwich", "orange", "broccoli",
    "carrot", "hot dog", "pizza", "donut", "cake", "chair", "couch", "potted plant", "bed", "dining table", "toilet",
    "tv", "laptop", "mouse", "remote", "keyboard", "cell phone", "microwave", "oven", "toaster", "sink",
    "refrigerator", "book", "clock", "vase", "scissors", "teddy bear", "hair drier", "toothbrush",
)  # fmt: skip


class ClipConfig(Settings, title="clip config"):
    """Frames around the moment, and what a detector is asked for in the key frame, which is the one at the moment."""

    frames: int = Field(8, ge=1, le=64)
    """Spread over `seconds`, the moment being the first one of the second half."""
    seconds: float = Field(3.0, gt=0, le=60)
    detections: int = Field(100, ge=1, le=100)
    """Boxes that are kept, best first."""
    categories: tuple[str, ...] = Field(COCO, min_length=1)
    """Names that the detector is asked for, all in one caption."""

    def times_s(self, time_s: float) -> list[float]:
        """Seconds of movie time [frames], ascending; some may lie outside the movie."""
        apart = self.seconds / self.frames
        return [time_s + (k - self.frames // 2) * apart for k in range(self.frames)]

    @property
    def key(self) -> int:
        """Which of the frames is the key frame."""
        return self.frames // 2
