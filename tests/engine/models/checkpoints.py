"""Checkpoints of random weights, as transformers writes them, and the program that reads them."""

from __future__ import annotations

import json
import os
import pathlib
import struct
import subprocess
from collections.abc import Sequence
from typing import Any

import numpy as np

Config = dict[str, Any]
Weights = dict[str, np.ndarray]

PROGRAM = os.environ.get("ATTEND_MODEL_LOGITS", "build/release/tests/bin/model_logits")


def config(family: str, **words: Any) -> Config:
    """A small model; heads x head_dim is not hidden_size, and nothing is a power of two."""
    base: Config = {
        "model_type": family,
        "hidden_act": "silu",
        "torch_dtype": "float32",
        "vocab_size": 53,
        "hidden_size": 20,
        "intermediate_size": 28,
        "num_hidden_layers": 3,
        "num_attention_heads": 6,
        "num_key_value_heads": 2,
        "head_dim": 10,
        "max_position_embeddings": 64,
        "rms_norm_eps": 1e-5,
        "rope_theta": 5000.0,
        "tie_word_embeddings": False,
        "bos_token_id": 1,
        "eos_token_id": 2,
    }
    if family in ("qwen3_moe", "qwen3_next"):
        base |= {
            "num_experts": 5,
            "num_experts_per_tok": 2,
            "moe_intermediate_size": 12,
            "decoder_sparse_step": 1,
        }
    if family == "qwen3_next":
        base |= {
            "head_dim": 16,
            "partial_rotary_factor": 0.25,
            "full_attention_interval": 2,
            "shared_expert_intermediate_size": 14,
            "linear_num_key_heads": 2,
            "linear_num_value_heads": 4,
            "linear_key_head_dim": 8,
            "linear_value_head_dim": 6,
            "linear_conv_kernel_dim": 4,
        }
    return base | words


def layer_types(c: Config) -> list[str]:
    """Which layers are what, as the configuration classes of transformers have it."""
    family, count = c["model_type"], c["num_hidden_layers"]
    if family == "mistral" or (family == "qwen3_moe" and c.get("use_sliding_window")):
        return ["sliding_attention" if c.get("sliding_window") else "full_attention"] * count
    if c.get("layer_types"):
        return list(c["layer_types"])
    if family == "qwen3_next":
        every = c["full_attention_interval"]
        return ["linear_attention" if (i + 1) % every else "full_attention" for i in range(count)]
    first = c["max_window_layers"] if c.get("use_sliding_window") else count
    return ["sliding_attention" if i >= first else "full_attention" for i in range(count)]


def is_moe(c: Config, layer: int) -> bool:
    sparse = c["model_type"] in ("qwen3_moe", "qwen3_next")
    return (
        sparse
        and layer not in c.get("mlp_only_layers", [])
        and (layer + 1) % c["decoder_sparse_step"] == 0
    )


