"""Models of other packages: CONTRIBUTING's find and encode as they stand there; what doesn't fit is told."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch

from rhas.extract.config import DetectorConfig, EncoderConfig, ExtractConfig
from rhas.extract.decode.process import Frames
from rhas.extract.decode.windows import WindowFrames
from rhas.extract.encode import load_encoder
from rhas.extract.encode.windows import OnePass
from rhas.extract.ground import load_detector
from rhas.extract.ground.boxes import Candidates
from rhas.extract.ground.outside import OutsideDetector
from rhas.extract.plan.plan import is_known
from rhas.extract.weights.random_tokenizers import write_bert_tokenizer
from rhas.extract.weights.torchvision_fix import ensure_importable
from rhas.manifests.common.errors import InputError
from rhas.manifests.tables.manifest import Person

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
SENTENCE = "the man with the blue hat"
BOXES = torch.tensor([[0.3, 0.5, 0.2, 0.6], [0.7, 0.5, 0.4, 0.4]])  # centre, size
CORNERS = [[0.2, 0.2, 0.4, 0.8], [0.5, 0.3, 0.9, 0.7]]


class Torch(OutsideDetector):
    """Like an ONNX one, from a module that is made here: the redder a frame, the surer the first box."""

    change: Any = staticmethod(lambda found: found)

    def __init__(self, config: DetectorConfig):
        self.config = config

    @property
    def weights_hash(self) -> str:
        return "made"

    def to(self, device: Any) -> Torch:
        return self

    def detect(self, frames_BHW3: torch.Tensor, sentences: Any) -> list[list[Candidates]]:
        red_B = frames_BHW3[..., 0].float().mean((1, 2)).sub(1).clamp(0) / 255
        x, y, w, h = BOXES.unbind(1)
        corners = torch.stack([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 1)
        found = [Candidates(corners, torch.tensor([0.5 + red / 4, 0.5])) for red in red_B.tolist()]
        return self.change([found for _ in sentences])


@pytest.fixture
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """A package with entry points, as an installer leaves it, whose code is CONTRIBUTING's, and `Torch`."""
    info = tmp_path / "site" / "elsewhere-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: elsewhere\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text(
        "[rhas.encoders]\nsiglip = models_of_others:Siglip\nabsent = models_of_nobody:X\n"
        "[rhas.detectors]\ncoco-persons = models_of_others:CocoPersons\nmade = models_of_others:Torch\n"
    )
    monkeypatch.syspath_prepend(str(info.parent))
    ensure_importable()  # as whoever loads models does before
    made = ModuleType("models_of_others")
    made.Torch = Torch  # type: ignore[attr-defined]
    for code in re.findall(r"```python\n(.*?)```", PAGE.read_text(), re.DOTALL):
        try:
            exec(compile(code, str(PAGE), "exec"), vars(made))
        except ModuleNotFoundError as error:
            assert error.name == "onnxruntime"
    monkeypatch.setitem(sys.modules, "models_of_others", made)
    return made


@pytest.fixture(scope="module")
def siglip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small SigLIP with random weights, in transformers' format."""
    ensure_importable()
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel

    folder = tmp_path_factory.mktemp("siglip")
    own = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2}
    torch.manual_seed(0)
    config = SiglipConfig(
        text_config={**own, "vocab_size": 1280, "max_position_embeddings": 32},
        vision_config={**own, "image_size": 32, "patch_size": 16},
    )
    SiglipModel(config).save_pretrained(folder)
    SiglipImageProcessor(size={"height": 32, "width": 32}).save_pretrained(folder)
    write_bert_tokenizer(folder)
    return folder


def onnx_model(path: Path) -> None:
    """Boxes as above; of person and of another class, logits that are the mean red, and the mean red negated."""
    onnx = pytest.importorskip("onnx")
    helper = onnx.helper
    weights = np.zeros((3, 4), np.float32)
    weights[0] = [4, -4, 0, 0]
    constants = {
        "weights": weights, "none": np.zeros((3, 8), np.float32), "boxes": BOXES.numpy().reshape(-1),
        "by_class": np.array([-1, 2, 2]), "by_corner": np.array([-1, 2, 4]),
    }  # fmt: skip
    nodes = [
        helper.make_node("GlobalAveragePool", ["pixel_values"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["means"]),
        helper.make_node("MatMul", ["means", "weights"], ["flat_logits"]),
        helper.make_node("Gemm", ["means", "none", "boxes"], ["flat_boxes"]),
        helper.make_node("Reshape", ["flat_logits", "by_class"], ["logits"]),
        helper.make_node("Reshape", ["flat_boxes", "by_corner"], ["pred_boxes"]),
    ]
    infos = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, shape)
        for name, shape in (
            ("pixel_values", ["b", 3, 640, 640]), ("logits", ["b", 2, 2]), ("pred_boxes", ["b", 2, 4]),
        )
    ]  # fmt: skip
    given = [onnx.numpy_helper.from_array(array, name) for name, array in constants.items()]
    graph = helper.make_graph(nodes, "persons", infos[:1], infos[1:], given)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, str(path))


