import subprocess
import sys
from pathlib import Path

import pytest
import torch

from rhas.extract.ground import architecture, load_detector
from rhas.extract.weights.fingerprint import weights_hash
from rhas.manifests.common.errors import InputError

SENTENCES = ["The man in the red shirt", "A tall woman, on the left.", "the boy"]
IMPLEMENTATIONS = ["groundingdino", "transformers"]


@pytest.fixture
def small_is_swin_t(monkeypatch, small_architecture):
    monkeypatch.setitem(architecture.ARCHITECTURES, "swin-t", small_architecture)


@pytest.fixture(scope="module")
def released_file(official_model, tmp_path_factory) -> Path:
    """A checkpoint as released: prefixes, and entries that the model doesn't have."""
    path = tmp_path_factory.mktemp("released") / "groundingdino.pth"
    state = {f"module.{name}": tensor for name, tensor in official_model.state_dict().items()}
    state["module.label_enc.weight"] = torch.zeros(3, 256)
    state["module.bert.embeddings.position_ids"] = torch.arange(512)[None]
    state["module.bert.pooler.dense.weight"] = torch.zeros(48, 48)
    torch.save({"model": state, "epoch": 3}, path)
    return path


@pytest.fixture(scope="module")
def transformers_folder(port_model, text_parts, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("port")
    port_model.save_pretrained(folder)
    text_parts[1].save_pretrained(folder)
    return folder


@pytest.fixture
def offline(monkeypatch):
    import huggingface_hub.constants

    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)


def assert_detect_alike(a, b, frames):
    for ours, theirs in zip(a.detect(frames, SENTENCES), b.detect(frames, SENTENCES), strict=True):
        for x, y in zip(ours, theirs, strict=True):
            torch.testing.assert_close(x.scores, y.scores, atol=1e-3, rtol=0)
            torch.testing.assert_close(x.boxes, y.boxes, atol=1e-3, rtol=0)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_released_file(
    small_is_swin_t,
    small_detectors,
    released_file,
    text_encoder_folder,
    implementation,
    make_frames,
    make_config,
):
    config = make_config(
        implementation=implementation, weights=str(released_file), text_encoder=str(text_encoder_folder)
    )
    loaded = load_detector(config)
    expected = small_detectors[IMPLEMENTATIONS.index(implementation)]
    assert loaded.weights_hash == expected.weights_hash
    assert_detect_alike(loaded, small_detectors[0], make_frames(2, seed=7))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_transformers_folder(small_detectors, transformers_folder, implementation, make_frames, make_config):
    loaded = load_detector(make_config(implementation=implementation, weights=str(transformers_folder)))
    expected = small_detectors[IMPLEMENTATIONS.index(implementation)]
    assert loaded.weights_hash == expected.weights_hash
    assert_detect_alike(loaded, small_detectors[0], make_frames(2, seed=7))


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
def test_random_tiny_is_small_seeded_and_leaves_the_random_state(implementation, make_frames, make_config):
    config = make_config(implementation=implementation)
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = load_detector(config)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    second = load_detector(config)
    assert first.weights_hash == second.weights_hash
    limit = 300_000 if implementation == "transformers" else 4_000_000
    assert sum(parameter.numel() for parameter in first.model.parameters()) < limit
    found = first.detect(make_frames(2), SENTENCES)
    boxes = [candidates.boxes[0] for frames in found for candidates in frames]
    assert len({tuple(box.tolist()) for box in boxes}) > 1
    assert all(candidates.scores.std() > 1e-3 for frames in found for candidates in frames)