def random_weights(c: Config, seed: int = 1) -> Weights:
    rng = np.random.default_rng(seed)
    family, hidden, head = c["model_type"], c["hidden_size"], c["head_dim"]
    heads, kv = c["num_attention_heads"] * head, c["num_key_value_heads"] * head
    w: Weights = {}

    def linear(name: str, out: int, width: int, bias: bool = False) -> None:
        w[name + ".weight"] = rng.standard_normal((out, width)) * 1.5 / np.sqrt(width)
        if bias:
            w[name + ".bias"] = rng.standard_normal(out) * 0.5

    def norm(name: str, width: int, plus_one: bool = family == "qwen3_next") -> None:
        w[name + ".weight"] = rng.standard_normal(width) * 0.3 + (0.0 if plus_one else 1.0)

    def mlp(name: str, width: int) -> None:
        bias = bool(c.get("mlp_bias"))
        linear(name + ".gate_proj", width, hidden, bias)
        linear(name + ".up_proj", width, hidden, bias)
        linear(name + ".down_proj", hidden, width, bias)

    w["model.embed_tokens.weight"] = rng.standard_normal((c["vocab_size"], hidden))
    if not c["tie_word_embeddings"]:
        linear("lm_head", c["vocab_size"], hidden)
    norm("model.norm", hidden)
    for i, kind in enumerate(layer_types(c)):
        at = f"model.layers.{i}."
        norm(at + "input_layernorm", hidden)
        norm(at + "post_attention_layernorm", hidden)
        if kind == "linear_attention":
            k_heads, v_heads = c["linear_num_key_heads"], c["linear_num_value_heads"]
            keys, values = k_heads * c["linear_key_head_dim"], v_heads * c["linear_value_head_dim"]
            linear(at + "linear_attn.in_proj_qkvz", 2 * keys + 2 * values, hidden)
            linear(at + "linear_attn.in_proj_ba", 2 * v_heads, hidden)
            linear(at + "linear_attn.out_proj", hidden, values)
            conv = rng.standard_normal((2 * keys + values, 1, c["linear_conv_kernel_dim"]))
            w[at + "linear_attn.conv1d.weight"] = conv * 0.5
            w[at + "linear_attn.A_log"] = np.log(rng.uniform(0.5, 4, v_heads))
            w[at + "linear_attn.dt_bias"] = rng.standard_normal(v_heads)
            norm(at + "linear_attn.norm", c["linear_value_head_dim"], plus_one=False)
        else:
            bias = bool(c.get("attention_bias"))
            gated = 2 if family == "qwen3_next" else 1
            linear(at + "self_attn.q_proj", gated * heads, hidden, bias or family == "qwen2")
            linear(at + "self_attn.k_proj", kv, hidden, bias or family == "qwen2")
            linear(at + "self_attn.v_proj", kv, hidden, bias or family == "qwen2")
            linear(at + "self_attn.o_proj", hidden, heads, bias)
            if family.startswith("qwen3"):
                norm(at + "self_attn.q_norm", head)
                norm(at + "self_attn.k_norm", head)
        if not is_moe(c, i):
            mlp(at + "mlp", c["intermediate_size"])
            continue
        linear(at + "mlp.gate", c["num_experts"], hidden)
        for e in range(c["num_experts"]):
            mlp(at + f"mlp.experts.{e}", c["moe_intermediate_size"])
        if family == "qwen3_next":
            mlp(at + "mlp.shared_expert", c["shared_expert_intermediate_size"])
            linear(at + "mlp.shared_expert_gate", 1, hidden)
    return {name: value.astype(np.float32) for name, value in w.items()}


def encode(value: np.ndarray, dtype: str) -> tuple[bytes, np.ndarray]:
    """The bytes of an element type, and the values that they mean."""
    if dtype == "BF16":
        bits = value.astype(np.float32).view(np.uint32)
        short = ((bits + 0x7FFF + ((bits >> 16) & 1)) >> 16).astype(np.uint16)
        return short.tobytes(), (short.astype(np.uint32) << 16).view(np.float32)
    kept = value.astype({"F32": np.float32, "F16": np.float16, "F64": np.float64}[dtype])
    return kept.tobytes(), kept.astype(np.float32)


def write_safetensors(
    path: pathlib.Path, weights: Weights, dtype: str = "F32", pad: int = 8
) -> Weights:
    """The weights as the file has them. `pad`: what the header's length is a multiple of."""
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    data, kept = [], {}
    end = 0
    for name, value in weights.items():
        raw, kept[name] = encode(value, dtype)
        header[name] = {
            "dtype": dtype,
            "shape": list(value.shape),
            "data_offsets": [end, end + len(raw)],
        }
        end += len(raw)
        data.append(raw)
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % pad)
    if pad == 1 and len(text) % 2 == 0:
        text += b" "  # elements at odd addresses
    path.write_bytes(struct.pack("<Q", len(text)) + text + b"".join(data))
    return kept


def write_checkpoint(
    folder: pathlib.Path,
    c: Config,
    weights: Weights,
    dtype: str = "F32",
    shards: int = 1,
    pad: int = 8,
) -> Weights:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(c))
    if shards == 1:
        return write_safetensors(folder / "model.safetensors", weights, dtype, pad)
    kept: Weights = {}
    places = {}
    names = sorted(weights)
    for i in range(shards):
        file = f"model-{i + 1:05}-of-{shards:05}.safetensors"
        part = {name: weights[name] for name in names[i::shards]}
        kept |= write_safetensors(folder / file, part, dtype, pad)
        places |= dict.fromkeys(part, file)
    index = {"metadata": {"total_size": 0}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return kept


def run_program(
    folder: pathlib.Path, ids: Sequence[int], chunk: int = 0, compute: str = "f32"
) -> subprocess.CompletedProcess[bytes]:
    words = [PROGRAM, str(folder), compute, str(chunk), *map(str, ids)]
    return subprocess.run(words, capture_output=True, timeout=240, check=False)


def logits(
    folder: pathlib.Path, ids: Sequence[int], chunk: int = 0, compute: str = "f32"
) -> np.ndarray:
    done = run_program(folder, ids, chunk, compute)
    if done.returncode != 0:
        raise RuntimeError(done.stderr.decode(errors="replace"))
    return np.frombuffer(done.stdout, np.float32).reshape(len(ids), -1)
