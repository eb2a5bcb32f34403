"""Checkpoints that cannot be served: what is wrong is named, with the file and what is wanted."""

from __future__ import annotations

import json
import pathlib
import tempfile
import unittest
from collections.abc import Callable
from typing import Any

import numpy as np
from checkpoints import (
    Weights,
    config,
    logits,
    random_weights,
    run_program,
    write_checkpoint,
    write_safetensors,
)

Q_PROJ = "model.layers.1.self_attn.q_proj.weight"


class Broken(unittest.TestCase):
    def setUp(self) -> None:
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.scratch.name)

    def tearDown(self) -> None:
        self.scratch.cleanup()

    def refused(self, *words: str) -> None:
        done = run_program(self.folder, [1, 2, 3])
        text = done.stderr.decode()
        self.assertEqual(done.returncode, 1, text)
        for word in words:
            self.assertIn(word, text)

    def with_weights(
        self, change: Callable[[Weights], Any], *words: str, family: str = "qwen3", **fields: Any
    ) -> None:
        c = config(family, **fields)
        weights = random_weights(c)
        change(weights)
        write_checkpoint(self.folder, c, weights)
        self.refused(str(self.folder / "model.safetensors"), *words)

    def with_config(
        self, *words: str, family: str = "qwen3", absent: str = "", **fields: Any
    ) -> None:
        c = config(family)
        write_checkpoint(self.folder, c, random_weights(c))
        c |= fields
        c.pop(absent, None)
        (self.folder / "config.json").write_text(json.dumps(c))
        self.refused(str(self.folder / "config.json"), *words)

    def test_missing_tensor(self) -> None:
        self.with_weights(
            lambda w: w.pop(Q_PROJ), f"tensor '{Q_PROJ}' is absent, expected shape [60, 20]"
        )

    def test_missing_bias(self) -> None:
        name = "model.layers.0.self_attn.k_proj.bias"
        self.with_weights(lambda w: w.pop(name), f"tensor '{name}' is absent", family="qwen2")

    def test_misshapen_tensor(self) -> None:
        def transpose(w: Weights) -> None:
            w[Q_PROJ] = np.ascontiguousarray(w[Q_PROJ].T)

        self.with_weights(transpose, f"tensor '{Q_PROJ}' shape is [20, 60], expected [60, 20]")

    def test_tensor_of_no_layer(self) -> None:
        name = "model.layers.0.self_attn.q_proj.bias"
        self.with_weights(
            lambda w: w.update({name: np.zeros(60, np.float32)}),
            f"tensor '{name}' belongs to no layer of this model",
        )

    def test_known_leftovers_are_ignored(self) -> None:
        c = config("qwen3_next", tie_word_embeddings=True)
        weights = random_weights(c)
        weights["model.layers.1.self_attn.rotary_emb.inv_freq"] = np.ones(2, np.float32)
        weights["lm_head.weight"] = np.zeros((53, 20), np.float32)
        weights["mtp.norm.weight"] = np.ones(20, np.float32)
        write_checkpoint(self.folder, c, weights)
        self.assertTrue(np.isfinite(logits(self.folder, [1, 2, 3])).all())

    def test_unknown_element_type(self) -> None:
        c = config("qwen3")
        weights = random_weights(c)
        write_checkpoint(self.folder, c, weights, dtype="F64")
        self.refused("model.embed_tokens.weight' dtype is F64, expected F32, F16 or BF16")

    def test_file_that_is_cut_short(self) -> None:
        c = config("qwen3")
        write_checkpoint(self.folder, c, random_weights(c))
        path = self.folder / "model.safetensors"
        path.write_bytes(path.read_bytes()[:-10])
        self.refused(str(path), "data_offsets")
        path.write_bytes(path.read_bytes()[:5])
        self.refused(str(path), "size is 5 bytes")

    def test_no_weights(self) -> None:
        (self.folder / "config.json").write_text(json.dumps(config("qwen3")))
        self.refused("holds no weights, expected model.safetensors or model.safetensors.index.json")

    def test_shards(self) -> None:
        c = config("qwen3")
        weights = random_weights(c)
        write_checkpoint(self.folder, c, weights, shards=2)
        index = self.folder / "model.safetensors.index.json"
        good = json.loads(index.read_text())
        file = good["weight_map"][Q_PROJ]
        other = {
            name: value
            for name, value in weights.items()
            if good["weight_map"][name] == file and name != Q_PROJ
        }
        write_safetensors(self.folder / file, other)
        self.refused(file, f"'{Q_PROJ}' is not in this file, expected it there, as the index says")
        (self.folder / file).unlink()
        self.refused(file, "no such file")
        for bad in ("../model.safetensors", 3):
            index.write_text(json.dumps({"weight_map": good["weight_map"] | {Q_PROJ: bad}}))
            self.refused(str(index), "expected the name of a .safetensors file beside the index")
        index.write_text("{}")
        self.refused(str(index), "weight_map is absent")

    def test_no_config(self) -> None:
        self.refused("config.json: no such file")
        (self.folder / "config.json").write_text("{")
        self.refused("config.json: content is not JSON")

    def test_fields(self) -> None:
        self.with_config(
            "hidden_size is missing, expected an integer from 1 to 2147483647", absent="hidden_size"
        )
        self.with_config("num_hidden_layers is 0, expected", num_hidden_layers=0)
        self.with_config('vocab_size is "53", expected', vocab_size="53")
        self.with_config(
            "num_key_value_heads is 4, expected a divisor of num_attention_heads = 6",
            num_key_value_heads=4,
        )
        self.with_config("head_dim is 11, expected an even number", head_dim=11)
        self.with_config("head_dim is missing, expected", family="llama", absent="head_dim")
        self.with_config("rms_norm_eps is -1", rms_norm_eps=-1)
        self.with_config(
            'tie_word_embeddings is "no", expected true or false', tie_word_embeddings="no"
        )
        self.with_config('eos_token_id[1] is "a", expected an integer from 0', eos_token_id=[1, "a"])

    def test_families(self) -> None:
        self.with_config(
            'model_type is "gemma3", expected llama, mistral, qwen2', model_type="gemma3"
        )
        self.with_config('hidden_act is "gelu", expected silu', hidden_act="gelu")
        self.with_config(
            "quantization_config",
            "expected weights of f32, f16 or bf16",
            quantization_config={"a": 1},
        )
        self.with_config('torch_dtype is "float64", expected float32', torch_dtype="float64")

    def test_rope(self) -> None:
        self.with_config(
            'rope_scaling.rope_type is "longrope", '
            "expected default, linear, dynamic, llama3 or yarn",
            rope_scaling={"rope_type": "longrope"},
        )
        self.with_config(
            "rope_scaling.factor is missing, expected a number above 0",
            rope_scaling={"type": "linear"},
        )
        self.with_config(
            "rope_parameters.low_freq_factor is missing",
            rope_parameters={"rope_type": "llama3", "factor": 8.0},
        )
        self.with_config("rope_scaling is 3, expected an object", rope_scaling=3)
        self.with_config(
            "partial_rotary_factor is 0.5, expected 1 in this family", partial_rotary_factor=0.5
        )

    def test_layers(self) -> None:
        self.with_config(
            "layer_types",
            "expected a list of num_hidden_layers = 3",
            layer_types=["full_attention"],
        )
        self.with_config(
            "expected no sliding_attention, as there is no sliding_window in use",
            layer_types=["sliding_attention"] * 3,
            use_sliding_window=False,
        )
        self.with_config(
            "expected full_attention and sliding_attention", layer_types=["chunked_attention"] * 3
        )
        self.with_config("sliding_window is 0, expected", use_sliding_window=True, sliding_window=0)
        self.with_config(
            "num_experts_per_tok is 9, expected at most num_experts = 5",
            family="qwen3_moe",
            num_experts_per_tok=9,
        )
        self.with_config(
            "linear_num_value_heads is 3, expected a multiple of linear_num_key_heads = 2",
            family="qwen3_next",
            linear_num_value_heads=3,
        )

    def test_id_outside_the_vocabulary(self) -> None:
        c = config("qwen3")
        write_checkpoint(self.folder, c, random_weights(c))
        done = run_program(self.folder, [1, 53])
        self.assertEqual(done.returncode, 1)
        self.assertIn("53", done.stderr.decode())


if __name__ == "__main__":
    unittest.main()
