"""attend generate on a random checkpoint that is written here: what it prints, what it refuses."""

import json
import random
import struct
import unittest

from support import Case

HIDDEN, DIM, HEADS, KV_HEADS, INNER, VOCAB = 16, 8, 2, 1, 24, 258


def checkpoint(folder, tokenizer=True):
    rng = random.Random(7)
    layer = {
        "input_layernorm": (HIDDEN,), "post_attention_layernorm": (HIDDEN,),
        "self_attn.q_proj": (HEADS * DIM, HIDDEN), "self_attn.k_proj": (KV_HEADS * DIM, HIDDEN),
        "self_attn.v_proj": (KV_HEADS * DIM, HIDDEN), "self_attn.o_proj": (HIDDEN, HEADS * DIM),
        "self_attn.q_norm": (DIM,), "self_attn.k_norm": (DIM,),
        "mlp.gate_proj": (INNER, HIDDEN), "mlp.up_proj": (INNER, HIDDEN), "mlp.down_proj": (HIDDEN, INNER),
    }
    shapes = {"model.embed_tokens.weight": (VOCAB, HIDDEN), "model.norm.weight": (HIDDEN,)}
    shapes |= {f"model.layers.0.{name}.weight": shape for name, shape in layer.items()}
    header, data = {}, b""
    for name, shape in shapes.items():
        count = shape[0] * (shape[1] if len(shape) > 1 else 1)
        values = struct.pack(f"<{count}f", *(rng.gauss(0, 0.7) if len(shape) > 1 else 1.0 for _ in range(count)))
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [len(data), len(data) + len(values)]}
        data += values
    head = json.dumps(header).encode()
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(struct.pack("<Q", len(head)) + head + data)
    (folder / "config.json").write_text(json.dumps({
        "architectures": ["Qwen3ForCausalLM"], "model_type": "qwen3", "hidden_act": "silu", "attention_bias": False,
        "tie_word_embeddings": True, "torch_dtype": "float32", "eos_token_id": 256, "vocab_size": VOCAB, "hidden_size": HIDDEN,
        "num_hidden_layers": 1, "num_attention_heads": HEADS, "num_key_value_heads": KV_HEADS, "head_dim": DIM,
        "intermediate_size": INNER, "rms_norm_eps": 1e-6, "rope_theta": 10000.0, "max_position_embeddings": 128}))
    if tokenizer:
        plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
        rest = [b for b in range(256) if b not in plain]
        vocab = {chr(b): b for b in plain} | {chr(256 + i): b for i, b in enumerate(rest)}
        special = {"single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}
        level = {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True}
        (folder / "tokenizer.json").write_text(json.dumps({
            "version": "1.0", "added_tokens": [{"id": 256, "content": "<|end|>", **special}], "normalizer": None,
            "pre_tokenizer": level, "post_processor": None, "decoder": level,
            "model": {"type": "BPE", "vocab": vocab, "merges": []}}))
    return folder


class Generate(Case):
    def setUp(self):
        super().setUp()
        self.model = checkpoint(self.folder / "model")

    def json(self, *words, model=None):
        done = self.attend("generate", "--model", model or self.model, *words, "--json")
        return json.loads(done.stdout)

    def test_text_is_streamed_as_json_has_it(self):
        words = "--prompt", "Hello", "--max-tokens", 30
        one = self.json(*words)["completions"][0]
        self.assertEqual(one["prompt_ids"], list(b"Hello"))
        self.assertIn(one["finish_reason"], ("length", "eos"))
        done = self.attend("generate", "--model", self.model, *words, "--stats")
        self.assertEqual(done.stdout, one["text"] + "\n")
        self.assertIn("tokens per second", done.stderr)

    def test_many_prompts_say_what_each_says_alone(self):
        prompts = ["one", "another one", "another one that is longer"]
        file = self.file("prompts.txt", "\n\n".join(prompts).encode())
        together = self.json("--prompts-file", file, "--max-tokens", 12, "--max-num-batched-tokens", 64)
        alone = [self.json("--prompt", p, "--max-tokens", 12)["completions"][0] for p in prompts]
        self.assertEqual([c["token_ids"] for c in together["completions"]], [c["token_ids"] for c in alone])
        self.assertEqual([c["prompt"] for c in together["completions"]], prompts)
        self.assertEqual(together["stats"]["response_tokens"], sum(len(c["token_ids"]) for c in alone))

    def test_token_ids_need_no_tokenizer(self):
        bare = checkpoint(self.folder / "bare", tokenizer=False)
        ids = self.json("--prompt-ids", "72,101,108,108,111", "--max-tokens", 8, model=bare)["completions"][0]["token_ids"]
        self.assertEqual(ids, self.json("--prompt", "Hello", "--max-tokens", 8)["completions"][0]["token_ids"])
        done = self.attend("generate", "--model", bare, "--prompt-ids", "72,101,108,108,111", "--max-tokens", 8)
        self.assertEqual(done.stdout, ",".join(map(str, ids)) + "\n")
        self.refused("generate", "--model", bare, "--prompt", "Hello", text="no tokenizer.json")

    def test_stop_ids_stay_and_seeds_repeat(self):
        whole = self.json("--prompt", "Hello", "--max-tokens", 20, "--ignore-eos")["completions"][0]["token_ids"]
        stop = whole[5]
        cut = self.json("--prompt", "Hello", "--max-tokens", 20, "--ignore-eos", "--stop-ids", stop)["completions"][0]
        self.assertEqual(cut["token_ids"], whole[: whole.index(stop) + 1])
        self.assertEqual(cut["finish_reason"], "stop")
        draw = lambda seed: self.json("--prompt", "Hello", "--temperature", 1.2, "--seed", seed, "--max-tokens", 20)["completions"]
        self.assertEqual(draw(3), draw(3))
        self.assertNotEqual(draw(3), draw(4))

    def test_a_prompt_that_cannot_fit_fails_alone(self):
        done = self.attend("generate", "--model", self.model, "--prompt-ids", "1", "--prompt-ids", ",".join(["2"] * 200), "--max-tokens", 3,
                           "--json", status=1)
        short, long = json.loads(done.stdout)["completions"]
        self.assertEqual((len(short["token_ids"]), long["finish_reason"]), (3, "error"))
        self.assertIn("200 tokens, expected fewer than 128", long["error"])

    def test_wrong_words(self):
        model = "--model", self.model
        self.refused("generate", *model, text="there is no prompt")
        self.refused("generate", *model, "--prompt-ids", "1,two", text="expected token ids with commas")
        self.refused("generate", *model, "--prompt-ids", "999", text="prompt[0] is 999")
        self.refused("generate", *model, "--prompt", "x", "--strategy", "telepathy", text="expected one of auto_regressive")
        self.refused("generate", *model, "--prompt", "x", "--temperature", "-1", text="temperature is -1")
        self.refused("generate", *model, "--prompt", "x", "--device", "cuda", text="expected native")
        self.refused("generate", "--model", self.folder / "nowhere", "--prompt", "x", text="config.json")
        self.refused("generate", *model, "--prompts-file", self.folder / "nowhere", text="cannot be read")


if __name__ == "__main__":
    unittest.main()
