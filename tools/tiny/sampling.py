"""Generation by dense recompute in float32: no cache, nothing clever, so that it can judge a checkpoint and check an engine."""

from dataclasses import dataclass

import torch

from tiny.model import Model
from tiny.objective import block_ids
from tiny.tokens import END, MASK


@dataclass
class Mode:
    """Token by token, or block by block: every token whose probability exceeds `threshold` is taken, at least the best one."""

    block: int = 0  # 0 = autoregressive
    temperature: float = 0.0
    threshold: float = 0.9
    ends: bool = True  # at the first END

    @classmethod
    def named(cls, name: str) -> "Mode":
        """ar, ar0.7 (temperature), block4 ..."""
        if name.startswith("block"):
            return cls(block=int(name[5:]))
        if not name.startswith("ar"):
            raise ValueError(f"--modes has '{name}', expected ar, ar0.7 (a temperature) or block4 (a size)")
        return cls(temperature=float(name[2:] or 0))


@dataclass
class Text:
    ids: list[int]  # prompt and response, END among them
    forwards: int


@torch.no_grad()
def logits(model: Model, ids: torch.Tensor, seen: torch.Tensor | None) -> torch.Tensor:
    """f32 [length, vocab]; the mask is never an answer."""
    out = model.head(model(ids[None], torch.arange(len(ids)), None if seen is None else seen[None, None]))[0]
    out[:, MASK] = -torch.inf
    return out


def picks(rows: torch.Tensor, temperature: float, chance: torch.Generator) -> tuple[torch.Tensor, torch.Tensor]:
    """A token a row, and its probability at temperature 1."""
    if temperature > 0:
        tokens = torch.multinomial(torch.softmax(rows / temperature, -1), 1, generator=chance)[:, 0]
    else:
        tokens = rows.argmax(-1)
    return tokens, torch.softmax(rows, -1).gather(-1, tokens[:, None])[:, 0]


def generate(model: Model, prompt: list[int], mode: Mode, most: int, chance: torch.Generator) -> Text:
    return by_token(model, prompt, mode, most, chance) if mode.block == 0 else by_block(model, prompt, mode, most, chance)


def by_token(model: Model, prompt: list[int], mode: Mode, most: int, chance: torch.Generator) -> Text:
    ids, forwards = list(prompt), 0
    while len(ids) < len(prompt) + most:
        token, _ = picks(logits(model, torch.tensor(ids), None)[-1:], mode.temperature, chance)
        forwards += 1
        ids.append(int(token))
        if mode.ends and ids[-1] == END:
            break
    return Text(ids, forwards)


def by_block(model: Model, prompt: list[int], mode: Mode, most: int, chance: torch.Generator) -> Text:
    """Blocks begin where the prompt ends; the prompt is one block of its own."""
    ids, forwards, shift = list(prompt), 0, model.config["diffusion_shift"]
    while len(ids) < len(prompt) + most:
        begin, open_block = len(ids), torch.full((mode.block,), MASK)
        while (open_block == MASK).any():
            everything = torch.cat((torch.tensor(ids), open_block))
            block = block_ids(len(everything), mode.block, len(prompt))
            out = logits(model, everything, block[None, :] <= block[:, None])
            forwards += 1
            rows = out[begin - 1:-1] if shift else out[begin:]
            tokens, sure = picks(rows, mode.temperature, chance)
            sure = torch.where(open_block == MASK, sure, -1.0)
            taken = sure > mode.threshold
            taken[sure.argmax()] = True
            open_block = torch.where(taken, tokens, open_block)
        for token in open_block.tolist():
            ids.append(token)
            if mode.ends and token == END:
                return Text(ids, forwards)
    return Text(ids, forwards)