@pytest.mark.parametrize("implementation", ["coco-persons", "made"])
def test_they_find_and_encode(implementation: str, module: ModuleType, siglip: Path, tmp_path: Path) -> None:
    if implementation == "coco-persons":
        pytest.importorskip("onnxruntime")
        onnx_model(tmp_path / "persons.onnx")
    config = ExtractConfig(
        detector=DetectorConfig(implementation=implementation, weights=str(tmp_path / "persons.onnx")),
        encoder=EncoderConfig(kind="siglip", weights=str(siglip), crop_margin=0.0),
        precision="float32",
    )
    assert not is_known(config) and is_known(ExtractConfig())
    detector, encoder = load_detector(config.detector), load_encoder(config.encoder)
    pixels = np.zeros((2, 40, 60, 3), np.uint8)
    pixels[1, ..., 0] = 204
    frames = WindowFrames(Frames(pixels, np.ones(2, bool), "", False, 0), lead=0)
    passes = OnePass(detector, encoder, config, torch.device("cpu"), batch=2)
    rows, _ = passes.process(frames, [Person("m", "p", SENTENCE)], [np.ones(2, bool)])
    own = rows["p"]
    np.testing.assert_allclose(own.box, [CORNERS[0]] * 2, atol=1e-6)
    if implementation == "coco-persons":  # of the red frame, the closed form of what the model computes
        expected = 1 / (1 + np.exp(-4 * 204 / 255))
        np.testing.assert_allclose(own.score, [0.5, expected], atol=1e-4)
        assert len(detector.weights_hash) == 32
    assert (
        own.holistic.shape == (2, 16) and np.isfinite(own.holistic).all() and np.isfinite(own.partial).all()
    )
    # What the model itself says of the same picture, by its own processor.
    from transformers import SiglipImageProcessor, SiglipModel

    model = SiglipModel.from_pretrained(siglip)
    inputs = SiglipImageProcessor.from_pretrained(siglip)(images=[pixels[1]], return_tensors="pt")
    with torch.inference_mode():
        theirs = model.get_image_features(**inputs)[0].numpy()
    np.testing.assert_allclose(own.holistic[1], theirs, atol=5e-3)
    assert encoder.text_embedding(SENTENCE).shape == (16,)  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda found: found[:1], "got candidates of 1 sentences, not of 2"),
        (lambda found: [[c, c] for (c,) in found], "got candidates of 2 frames, not of 1"),
        (lambda found: [[Candidates(c.boxes * 2, c.scores)] for (c,) in found], r"boxes outside \[0, 1\]"),
        (
            lambda found: [[Candidates(c.boxes / 0, c.scores)] for (c,) in found],
            "got boxes that are not finite",
        ),
        (
            lambda found: [[Candidates(c.boxes, c.scores - 1)] for (c,) in found],
            r"got scores outside \[0, 1\]",
        ),
        (
            lambda found: [[Candidates(c.boxes, c.scores[None])] for (c,) in found],
            r"scores of shape \(1, 2\)",
        ),
        (lambda found: [[c.boxes] for (c,) in found], "got a Tensor, not Candidates"),
        (lambda found: [[Candidates(c.boxes.flip(1), c.scores)] for (c,) in found], "boxes without an area"),
        (lambda found: [[Candidates(c.boxes, c.scores.flip(0))] for (c,) in found], "not best first"),
        (
            lambda found: [[Candidates(c.boxes[:1], c.scores)] for (c,) in found],
            r"boxes of shape \(1, 4\), not \(2, 4\)",
        ),
        (lambda found: [[Candidates(c.boxes.double(), c.scores)] for (c,) in found], "torch.float64"),
        (lambda found: 1 / 0, "ZeroDivisionError"),
    ],
)
def test_a_detector_that_does_not_fit_is_told(
    change: Any, said: str, module: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Torch, "change", staticmethod(change))
    with pytest.raises(InputError, match=said) as caught:
        load_detector(DetectorConfig(implementation="made"))
    assert "entry point rhas.detectors, column made" in str(caught.value)


def test_what_does_not_fit_later_is_told_as_well(
    module: ModuleType, siglip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever passes the trial on a grey picture may still give nonsense for others: no box is made of it."""
    config = ExtractConfig(
        detector=DetectorConfig(implementation="made"),
        encoder=EncoderConfig(kind="siglip", weights=str(siglip)),
        precision="float32",
    )
    detector, encoder = load_detector(config.detector), load_encoder(config.encoder)
    nowhere = torch.full((2, 4), torch.nan)
    monkeypatch.setattr(
        Torch,
        "change",
        staticmethod(lambda found: [[Candidates(nowhere, c.scores) for c in own] for own in found]),
    )
    window = WindowFrames(Frames(np.zeros((2, 40, 60, 3), np.uint8), np.ones(2, bool), "", False, 0), lead=0)
    passes = OnePass(detector, encoder, config, torch.device("cpu"), batch=2)
    with pytest.raises(ValueError, match="got boxes that are not finite"):
        passes.process(window, [Person("m", "p", SENTENCE)], [np.ones(2, bool)])


def test_an_encoder_that_does_not_fit_is_told(
    module: ModuleType, siglip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = EncoderConfig(kind="siglip", weights=str(siglip))
    for name, wrong, said in (
        ("read", lambda self, seen, sentence: seen[:, :1], r"features of shape \(2, 1\), not \(2, 16\)"),
        ("see", lambda self, images: torch.full((2, 16), torch.nan), "features that are not finite"),
        ("fit", "crop", "fit 'crop'"),
        ("weights_hash", "", "no weights_hash"),
    ):
        with monkeypatch.context() as patch, pytest.raises(InputError, match=said):
            patch.setattr(module.Siglip, name, wrong)
            load_encoder(config)
    with pytest.raises(
        InputError, match=r"entry point rhas\.encoders, column siglip: got 'models_of_others:Siglip'"
    ):
        load_encoder(EncoderConfig(kind="siglip", weights="/nowhere/at/all"))
    with pytest.raises(InputError, match=r"column absent: got 'models_of_nobody:X'.*ModuleNotFoundError"):
        load_encoder(EncoderConfig(kind="absent"))
    with pytest.raises(
        InputError, match="got 'siglop': expected one of blip2, clip, absent, siglip; packages add"
    ):
        EncoderConfig(kind="siglop")