@pytest.mark.parametrize("implementation", IMPLEMENTATIONS)
class TestErrors:
    @pytest.fixture
    def error(self, make_config, implementation):
        """The message that loading with a changed config ends with."""

        def message(**changes) -> str:
            with pytest.raises(InputError) as caught:
                load_detector(make_config(implementation=implementation, **changes))
            return str(caught.value)

        return message

    def test_missing_checkpoint(self, error, tmp_path):
        path = str(tmp_path / "none.pth")
        error = error(weights=path)
        assert "detector.weights" in error and path in error and "no file" in error

    def test_missing_folder(self, error, tmp_path):
        assert "hub id" in error(weights=str(tmp_path / "none"))

    def test_unreachable_hub_id(self, error, offline):
        error = error(weights="nobody/no-such-detector")
        assert "'nobody/no-such-detector'" in error and "config.json" in error

    def test_unreachable_text_encoder(self, error, offline, released_file):
        error = error(weights=str(released_file), text_encoder="no-such-bert")
        assert "detector.text_encoder" in error and "'no-such-bert'" in error

    def test_unknown_random_size(self, error):
        assert "random:tiny or random:full" in error(weights="random:small")

    def test_not_a_checkpoint(self, error, tmp_path):
        path = tmp_path / "text.pth"
        path.write_text("hello")
        assert str(path) in error(weights=str(path))
        torch.save({"state_dict": {}}, path)
        error = error(weights=str(path))
        assert "'state_dict'" in error and '"model"' in error

    def test_checkpoint_of_another_model(
        self, error, tmp_path, small_is_swin_t, text_encoder_folder, official_model
    ):
        path = tmp_path / "other.pth"
        state = dict(official_model.state_dict())
        state["feat_map.bias"] = torch.zeros(7)
        state["extra.weight"] = state.pop("transformer.level_embed")
        torch.save({"model": state}, path)
        error = error(weights=str(path), text_encoder=str(text_encoder_folder))
        assert str(path) in error
        assert "level_embed, which is missing" in error and "no extra.weight" in error
        assert "shape (256,), not (7,)" in error

    def test_folder_of_another_model(self, error, text_encoder_folder):
        assert "not a bert model" in error(weights=str(text_encoder_folder))

    def test_folder_with_weights_missing(self, error, transformers_folder, tmp_path):
        import shutil

        from safetensors.torch import load_file, save_file

        folder = shutil.copytree(transformers_folder, tmp_path / "copy")
        state = load_file(folder / "model.safetensors")
        del state["model.level_embed"]
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        assert "model.level_embed" in error(weights=str(folder))
        state["model.level_embed"] = torch.zeros(3, 256)
        save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
        assert str(folder) in error(weights=str(folder))
        (folder / "model.safetensors").write_bytes(b"cut short")
        assert str(folder) in error(weights=str(folder))

    def test_tokenizer_with_other_ids(self, error, transformers_folder, tmp_path):
        import shutil

        folder = shutil.copytree(transformers_folder, tmp_path / "copy")
        for path in folder.glob("tokenizer*"):
            path.unlink()
        words = (folder / "vocab.txt").read_text().split("\n")
        words[1012], words[1013] = words[1013], words[1012]
        (folder / "vocab.txt").write_text("\n".join(words))
        assert "(101, 102, 1012, 1029)" in error(weights=str(folder))


def test_sizes_that_the_released_code_cannot_build(tmp_path, make_config, make_frames):
    tiny = load_detector(make_config(implementation="transformers"))
    tiny.model.save_pretrained(tmp_path)
    tiny.captioner.tokenizer.save_pretrained(tmp_path)
    loaded = load_detector(make_config(implementation="transformers", weights=str(tmp_path)))
    assert_detect_alike(loaded, tiny, make_frames(2))
    with pytest.raises(InputError, match=r"d_model.*implementation: transformers"):
        load_detector(make_config(implementation="groundingdino", weights=str(tmp_path)))


def test_importing_the_package_imports_no_torch():
    code = (
        "import sys, rhas.extract.ground; print([m for m in ('torch', 'transformers') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class TestWeightsHash:
    def module(self, seed=0):
        torch.manual_seed(seed)
        module = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.BatchNorm1d(4))  # with a 0-d buffer
        return module

    def test_same_weights_same_hash(self):
        assert weights_hash(self.module()) == weights_hash(self.module())
        assert len(weights_hash(self.module())) == 32

    def test_any_difference_shows(self):
        reference = self.module()
        changed = self.module()
        with torch.no_grad():
            changed[0].weight[0, 0].add_(1e-6)
        renamed = torch.nn.Sequential()
        renamed.add_module("a", reference[0])
        renamed.add_module("b", reference[1])
        hashes = [
            weights_hash(m) for m in (reference, changed, renamed, self.module(1), self.module().bfloat16())
        ]
        assert len(set(hashes)) == len(hashes)

    def test_layout_in_memory_does_not_matter(self):
        module = self.module()
        expected = weights_hash(module)
        module[0].weight.data = module[0].weight.data.t().contiguous().t()
        assert weights_hash(module) == expected
