"""A window's frames where the models are, each copied there once.

In: decoded frames in memory, of which models take batches of rows, some of them several times. Out: tensors on the
device. On CUDA the frames go over in pieces, from page-locked memory and on a stream of their own: a thread copies the
next ones while the first are computed with, and only what computes waits for them, not this process. On a CPU there is
nothing to bring.

Shapes: N frames of H x W pixels, B of them in a batch.
"""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import AbstractContextManager, contextmanager
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

PIECE_BYTES = 64 << 20  # a dozen frames of 1080p: what the first batch waits for


class Lane(Protocol):
    """A stream beside the one that computes."""

    def pinned(self, shape: tuple[int, ...]) -> Tensor:
        """Memory [...] uint8 that the device copies from by itself."""

    def open(self, target: Tensor) -> None:
        """Before the first copy into `target`."""

    def on(self) -> AbstractContextManager[Any]:
        """Within it, copies are made on this stream."""

    def mark(self) -> Any:
        """What has been asked of it so far."""

    def wait(self, mark: Any) -> None:
        """Lets what computes from now on wait for it."""


class CudaLane:
    """A stream of the driver's."""

    def __init__(self, device: torch.device):
        self.device = device
        self.stream = torch.cuda.Stream(device)

    def pinned(self, shape: tuple[int, ...]) -> Tensor:
        return torch.empty(shape, dtype=torch.uint8, pin_memory=True)

    def open(self, target: Tensor) -> None:
        self.stream.wait_stream(torch.cuda.current_stream(self.device))  # which may still use that memory
        target.record_stream(self.stream)

    def on(self) -> AbstractContextManager[Any]:
        return torch.cuda.stream(self.stream)

    def mark(self) -> torch.cuda.Event:
        return self.stream.record_event()

    def wait(self, mark: torch.cuda.Event) -> None:
        torch.cuda.current_stream(self.device).wait_event(mark)


class OnDevice:
    """Frames [N, H, W, 3] uint8 and the device that batches of them are wanted on. Made by `on_device`."""

    def __init__(self, frames_NHW3: NDArray[np.uint8], device: torch.device, there: Tensor | None = None):
        self.frames, self.device, self.there = frames_NHW3, device, there
        self.lane: Lane | None = None
        self.rows = 1  # in a piece
        self.pieces: list[Future[Any]] = []  # each gives the lane's mark

    def at(self, rows: NDArray[np.int64]) -> Tensor:
        """The frames of these rows [B, H, W, 3]."""
        if self.there is None:  # a CPU, or a device with too little memory for the whole window
            return torch.from_numpy(self.frames[rows]).to(self.device)
        if self.lane is not None:
            for piece in sorted(set((rows // self.rows).tolist())):
                self.lane.wait(self.pieces[piece].result())
        if len(rows) and rows[-1] - rows[0] == len(rows) - 1 and (np.diff(rows) == 1).all():
            return self.there[int(rows[0]) : int(rows[-1]) + 1]
        return self.there.index_select(0, torch.from_numpy(rows).to(self.device, non_blocking=True))

    def bring(self, lane: Lane, thread: ThreadPoolExecutor) -> None:
        """Begins to copy, piece after piece."""
        assert self.there is not None
        self.lane, self.rows = lane, max(1, PIECE_BYTES // max(1, self.frames[:1].nbytes))
        lane.open(self.there)
        for first in range(0, len(self.frames), self.rows):
            self.pieces.append(thread.submit(self._piece, slice(first, first + self.rows)))

    @torch.inference_mode()  # of a thread's own; outside of it no such tensor may be written to
    def _piece(self, rows: slice) -> Any:
        assert self.there is not None and self.lane is not None
        part = self.frames[rows]
        pinned = self.lane.pinned(part.shape)
        np.copyto(pinned.numpy(), part)
        with self.lane.on():
            self.there[rows].copy_(pinned, non_blocking=True)
            return self.lane.mark()


@contextmanager
def on_device(
    frames_NHW3: NDArray[np.uint8], device: torch.device, lane: Lane | None = None
) -> Iterator[OnDevice]:
    """The frames, to be used within it. `lane`: how they go there; without one, all at once."""
    if device.type == "cpu":
        yield OnDevice(frames_NHW3, device)
    elif lane is None:
        yield OnDevice(frames_NHW3, device, torch.from_numpy(frames_NHW3).to(device, non_blocking=True))
    else:
        try:
            there = torch.empty(frames_NHW3.shape, dtype=torch.uint8, device=device)
        except torch.OutOfMemoryError:
            yield OnDevice(frames_NHW3, device)
            return
        frames = OnDevice(frames_NHW3, device, there)
        with ThreadPoolExecutor(1) as thread:
            try:
                frames.bring(lane, thread)
                yield frames
            finally:
                thread.shutdown(cancel_futures=True)  # the memory that it reads may go


def lane_to(device: torch.device) -> Lane | None:
    """A stream for copies, where there is a driver to have one of."""
    return CudaLane(device) if device.type == "cuda" and torch.cuda.is_available() else None


def together(tensors: list[Tensor]) -> list[Tensor]:
    """Tensors of one type on the CPU, by one copy, for which the device is waited; those of a CPU as they are."""
    if not tensors or tensors[0].device.type == "cpu":
        return tensors
    flat = torch.cat([tensor.reshape(-1) for tensor in tensors]).cpu()
    parts = flat.split([tensor.numel() for tensor in tensors])
    return [part.view(tensor.shape) for part, tensor in zip(parts, tensors, strict=True)]
