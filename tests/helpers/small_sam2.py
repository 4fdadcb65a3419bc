"""A small SAM 2 of random weights, to which everybody is always there, saved as transformers saves it."""

from __future__ import annotations

from pathlib import Path

import torch

from rhas.extract.weights.torchvision_fix import ensure_importable

SIDE = 64  # of its pictures


def write_small_sam2(folder: Path) -> Path:
    """Writes it into a folder, which is returned."""
    ensure_importable()
    from transformers import Sam2VideoConfig, Sam2VideoModel

    hiera = {
        "model_type": "sam2_hiera_det_model", "hidden_size": 16, "num_attention_heads": 1, "image_size": [SIDE, SIDE],
        "blocks_per_stage": [1, 1, 1, 1], "embed_dim_per_stage": [16, 32, 64, 128],
        "num_attention_heads_per_stage": [1, 1, 2, 4], "window_size_per_stage": [4, 2, 2, 2],
        "global_attention_blocks": [], "window_positional_embedding_background_size": [4, 4],
    }  # fmt: skip
    config = Sam2VideoConfig(
        vision_config={
            "backbone_config": hiera, "backbone_channel_list": [128, 64, 32, 16], "fpn_hidden_size": 128,
            "backbone_feature_sizes": [[16, 16], [8, 8], [4, 4]],
        },
        prompt_encoder_config={"hidden_size": 128, "image_size": SIDE, "patch_size": 16},
        mask_decoder_config={
            "hidden_size": 128, "mlp_dim": 32, "num_attention_heads": 2, "iou_head_hidden_dim": 32,
        },
        image_size=SIDE, memory_attention_hidden_size=128, memory_attention_num_layers=1,
        memory_attention_feed_forward_hidden_size=32, memory_attention_rope_feat_sizes=[4, 4],
        memory_encoder_hidden_size=128, memory_encoder_output_channels=64, mask_downsampler_embed_dim=128,
        memory_fuser_embed_dim=128, memory_fuser_intermediate_dim=32, memory_fuser_num_layers=1,
    )  # fmt: skip
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(3)
        model = Sam2VideoModel(config).eval()
        for parameter in model.parameters():
            if parameter.dim() > 1:
                torch.nn.init.normal_(parameter, std=1.5 / parameter.shape[-1] ** 0.5)
        last = model.mask_decoder.pred_obj_score_head.proj_out
        torch.nn.init.zeros_(last.weight)
        torch.nn.init.constant_(last.bias, 3.0)
    model.save_pretrained(folder)
    return folder
