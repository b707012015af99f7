"""The changes that the `paper` recipe and the model presets make."""

from typing import Any

PAPER: dict[str, Any] = {
    "model": {
        "position_embedding": "sincos_hw",
        "ignore_air": False,
        "local_patch_size": None,
        "visible_rounding": "down",
        "patch_bias": "uniform",
        "attention_dropout": 0.1,
    },
    "objectives": {
        "reconstruction": {"target": "raw", "loss": "all"},
        "report": {"mask": "any", "loss": "all"},
        "alignment": {
            "negatives": "report",
            "padding_negatives": True,
            "padding_patches": "drawn",
            "mask_duplicates": False,
        },
        "late_interaction": {"weight": 0.0},
    },
    "text_encoder": {
        "context": "report",
        "sentence_rule": "published",
        "separator": False,
        "dropout_active": True,
    },
    "train": {"grad_clip": None, "decay_tokens": True, "warmup_from_zero": True},
    "data": {
        "augment": {
            "scale": (0.8, 1.0),
            "scaling": "cut",
            "flip": 0.2,
            "pad": "reflect",
            "shift": 0.1,
            "shift_probability": 0.1,
        },
    },
}
"""What the `paper` recipe changes, by section."""

PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {},
    "vit_b": {
        "model": {
            "volume_size": (224, 224, 112),
            "patch_size": (16, 16, 8),
            "spacing_mm": (1.5, 1.5, 3.0),
            "embed_dim": 768,
            "depth": 12,
            "num_heads": 12,
            "local_dim": 384,
            "decoder_dim": 768,
            "decoder_depth": 4,
            "decoder_heads": 16,
            "projection_dim": 768,
            "fusion_heads": 6,
            "fusion_mlp_dim": 1536,
            "text_decoder_depth": 6,
            "dropout": 0.1,
        },
        "objectives": {"alignment": {"top_k": 32}, "late_interaction": {"top_k": 4}},
        "text_encoder": {
            "max_tokens": 512,
            "hidden_size": 256,
            "depth": 2,
            "num_heads": 4,
            "vocab_size": 8192,
            "dropout": 0.1,
        },
    },
}
"""What a model preset changes, by section."""
