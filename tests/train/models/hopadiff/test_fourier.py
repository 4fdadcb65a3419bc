"""The Fourier condition: the orthonormal transform, the bands, and that each video is its own."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch

from rhas.manifests.common.errors import InputError
from rhas.train.models.hopadiff.fourier import FourierCondition, FourierConfig, bands, real_dft


@pytest.mark.parametrize("frames", [1, 2, 3, 8, 9, 50])
def test_real_dft_is_orthonormal_with_rising_frequencies(frames: int) -> None:
    basis = real_dft(torch.eye(frames, dtype=torch.float64)[None])[0]  # [frame, coefficient]
    torch.testing.assert_close(basis @ basis.T, torch.eye(frames, dtype=torch.float64), rtol=0, atol=1e-12)
    t = torch.arange(frames, dtype=torch.float64)
    for k in range(frames):
        frequency = (k + 1) // 2
        wave = torch.cos if k % 2 else lambda x: -torch.sin(x)
        height = math.sqrt((1 if k == 0 or 2 * frequency == frames else 2) / frames)
        if k == 0:
            wave = torch.cos
        expected = height * wave(2 * math.pi * frequency * t / frames)
        torch.testing.assert_close(basis[:, k], expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("frames", [1, 7, 64, 65, 300])
def test_bands_add_up(frames: int) -> None:
    x = torch.randn(3, frames, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    parts = bands(x[None], None, (64.0, 8.0))[0]
    torch.testing.assert_close(parts.view(3, 3, frames).sum(0), x, rtol=0, atol=1e-12)


def test_bands_part_slow_from_fast_whatever_the_length() -> None:
    for frames in (400, 800):
        t = torch.arange(frames, dtype=torch.float64)
        waves = [torch.cos(2 * math.pi * t / period) for period in (200, 20, 4)]
        parts = bands(sum(waves)[None, None], None, (64.0, 8.0))[0]
        torch.testing.assert_close(parts, torch.stack(waves), rtol=0, atol=1e-9)


@pytest.mark.parametrize("variant", ["dft", "bands", "none"])
def test_padding_and_channels(check_padding: Callable[..., None], variant: str) -> None:
    condition = FourierCondition(FourierConfig(variant=variant))
    check_padding(lambda x, mask: condition(x[0], mask), 3)
    out = condition(torch.randn(2, 3, 10), torch.ones(2, 10, dtype=torch.bool))
    assert out.shape == (2, condition.channels(3), 10)


@pytest.mark.parametrize(("dtype", "close"), [(torch.float64, 1e-9), (torch.float32, 1e-4)])
def test_a_padded_batch_is_torchs_fft_of_each_video(dtype: torch.dtype, close: float) -> None:
    lengths = (1, 2, 37, 64, 1009, 2000)
    mask = torch.arange(2000) < torch.tensor(lengths)[:, None]
    x = torch.randn(6, 2, 2000, dtype=dtype, generator=torch.Generator().manual_seed(0))  # the padding too
    coefficients, parts = real_dft(x, mask), bands(x, mask, (64.0, 8.0))
    for b, n in enumerate(lengths):
        own = x[b, :, :n].double()
        spectrum = torch.fft.rfft(own, norm="ortho")
        expected = torch.stack([spectrum.real, spectrum.imag], -1).flatten(1)
        expected = math.sqrt(2) * torch.cat([expected[:, :1] / math.sqrt(2), expected[:, 2:]], 1)[:, :n]
        if n % 2 == 0:
            expected[:, -1] /= math.sqrt(2)
        torch.testing.assert_close(coefficients[b, :, :n].double(), expected, rtol=0, atol=close)
        period = n / torch.arange(n // 2 + 1, dtype=torch.float64)  # frames; of the mean endless
        spectrum = torch.fft.rfft(own)
        inside = [period > 64, (period <= 64) & (period > 8), period <= 8]
        each = [torch.fft.irfft(spectrum * band, n=n) for band in inside]
        torch.testing.assert_close(parts[b, :, :n].double(), torch.cat(each), rtol=0, atol=close)
        assert not coefficients[b, :, n:].any() and not parts[b, :, n:].any()


@pytest.mark.parametrize("variant", ["dft", "bands"])
def test_gradient(variant: str) -> None:
    condition = FourierCondition(FourierConfig(variant=variant, band_limits=(4.0,)))
    x = torch.randn(2, 2, 6, dtype=torch.float64, requires_grad=True)
    mask = torch.tensor([[True] * 6, [True] * 5 + [False]])
    assert torch.autograd.gradcheck(lambda x: condition(x, mask), x)


def test_config_is_checked() -> None:
    with pytest.raises(InputError) as caught:
        FourierConfig(variant="dct", band_limits=(8.0, 64.0))
    assert [p.column for p in caught.value.problems] == ["variant", "band_limits"]
