"""Presets fix the numbers of a model and nothing else."""

from __future__ import annotations

from typing import Any

from keras_transformer.errors import UserError, close_matches

# "base" and "big" are the models of "Attention Is All You Need" (https://arxiv.org/abs/1706.03762, table 3). "tiny" is
# the size that small corpora such as Multi30k want; "small" lies between.
PRESETS: dict[str, dict[str, Any]] = {
    "tiny": {
        "num_encoder_layers": 4,
        "num_decoder_layers": 4,
        "hidden_dim": 128,
        "intermediate_dim": 256,
        "num_heads": 4,
        "normalize_first": True,
    },
    "small": {
        "num_encoder_layers": 4,
        "num_decoder_layers": 4,
        "hidden_dim": 256,
        "intermediate_dim": 1024,
        "num_heads": 4,
        "normalize_first": True,
    },
    "base": {
        "num_encoder_layers": 6,
        "num_decoder_layers": 6,
        "hidden_dim": 512,
        "intermediate_dim": 2048,
        "num_heads": 8,
    },
    "big": {
        "num_encoder_layers": 6,
        "num_decoder_layers": 6,
        "hidden_dim": 1024,
        "intermediate_dim": 4096,
        "num_heads": 16,
        "dropout": 0.3,
    },
}


def preset_config(name: str) -> dict[str, Any]:
    """Returns the numbers of the preset called `name`.

    Raises:
        UserError: there is no such preset.
    """
    if name not in PRESETS:
        raise UserError(f"no preset {name!r}; there are {', '.join(PRESETS)}.{close_matches(name, PRESETS)}")
    return dict(PRESETS[name])
