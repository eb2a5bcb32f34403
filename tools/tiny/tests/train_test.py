"""tools/train_tiny at toy size, under .train's Python: that it repeats, goes on, refuses, and that `attend generate` reads what it wrote.

ATTEND_CLI is the built command line. `attend` is compared with the forward pass of tools/tiny/model.py, which recomputes everything.
"""

import json
import os
import pathlib
import random
import subprocess
import sys
import tempfile
import unittest

import torch

TOOLS = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TOOLS))

from tiny import objective, tokens  # noqa: E402
from tiny.model import Model, config_of, load_folder, save_folder  # noqa: E402
from tiny.objective import Draws, Row  # noqa: E402
from tiny.sampling import Mode, generate  # noqa: E402

CLI = os.environ.get("ATTEND_CLI")
SHAPE = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16, "intermediate_size": 48}
TOY = ["--stories", "300", "--vocab", "320", "--steps", "8", "--causal-steps", "3", "--rows", "2", "--length", "128",
       "--eager", "--threads", "1", *(word for name, value in SHAPE.items() for word in ("--" + name.replace("_", "-"), str(value)))]
PROMPTS = ["Once, there was a kind boy named Tom.", "There once was a fox called Mia who lived by the sea.", "One day"]


def bits(folder: pathlib.Path) -> list[bytes]:
    return [(folder / name).read_bytes() for name in ("model.safetensors", "config.json", "tokenizer.json")]


class Train(unittest.TestCase):
    @classmethod
    def setUpClass(cls) -> None:
        cls.temporary = tempfile.TemporaryDirectory()
        cls.folder = pathlib.Path(cls.temporary.name)
        done = cls.train("whole")
        assert done.returncode == 0, done.stderr

    @classmethod
    def tearDownClass(cls) -> None:
        cls.temporary.cleanup()

    @classmethod
    def train(cls, out: str, *words: str) -> subprocess.CompletedProcess:
        run = [sys.executable, TOOLS / "train_tiny", *TOY, "--out", cls.folder / out, "--state", cls.folder / (out + ".pt"), *words]
        return subprocess.run(run, capture_output=True, text=True)

    def test_the_same_seed_gives_the_same_files(self) -> None:
        self.assertEqual(self.train("again").returncode, 0)
        self.assertEqual(bits(self.folder / "again"), bits(self.folder / "whole"))

    def test_an_interrupted_run_gives_the_same_files(self) -> None:
        for until in ("2", "5"):  # in the first part, in the second
            done = self.train("parts", "--until", until)
            self.assertIn(f"stopped at step {until} of 8", done.stdout, done.stderr)
            self.assertFalse((self.folder / "parts").exists())
        done = self.train("parts")
        self.assertIn("at step 5", done.stdout, done.stderr)
        self.assertEqual(bits(self.folder / "parts"), bits(self.folder / "whole"))

    def test_another_seed_gives_others(self) -> None:
        self.assertEqual(self.train("other", "--seed", "2").returncode, 0)
        self.assertNotEqual(bits(self.folder / "other")[0], bits(self.folder / "whole")[0])

    def test_a_state_of_other_settings_is_refused(self) -> None:
        done = self.train("whole", "--rows", "3")
        self.assertEqual(done.returncode, 1)
        self.assertIn("has rows 2, expected 3; give the same flags, or another --state", done.stderr)

    def test_settings_that_cannot_train_are_refused(self) -> None:
        self.assertIn("--length is 64, expected 128 or more", self.train("short", "--length", "64").stderr)
        self.assertIn("--causal-steps is 8, expected 0 to 7", self.train("causal", "--causal-steps", "8").stderr)

    def test_what_would_not_ship_is_refused(self) -> None:
        done = self.train("large", "--hidden-size", "1024", "--intermediate-size", "2048")
        self.assertEqual(done.returncode, 1)
        self.assertIn("expected 8388608 at most; make the shape smaller", done.stderr)

    def test_the_log_tells_how(self) -> None:
        log = json.loads((self.folder / "whole/train_log.json").read_text())
        self.assertEqual(log["settings"]["causal_steps"], 3)
        self.assertEqual(log["rows"][-1]["positions"], (3 * 4 + 5 * 2) * 128)
        self.assertEqual(set(log["rows"][-1]["held_out"]), {"ar", "block4", "block8", "block16", "block32"})

    @unittest.skipUnless(CLI, "ATTEND_CLI is not set: build attend_cli")
    def test_the_engine_generates_what_this_forward_does(self) -> None:
        """Weights of a usual size in the same folder: what eight steps leave says the same token at every position."""
        model, tokenizer, log = load_folder(self.folder / "whole")
        torch.manual_seed(1)
        for weight in model.parameters():
            if weight.dim() == 2:
                torch.nn.init.normal_(weight, std=1.5 / weight.shape[1] ** 0.5)
        model.embed_tokens.weight.data[tokens.MASK] = 0  # never the likeliest: generate() has no mask for an answer
        save_folder(model, tokenizer, log, self.folder / "random")
        model, tokenizer, _ = load_folder(self.folder / "random")
        words = [word for prompt in PROMPTS for word in ("--prompt", prompt)]
        done = subprocess.run([CLI, "generate", "--model", self.folder / "random", *words, "--max-tokens", "40", "--ignore-eos",
                               "--dtype", "f32", "--json"],
                              check=True, capture_output=True, text=True)
        completions = json.loads(done.stdout)["completions"]
        for prompt, completion in zip(PROMPTS, completions, strict=True):
            ids = tokenizer.encode(prompt).ids
            self.assertEqual(ids[0], tokens.END)
            expected = generate(model, ids, Mode(ends=False), 40, torch.Generator()).ids[len(ids):]
            self.assertGreater(len(set(expected)), 10, "too monotonous to tell anything")
            self.assertEqual(completion["token_ids"], expected, prompt)


