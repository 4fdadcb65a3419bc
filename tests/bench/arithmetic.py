"""Arithmetic of full-size models for one sampled frame, by the way in which persons are found.

Nothing is computed: operations are counted while models without weights run on the meta device. GroundingDINO (Swin-T
as in the presets, Swin-B) at 750x1333, a 16:9 frame as it gets it, with nine tokens; BLIP-2, ViT-g at 224. A frame's
backbone is run once, its fusion once a person; whole frames go through the tower once and through the Q-Former for
each person, crops through both. In: nothing. Out: ratios of `builtin` every .4 and .8 s to `frames`, at two rates.
"""

from __future__ import annotations

from itertools import product
from typing import Any

RATES, EVERY_S = (5, 15), (0.4, 0.8)  # samples a second, seconds between detections
PIXELS, TOKENS = (750, 1333), 9


def arithmetic() -> list[dict]:
    from rhas.extract.weights.torchvision_fix import ensure_importable

    ensure_importable()
    whole, crop_only = _encoder_tflop()
    rows = []
    for backbone in ("swin-t", "swin-b"):
        image, fusion = _detector_tflop(backbone)
        for persons in (1, 4):
            ground = image + persons * fusion
            # The tower sees the frame and each crop; the Q-Former reads both for each person.
            encode = (1 + persons) * whole + 2 * persons * crop_only
            for rate, every_s in product(RATES, EVERY_S):
                sparse = ground / (rate * every_s)
                for what, more in (("grounding", 0.0), ("all", encode)):
                    rows.append({
                        "what": f"{what}, builtin every {every_s} s / frames, {rate} samples/s, {backbone}, "
                        f"persons: {persons}",
                        "aim": "-", "ratio": (sparse + more) / (ground + more), "tflop_frames": ground + more,
                        "tflop_builtin": sparse + more,
                    })  # fmt: skip
    return rows


def _counted(run: Any) -> float:
    """TFLOP of what `run` does; a multiplication with its addition counts as two."""
    import torch
    from torch.utils._pytree import tree_any, tree_map
    from torch.utils.flop_counter import FlopCounterMode

    class Shapes(torch.overrides.TorchFunctionMode):
        """Sizes of feature maps and token ids stay numbers, which models go by, until they meet what has none."""

        def __torch_function__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
            kwargs = kwargs or {}
            if function is torch.as_tensor:
                kwargs.pop("device", None)
            if tree_any(lambda x: isinstance(x, torch.Tensor) and x.is_meta, (args, kwargs)):
                args, kwargs = tree_map(
                    lambda x: x.to("meta") if isinstance(x, torch.Tensor) and x.ndim else x, (args, kwargs)
                )
            return function(*args, **kwargs)

    with torch.inference_mode(), FlopCounterMode(display=False) as counter, Shapes():
        run()
    return counter.get_total_flops() / 1e12


def _detector_tflop(backbone: str) -> tuple[float, float]:
    """Of a frame's backbone, and of what each sentence pays."""
    import torch
    from transformers import BertConfig, GroundingDinoForObjectDetection

    from rhas.extract.ground.architecture import ARCHITECTURES

    with torch.device("meta"):
        config = ARCHITECTURES[backbone].transformers_config(BertConfig())
        model = GroundingDinoForObjectDetection(config).to("meta").eval()
    pixels = torch.zeros(1, 3, *PIXELS, device="meta")
    ids = torch.tensor([[101, *range(2000, 2000 + TOKENS - 3), 1012, 102]])
    image = _counted(
        lambda: model.model.backbone(pixels, torch.ones(1, *PIXELS, dtype=torch.long, device="meta"))
    )
    return image, _counted(lambda: model(pixel_values=pixels, input_ids=ids)) - image


def _encoder_tflop() -> tuple[float, float]:
    """Of an image in the tower, and of its features in the Q-Former with a sentence."""
    import torch
    from transformers import Blip2Config, Blip2ForImageTextRetrieval, Blip2QFormerConfig, Blip2VisionConfig

    with torch.device("meta"):
        config = Blip2Config.from_vision_qformer_text_configs(
            Blip2VisionConfig(), Blip2QFormerConfig(use_qformer_text_input=True), image_text_hidden_size=256
        )
        model = Blip2ForImageTextRetrieval(config).to("meta").eval()
    size, width = config.vision_config.image_size, config.vision_config.hidden_size
    tower = _counted(lambda: model.vision_model(pixel_values=torch.zeros(1, 3, size, size, device="meta")))
    patches = (size // config.vision_config.patch_size) ** 2 + 1
    seen = torch.zeros(1, patches, width, device="meta")

    def read() -> None:
        inputs = model.embeddings(
            input_ids=torch.zeros(1, TOKENS, dtype=torch.long, device="meta"), query_embeds=model.query_tokens
        )
        mask = torch.ones(inputs.shape[:2], device="meta")
        model.qformer(
            query_embeds=inputs, query_length=model.query_tokens.shape[1], attention_mask=mask,
            encoder_hidden_states=seen,
        )  # fmt: skip

    return tower, _counted(read)
