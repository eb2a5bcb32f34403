#!/usr/bin/env python3
"""Logits of every family against transformers itself, on random checkpoints that it writes.

Needs torch, transformers and pytest (tools/test --only torch); ATTEND_MODEL_LOGITS names the
program model_logits.
"""

from __future__ import annotations

import json
import pathlib
import sys
from typing import Any

import numpy as np
import pytest
import torch
import transformers
from checkpoints import logits

IDS = [int(i) for i in np.random.default_rng(7).integers(0, 53, 23)]
WITHIN = 1e-4  # of the largest logit

SIZES = {
    "vocab_size": 53,
    "hidden_size": 36,
    "intermediate_size": 28,
    "num_hidden_layers": 3,
    "num_attention_heads": 6,
    "num_key_value_heads": 2,
    "head_dim": 10,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "pad_token_id": None,
    "bos_token_id": 1,
    "eos_token_id": 2,
}
MOE = {
    "num_experts": 5,
    "num_experts_per_tok": 2,
    "moe_intermediate_size": 12,
    "decoder_sparse_step": 1,
}
NEXT = {
    **MOE,
    "head_dim": 16,
    "partial_rotary_factor": 0.25,
    "shared_expert_intermediate_size": 14,
    "linear_num_key_heads": 2,
    "linear_num_value_heads": 4,
    "linear_key_head_dim": 8,
    "linear_value_head_dim": 6,
    "layer_types": ["linear_attention", "full_attention", "linear_attention"],
}
LLAMA3 = {
    "rope_type": "llama3",
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 3.0,
    "original_max_position_embeddings": 24,
}
YARN = {"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 48}

# Name, family, words.
CASES: list[tuple[str, str, dict[str, Any]]] = [
    ("llama", "llama", {"attention_bias": True, "mlp_bias": True}),
    ("llama tied", "llama", {"tie_word_embeddings": True, "head_dim": 6}),
    ("llama linear", "llama", {"rope": {"rope_type": "linear", "factor": 2.5}}),
    ("llama dynamic", "llama", {"rope": {"rope_type": "dynamic", "factor": 2.0}}),
    ("llama llama3", "llama", {"rope": LLAMA3}),
    ("llama yarn", "llama", {"head_dim": 32, "rope": YARN}),
    (
        "llama yarn mscale",
        "llama",
        {"head_dim": 32, "rope": {**YARN, "mscale": 0.7, "mscale_all_dim": 1.3}},
    ),
    (
        "llama yarn untruncated",
        "llama",
        {"head_dim": 32, "rope": {**YARN, "truncate": False, "beta_fast": 4.0}},
    ),
    ("mistral", "mistral", {"sliding_window": 5}),
    (
        "qwen2",
        "qwen2",
        {"use_sliding_window": True, "sliding_window": 4, "max_window_layers": 1, "head_dim": 6},
    ),
    ("qwen3", "qwen3", {"attention_bias": True}),
    (
        "qwen3 sliding",
        "qwen3",
        {
            "use_sliding_window": True,
            "sliding_window": 3,
            "max_window_layers": 2,
            "tie_word_embeddings": True,
        },
    ),
    ("qwen3_moe", "qwen3_moe", {**MOE, "mlp_only_layers": [0], "norm_topk_prob": True}),
    ("qwen3_next", "qwen3_next", {**NEXT, "mlp_only_layers": [2]}),
    (
        "qwen3_next yarn",
        "qwen3_next",
        {**NEXT, "attention_bias": True, "tie_word_embeddings": True, "rope": YARN},
    ),
]


def make(family: str, words: dict[str, Any]) -> torch.nn.Module:
    rope = {"rope_theta": 5000.0, **words.get("rope", {"rope_type": "default"})}
    fields = {**SIZES, **{name: value for name, value in words.items() if name != "rope"}}
    if "partial_rotary_factor" in fields:
        rope["partial_rotary_factor"] = fields.pop("partial_rotary_factor")
    config = transformers.AutoConfig.for_model(family, **fields, rope_parameters=rope)
    config._attn_implementation = "eager"
    torch.manual_seed(3)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    with torch.no_grad():
        for name, p in model.named_parameters():
            if p.dim() > 1:
                p.copy_(torch.randn_like(p) * 1.5 / p.shape[-1] ** 0.5)
            elif not name.endswith("A_log"):
                p.add_(torch.randn_like(p) * 0.3)
    return model


def as_version_4(folder: pathlib.Path) -> None:
    """config.json in the words of transformers 4: rope_theta and rope_scaling, torch_dtype."""
    path = folder / "config.json"
    config = json.loads(path.read_text())
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    if "partial_rotary_factor" in rope:
        config["partial_rotary_factor"] = rope.pop("partial_rotary_factor")
    config["rope_scaling"] = None if rope["rope_type"] == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    if "num_local_experts" in config:
        config["num_experts"] = config.pop("num_local_experts")
    path.write_text(json.dumps(config))


@pytest.mark.parametrize(("name", "family", "words"), CASES, ids=[case[0] for case in CASES])
def test_same_logits(tmp_path: pathlib.Path, name: str, family: str, words: dict[str, Any]) -> None:
    model = make(family, words)
    with torch.no_grad():
        want = model(torch.tensor([IDS])).logits[0].numpy()
    model.save_pretrained(tmp_path, max_shard_size="40KB" if "tied" in name else "1GB")
    for version in (5, 4):
        if version == 4:
            as_version_4(tmp_path)
        for chunk in (0, 5):
            error = np.abs(logits(tmp_path, IDS, chunk) - want).max() / np.abs(want).max()
            print(f"config of version {version}, {chunk or 'all'} rows a step: {error:.1e}")
            assert error <= WITHIN, f"config of version {version}, {chunk or 'all'} rows a step"


if __name__ == "__main__":
    sys.exit(pytest.main([__file__, "-q", "-rP"]))
