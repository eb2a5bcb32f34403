"""Models of every family against a dense forward in float64, whole and in chunks."""

from __future__ import annotations

import pathlib
import tempfile
import unittest
from typing import Any

import numpy as np
from checkpoints import Config, config, logits, random_weights, write_checkpoint
from decoder_reference import Reference

IDS = [int(i) for i in np.random.default_rng(7).integers(0, 53, 23)]
LLAMA3 = {
    "factor": 4.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 3.0,
    "original_max_position_embeddings": 24,
}
YARN = {"factor": 4.0, "original_max_position_embeddings": 48}


class Families(unittest.TestCase):
    def setUp(self) -> None:
        self.scratch = tempfile.TemporaryDirectory()
        self.folder = pathlib.Path(self.scratch.name)

    def tearDown(self) -> None:
        self.scratch.cleanup()

    def check(
        self,
        c: Config,
        chunks: tuple[int, ...] = (0,),
        within: float = 2e-5,
        compute: str = "f32",
        **how: Any,
    ) -> None:
        kept = write_checkpoint(self.folder, c, random_weights(c), **how)
        want = Reference(c, kept).logits(IDS)
        for chunk in chunks:
            got = logits(self.folder, IDS, chunk, compute)
            self.assertEqual(got.shape, want.shape)
            error = np.abs(got - want).max() / np.abs(want).max()
            self.assertLessEqual(error, within, f"{chunk} rows a step")

    def test_llama(self) -> None:
        self.check(config("llama", attention_bias=True, mlp_bias=True), chunks=(0, 1, 5))

    def test_llama_of_derived_head_dim_tied(self) -> None:
        c = config("llama", hidden_size=60, tie_word_embeddings=True)
        kept = write_checkpoint(self.folder, c | {"head_dim": None}, random_weights(c))
        got = logits(self.folder, IDS)
        want = Reference(c, kept).logits(IDS)
        self.assertLessEqual(np.abs(got - want).max() / np.abs(want).max(), 2e-5)

    def test_mistral_slides_in_every_layer(self) -> None:
        self.check(config("mistral", sliding_window=5), chunks=(0, 4))

    def test_mistral_without_a_window(self) -> None:
        self.check(config("mistral", sliding_window=None))

    def test_qwen2_slides_above_a_layer(self) -> None:
        self.check(
            config("qwen2", use_sliding_window=True, sliding_window=4, max_window_layers=1),
            chunks=(0, 3),
        )

    def test_qwen2_ignores_a_window_that_is_not_used(self) -> None:
        self.check(
            config(
                "qwen2",
                use_sliding_window=False,
                sliding_window=4,
                max_window_layers=0,
                tie_word_embeddings=True,
            )
        )

    def test_qwen3_with_told_layer_types(self) -> None:
        types = ["sliding_attention", "full_attention", "sliding_attention"]
        self.check(
            config(
                "qwen3",
                use_sliding_window=True,
                sliding_window=3,
                layer_types=types,
                attention_bias=True,
            ),
            chunks=(0, 1),
        )

    def test_qwen3_of_bf16_in_shards(self) -> None:
        self.check(
            config("qwen3", tie_word_embeddings=True, dtype="bfloat16"), dtype="BF16", shards=3
        )

    def test_qwen3_of_f16_at_odd_addresses(self) -> None:
        self.check(config("qwen3", torch_dtype="float16"), dtype="F16", pad=1)

    def test_qwen3_computing_in_bf16(self) -> None:
        self.check(
            config("qwen3", dtype="bfloat16"),
            dtype="BF16",
            compute="bf16",
            within=0.08,
            chunks=(0, 6),
        )
        with self.assertRaises(AssertionError):  # so that it is bf16 that was measured
            self.check(config("qwen3", dtype="bfloat16"), dtype="BF16", compute="bf16")

    def test_qwen3_moe(self) -> None:
        self.check(config("qwen3_moe", mlp_only_layers=[0], norm_topk_prob=False), chunks=(0, 1))
        self.check(
            config(
                "qwen3_moe",
                norm_topk_prob=True,
                decoder_sparse_step=2,
                use_sliding_window=True,
                sliding_window=6,
            )
        )

    def test_qwen3_next(self) -> None:
        self.check(config("qwen3_next", num_hidden_layers=4, mlp_only_layers=[2]), chunks=(0, 1, 5))

    def test_qwen3_next_with_told_layer_types(self) -> None:
        types = ["full_attention", "linear_attention", "linear_attention"]
        self.check(
            config(
                "qwen3_next",
                layer_types=types,
                attention_bias=True,
                tie_word_embeddings=True,
                norm_topk_prob=False,
                linear_num_value_heads=2,
            ),
            dtype="BF16",
        )

    def test_experts_in_one_tensor(self) -> None:
        c = config("qwen3_next", num_hidden_layers=2)
        weights = random_weights(c)
        want = Reference(c, weights).logits(IDS)
        for i in range(2):
            at = f"model.layers.{i}.mlp.experts."
            take = {
                part: np.stack([weights.pop(f"{at}{e}.{part}_proj.weight") for e in range(5)])
                for part in ("gate", "up", "down")
            }
            weights[at + "gate_up_proj"] = np.concatenate([take["gate"], take["up"]], axis=1)
            weights[at + "down_proj"] = take["down"]
        write_checkpoint(self.folder, c, weights)
        got = logits(self.folder, IDS)
        self.assertLessEqual(np.abs(got - want).max() / np.abs(want).max(), 2e-5)

    def test_rope(self) -> None:
        kinds: list[dict[str, Any]] = [
            {"type": "default"},
            {"type": "linear", "factor": 2.5},
            {"type": "dynamic", "factor": 2.0},
            {"rope_type": "llama3", **LLAMA3},
            {"rope_type": "yarn", **YARN},
            {"rope_type": "yarn", "original_max_position_embeddings": 16},  # the factor is 64 / 16
            {"rope_type": "yarn", **YARN, "mscale": 0.7, "mscale_all_dim": 1.3},
            {"rope_type": "yarn", **YARN, "beta_fast": 4.0, "beta_slow": 0.5, "truncate": False},
            {"rope_type": "yarn", **YARN, "beta_fast": 2.0, "beta_slow": 0.3},
            {"rope_type": "yarn", **YARN, "attention_factor": 1.7},
        ]
        for words in kinds:
            with self.subTest(words=words, field="rope_scaling"):
                self.check(config("llama", num_hidden_layers=2, head_dim=16, rope_scaling=words))
            with self.subTest(words=words, field="rope_parameters"):
                inside = {("rope_type" if k == "type" else k): v for k, v in words.items()}
                c = config(
                    "qwen3",
                    num_hidden_layers=2,
                    head_dim=16,
                    rope_parameters=inside | {"rope_theta": 700.0},
                )
                del c["rope_theta"]
                self.check(c)

    def test_dynamic_rope_beyond_the_length_of_the_model(self) -> None:
        c = config(
            "llama", max_position_embeddings=9, rope_scaling={"rope_type": "dynamic", "factor": 3.0}
        )
        self.check(c, chunks=(0, 1, 4))


if __name__ == "__main__":
    unittest.main()