class Objective(unittest.TestCase):
    LENGTH = 128

    def setUp(self) -> None:
        torch.manual_seed(0)
        self.model = Model(config_of({**SHAPE, "vocab_size": 40}, shift=True))
        self.ids = torch.randint(2, 40, (1, self.LENGTH + 1), dtype=torch.int32)

    def test_no_token_sees_its_answer(self) -> None:
        """Other clean tokens from a block on, and noisy ones after it, change nothing in that block's noisy rows."""
        rng, where = random.Random(1), torch.arange(self.LENGTH).repeat(2)
        for _ in range(12):
            row = Row.drawn(rng)
            batch = objective.make_batch(self.ids, [row], Draws.seeded(3), shift=True)
            blocks = objective.block_ids(self.LENGTH, row.block, row.origin)
            at = int(rng.choice(blocks[blocks > 0].unique().tolist()))
            changed = batch.ids.clone()
            changed[0, self.LENGTH:][blocks >= at] = 2
            changed[0, :self.LENGTH][blocks > at] = 3
            before, after = (self.model(ids, where, batch.seen)[0, :self.LENGTH][blocks == at] for ids in (batch.ids, changed))
            torch.testing.assert_close(before, after, rtol=0, atol=0, msg=str(row))

    def test_clean_rows_see_no_future(self) -> None:
        where = torch.arange(self.LENGTH).repeat(2)
        for causal in (True, False):
            batch = objective.make_batch(self.ids, [Row(8, 0, 0, 0.5, causal)], Draws.seeded(3), shift=True)
            changed = batch.ids.clone()
            changed[0, :self.LENGTH] = 3  # the noisy half is none of its business
            changed[0, self.LENGTH + 24:] = 2
            before, after = (self.model(ids, where, batch.seen)[0, self.LENGTH:][:24] for ids in (batch.ids, changed))
            torch.testing.assert_close(before, after, rtol=0, atol=0)
            self.assertEqual(int((batch.next_tokens != objective.NO_LOSS).sum()), self.LENGTH if causal else self.LENGTH // 8)

    def test_targets_are_the_masked_tokens(self) -> None:
        for shift in (True, False):
            batch = objective.make_batch(self.ids, [Row(8, 0, 0, 0.5, True)], Draws.seeded(3), shift)
            masked = [i for i in range(self.LENGTH) if batch.ids[0, i] == tokens.MASK]
            rows = [i - 1 if shift else i for i in masked]
            self.assertEqual((batch.masked_tokens[0] != objective.NO_LOSS).nonzero()[:, 0].tolist(), rows)
            self.assertEqual(batch.masked_tokens[0, rows].tolist(), self.ids[0, masked].tolist())


if __name__ == "__main__":
    unittest.main()
