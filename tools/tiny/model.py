"""A decoder of the Qwen3 kind in PyTorch, with the names and the config.json of transformers' Qwen3ForCausalLM, and its folder."""

import json
import math
import pathlib
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer
from torch import nn
from torch.nn import functional as F

from tiny.tokens import END, MASK

Config = dict[str, Any]


def config_of(shape: dict[str, int], shift: bool) -> Config:
    return {
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu", "attention_bias": False,
        "tie_word_embeddings": True, "torch_dtype": "bfloat16", "bos_token_id": END, "eos_token_id": END, "mask_token_id": MASK,
        "diffusion_shift": shift, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 2048, **shape}


class Attention(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        hidden, eps = c["hidden_size"], c["rms_norm_eps"]
        self.heads, self.kv_heads, self.dim = c["num_attention_heads"], c["num_key_value_heads"], c["head_dim"]
        self.q_proj, self.o_proj = (nn.Linear(*size, bias=False) for size in ((hidden, self.heads * self.dim), (self.heads * self.dim, hidden)))
        self.k_proj, self.v_proj = (nn.Linear(hidden, self.kv_heads * self.dim, bias=False) for _ in range(2))
        self.q_norm, self.k_norm = nn.RMSNorm(self.dim, eps), nn.RMSNorm(self.dim, eps)

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
        batch, length, _ = x.shape
        half = self.dim // 2

        def heads(y: torch.Tensor, count: int) -> torch.Tensor:
            return y.view(batch, length, count, self.dim)

        def rotated(y: torch.Tensor) -> torch.Tensor:
            return y * cos + torch.cat((-y[..., half:], y[..., :half]), -1) * sin

        v = heads(self.v_proj(x), self.kv_heads).transpose(1, 2)
        q = rotated(self.q_norm(heads(self.q_proj(x), self.heads)).transpose(1, 2)).to(v.dtype)
        k = rotated(self.k_norm(heads(self.k_proj(x), self.kv_heads)).transpose(1, 2)).to(v.dtype)
        k, v = (y.repeat_interleave(self.heads // self.kv_heads, 1) for y in (k, v))
        out = F.scaled_dot_product_attention(q, k, v, attn_mask=seen, is_causal=seen is None)
        return self.o_proj(out.transpose(1, 2).reshape(batch, length, -1))


class Mlp(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        hidden, inner = c["hidden_size"], c["intermediate_size"]
        self.gate_proj, self.up_proj = (nn.Linear(hidden, inner, bias=False) for _ in range(2))
        self.down_proj = nn.Linear(inner, hidden, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.down_proj(F.silu(self.gate_proj(x)) * self.up_proj(x))


class Layer(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.self_attn, self.mlp = Attention(c), Mlp(c)
        self.input_layernorm, self.post_attention_layernorm = (nn.RMSNorm(c["hidden_size"], c["rms_norm_eps"]) for _ in range(2))

    def forward(self, x: torch.Tensor, cos: torch.Tensor, sin: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
        x = x + self.self_attn(self.input_layernorm(x), cos, sin, seen)
        return x + self.mlp(self.post_attention_layernorm(x))


class Model(nn.Module):
    def __init__(self, c: Config) -> None:
        super().__init__()
        self.config = c
        self.embed_tokens = nn.Embedding(c["vocab_size"], c["hidden_size"])
        self.layers = nn.ModuleList(Layer(c) for _ in range(c["num_hidden_layers"]))
        self.norm = nn.RMSNorm(c["hidden_size"], c["rms_norm_eps"])
        for name, weight in self.named_parameters():
            if weight.dim() == 2:  # what ends in the residual stream starts smaller
                into_stream = "o_proj" in name or "down_proj" in name
                nn.init.normal_(weight, std=0.02 / (math.sqrt(2 * len(self.layers)) if into_stream else 1.0))

    def forward(self, ids: torch.Tensor, positions: torch.Tensor, seen: torch.Tensor | None = None) -> torch.Tensor:
        """ids [batch, length], positions [length], seen bool [batch, 1, length, length] or None = causal; hidden states."""
        dim = self.config["head_dim"]
        angle = positions[:, None].float() * self.config["rope_theta"] ** (-torch.arange(0, dim, 2).float() / dim)
        angle = torch.cat((angle, angle), -1)
        cos, sin = angle.cos(), angle.sin()
        x = self.embed_tokens(ids)
        for layer in self.layers:
            x = layer(x, cos, sin, seen)
        return self.norm(x)

    def head(self, x: torch.Tensor) -> torch.Tensor:
        return F.linear(x, self.embed_tokens.weight)


def save_folder(model: Model, tokenizer: Tokenizer, log: dict[str, Any], folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    weights = {"model." + name: value.to(torch.bfloat16).contiguous() for name, value in model.state_dict().items()}
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    (folder / "model.safetensors").chmod(0o644)  # save_file leaves it to the owner alone
    (folder / "config.json").write_text(json.dumps(model.config, indent=1) + "\n")
    (folder / "train_log.json").write_text(json.dumps(log, indent=1) + "\n")
    tokenizer.save(str(folder / "tokenizer.json"))


def load_folder(folder: pathlib.Path) -> tuple[Model, Tokenizer, dict[str, Any]]:
    """Model in float32, tokenizer, train_log.json."""
    model = Model(json.loads((folder / "config.json").read_text()))
    weights = load_file(folder / "model.safetensors")
    model.load_state_dict({name.removeprefix("model."): value.float() for name, value in weights.items()})
    return model.eval(), Tokenizer.from_file(str(folder / "tokenizer.json")), json.loads((folder / "train_log.json").read_text())
