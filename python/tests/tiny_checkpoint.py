"""A random Qwen3 checkpoint on disk, and what greedy decoding of it yields, in NumPy float64 and all over again for
every token."""

import json
import struct

import numpy as np

SHAPE = dict(vocab_size=259, hidden_size=24, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=2, head_dim=8,
             intermediate_size=40, rms_norm_eps=1e-6, rope_theta=10000.0, max_position_embeddings=256)


def weights(rng, c=SHAPE):
    hidden, dim = c["hidden_size"], c["head_dim"]
    q, kv = c["num_attention_heads"] * dim, c["num_key_value_heads"] * dim
    shapes = {"model.embed_tokens.weight": (c["vocab_size"], hidden), "model.norm.weight": (hidden,)}
    for i in range(c["num_hidden_layers"]):
        for name, shape in {
            "input_layernorm": (hidden,), "post_attention_layernorm": (hidden,),
            "self_attn.q_proj": (q, hidden), "self_attn.k_proj": (kv, hidden), "self_attn.v_proj": (kv, hidden),
            "self_attn.o_proj": (hidden, q), "self_attn.q_norm": (dim,), "self_attn.k_norm": (dim,),
            "mlp.gate_proj": (c["intermediate_size"], hidden), "mlp.up_proj": (c["intermediate_size"], hidden),
            "mlp.down_proj": (hidden, c["intermediate_size"]),
        }.items():
            shapes[f"model.layers.{i}.{name}.weight"] = shape
    scale = {1: 1.0, 2: 0.6}
    return {name: (rng.standard_normal(shape) * scale[len(shape)]).astype("f4") for name, shape in shapes.items()}


def byte_alphabet():
    """The character that stands for each byte in a byte-level tokenizer.json."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    rest = [b for b in range(256) if b not in plain]
    return {b: chr(b) for b in plain} | {b: chr(256 + i) for i, b in enumerate(rest)}


def write(folder, tensors, c=SHAPE, tokenizer=True):
    folder.mkdir(parents=True, exist_ok=True)
    config = {"architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu", "attention_bias": False,
              "tie_word_embeddings": True, "torch_dtype": "float32", "eos_token_id": 256, **c}
    (folder / "config.json").write_text(json.dumps(config))
    header, at = {}, 0
    for name, t in tensors.items():
        header[name] = {"dtype": "F32", "shape": list(t.shape), "data_offsets": [at, at + t.nbytes]}
        at += t.nbytes
    head = json.dumps(header).encode()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + b"".join(t.tobytes() for t in tensors.values()))
    if tokenizer:
        special = [{"id": 256 + i, "content": word, "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
                    "special": True} for i, word in enumerate(["<|end|>", "<|mask|>", "<|pad|>"])]
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        (folder / "tokenizer.json").write_text(json.dumps({
            "version": "1.0", "truncation": None, "padding": None, "added_tokens": special, "normalizer": None,
            "pre_tokenizer": level, "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                      "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False, "ignore_merges": False,
                      "vocab": {char: byte for byte, char in byte_alphabet().items()}, "merges": []}}))
    return folder


def logits(tensors, ids, c=SHAPE):
    """Of the token after the last."""
    w = {name: t.astype("f8") for name, t in tensors.items()}
    heads, kv_heads, dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
    norm = lambda x, weight: x / np.sqrt((x * x).mean(-1, keepdims=True) + c["rms_norm_eps"]) * weight
    angle = np.arange(len(ids))[:, None] * c["rope_theta"] ** (-np.arange(0, dim, 2) / dim)
    cos, sin = np.cos(angle)[:, None], np.sin(angle)[:, None]
    rotate = lambda x: np.concatenate([x[..., : dim // 2] * cos - x[..., dim // 2 :] * sin, x[..., dim // 2 :] * cos + x[..., : dim // 2] * sin], -1)
    x = w["model.embed_tokens.weight"][ids]
    for i in range(c["num_hidden_layers"]):
        layer = lambda name: w[f"model.layers.{i}.{name}.weight"]
        h = norm(x, layer("input_layernorm"))
        q = rotate(norm((h @ layer("self_attn.q_proj").T).reshape(-1, heads, dim), layer("self_attn.q_norm")))
        k = rotate(norm((h @ layer("self_attn.k_proj").T).reshape(-1, kv_heads, dim), layer("self_attn.k_norm")))
        v = (h @ layer("self_attn.v_proj").T).reshape(-1, kv_heads, dim)
        k, v = (np.repeat(t, heads // kv_heads, 1) for t in (k, v))
        scores = np.einsum("ihd,jhd->hij", q, k) / np.sqrt(dim)
        scores[:, np.triu(np.ones((len(ids), len(ids)), bool), 1)] = -np.inf
        weight = np.exp(scores - scores.max(-1, keepdims=True))
        out = np.einsum("hij,jhd->ihd", weight / weight.sum(-1, keepdims=True), v).reshape(len(ids), -1)
        x = x + out @ layer("self_attn.o_proj").T
        h = norm(x, layer("post_attention_layernorm"))
        gate = h @ layer("mlp.gate_proj").T
        x = x + (gate / (1 + np.exp(-gate)) * (h @ layer("mlp.up_proj").T)) @ layer("mlp.down_proj").T
    return norm(x[-1], w["model.norm.weight"]) @ w["model.embed_tokens.weight"].T


def greedy(tensors, prompt, count):
    ids = list(prompt)
    for _ in range(count):
        ids.append(int(np.argmax(logits(tensors, ids))))
    return ids[len(prompt) :]
