"""A training run: settings, what it has learnt so far, and its state in a file, from which it goes on bit for bit."""

import dataclasses
import hashlib
import os
import pathlib
import time
from typing import Any

import torch
from torch import nn

from tiny import objective, stories, tokens
from tiny.model import Model, config_of
from tiny.objective import Draws, Row

WARM_UP, FALL = 50, 0.4  # steps; share of the run


@dataclasses.dataclass(frozen=True)
class Settings:
    """All that decides the result. The number of threads does: it sets the order of sums."""

    stories: int
    seed: int
    vocab: int
    steps: int
    causal_steps: int
    rows: int
    length: int
    lr: float
    adam_lr: float
    shift: bool
    compile: bool
    threads: int
    shape: dict[str, int]

    def __post_init__(self) -> None:
        if self.length < 2 * objective.LONGEST_PROMPT:
            raise ValueError(f"--length is {self.length}, expected {2 * objective.LONGEST_PROMPT} or more: a prompt and what follows it")
        if not 0 <= self.causal_steps < self.steps:
            raise ValueError(f"--causal-steps is {self.causal_steps}, expected 0 to {self.steps - 1}, fewer than --steps")


def corpus(s: Settings) -> list[str]:
    return list(stories.stories(s.stories, s.seed))


def held_out(s: Settings) -> list[str]:
    """Stories of another seed than the corpus."""
    return list(stories.stories(400, s.seed + 1_000_000))


class Run:
    def __init__(self, s: Settings) -> None:
        torch.set_num_threads(s.threads)
        torch.manual_seed(s.seed)
        self.settings, self.draws = s, Draws.seeded(s.seed)
        texts = corpus(s)
        self.tokenizer = tokens.train_tokenizer(texts[:8000], s.vocab)
        self.data, held = tokens.pack(self.tokenizer, texts), held_out(s)
        self.held = tokens.pack(self.tokenizer, held)
        self.bytes_per_token = sum(len(text) + 1 for text in held) / len(self.held)
        self.model = Model(config_of({**s.shape, "vocab_size": self.tokenizer.get_vocab_size()}, s.shift))
        self.forward = torch.compile(self.model, dynamic=False) if s.compile else self.model
        named = list(self.model.named_parameters())
        matrices = [p for name, p in named if p.dim() == 2 and "embed" not in name]
        rest = [p for name, p in named if p.dim() != 2 or "embed" in name]
        self.optimizers = [torch.optim.Muon(matrices, lr=s.lr, weight_decay=0.01, momentum=0.95),
                           torch.optim.AdamW(rest, lr=s.adam_lr, betas=(0.9, 0.95), weight_decay=0.0)]
        self.step, self.positions, self.seconds = 0, 0, 0.0
        self.averages: dict[str, float] = {}
        self.rows: list[dict[str, Any]] = []

    @property
    def parameters(self) -> int:
        return sum(p.numel() for p in self.model.parameters())

    def learning_scale(self) -> float:
        """Rises, holds, falls straight over the last part."""
        done = self.step / self.settings.steps
        return min(1.0, (self.step + 1) / WARM_UP) * min(1.0, (1 - done) / FALL + 0.02)

    def train_step(self) -> None:
        s, begin = self.settings, time.monotonic()
        for optimizer, lr in zip(self.optimizers, (s.lr, s.adam_lr), strict=True):
            optimizer.param_groups[0]["lr"] = lr * self.learning_scale()
        is_causal = self.step < s.causal_steps
        rows = 2 * s.rows if is_causal else s.rows  # as many positions computed: the others stand twice in a row
        at = torch.randint(0, len(self.data) - s.length - 1, (rows,), generator=self.draws.torch)
        ids = torch.stack([self.data[i:i + s.length + 1] for i in at])
        losses = {}
        with torch.autocast("cpu", torch.bfloat16):
            if is_causal:
                losses["ar"] = objective.causal_loss(self.model, self.forward, ids)
            else:
                plan = [Row.drawn(self.draws.rng) for _ in range(rows)]
                batch = objective.make_batch(ids, plan, self.draws, s.shift)
                losses["ar"], losses["masked"] = objective.both_losses(self.model, self.forward, batch)
            sum(losses.values()).backward()
        nn.utils.clip_grad_norm_(self.model.parameters(), 1.0)
        for optimizer in self.optimizers:
            optimizer.step()
            optimizer.zero_grad(set_to_none=True)
        for name, value in losses.items():
            self.averages[name] = 0.95 * self.averages.get(name, value.item()) + 0.05 * value.item()
        self.step, self.positions = self.step + 1, self.positions + rows * s.length
        self.seconds += time.monotonic() - begin

    def note(self, with_held_out: bool) -> dict[str, Any]:
        """One row of the log: seconds are those of training alone."""
        row: dict[str, Any] = {"step": self.step, "seconds": round(self.seconds), "positions": self.positions}
        row |= {"train_" + name: round(value, 4) for name, value in self.averages.items()}
        if with_held_out:
            row["held_out"] = objective.held_out_losses(self.model, self.held, self.settings.length, self.settings.shift)
        self.rows.append(row)
        return row

    def finish(self) -> dict[str, Any]:
        """Rounds the weights as the file will have them, and gives the log."""
        self.model.load_state_dict({name: value.to(torch.bfloat16).float() for name, value in self.model.state_dict().items()})
        self.note(with_held_out=True)
        return {"settings": dataclasses.asdict(self.settings), "parameters": self.parameters, "train_tokens": len(self.data),
                "bytes_per_token": round(self.bytes_per_token, 3), "torch": torch.__version__, "rows": self.rows}

    def _data_digest(self) -> str:
        return hashlib.sha256(self.data.numpy().tobytes()).hexdigest()

    def save(self, path: pathlib.Path) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        beside = path.with_suffix(".new")
        torch.save({
            "settings": dataclasses.asdict(self.settings), "data": self._data_digest(), "model": self.model.state_dict(),
            "optimizers": [optimizer.state_dict() for optimizer in self.optimizers], "rng": self.draws.rng.getstate(),
            "torch_rng": self.draws.torch.get_state(), "step": self.step, "positions": self.positions, "seconds": self.seconds,
            "averages": self.averages, "rows": self.rows}, beside)
        os.replace(beside, path)  # a run that dies while writing leaves the state before

    def load(self, path: pathlib.Path) -> None:
        state = torch.load(path, weights_only=True)
        was, now = state["settings"], dataclasses.asdict(self.settings)
        for name, value in now.items():
            if was.get(name) != value:
                raise ValueError(f"--state {path} has {name} {was.get(name)}, expected {value}; give the same flags, or another --state")
        if state["data"] != self._data_digest():
            raise ValueError(f"--state {path} was trained on another text; the grammar or the tokenizers package has changed since")
        self.model.load_state_dict(state["model"])
        for optimizer, saved in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(saved)
        self.draws.rng.setstate(state["rng"])
        self.draws.torch.set_state(state["torch_rng"])
        self.step, self.positions, self.seconds = state["step"], state["positions"], state["seconds"]
        self.averages, self.rows = state["averages"], state["rows"]
