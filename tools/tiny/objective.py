"""The two losses, next token and block diffusion, of one forward pass.

A row holds its tokens twice, a noisy half then a clean half, at the same rotary positions. The sequence is cut into blocks of one size
from a random origin; what lies before the origin (a prompt) is block 0.

    noisy tokens  see their own block and the clean blocks before; in 40 % of the rows the 1 to 3 blocks before are seen noisy, as
                  decoders with several open blocks see them. Each block is masked at a rate of its own. Loss: the masked tokens.
    clean tokens  see the clean past: causally in half of the rows (loss: every next token), by blocks in the other half (loss: the
                  token after each block, whose row a shifted decoder carries over). So a prompt may be read either way.

With `shift` the row before a masked token predicts it (as Dream and Fast-dLLM v2 have it), else its own row (SDAR, LLaDA).
"""

import random
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.nn import functional as F

from tiny.model import Model
from tiny.tokens import MASK

BLOCKS = (4, 8, 16, 32)
LONGEST_PROMPT = 64
NO_LOSS = -100
Forward = Callable[..., torch.Tensor]


@dataclass
class Draws:
    """The two sources of chance, both part of a run's saved state."""

    rng: random.Random
    torch: torch.Generator

    @classmethod
    def seeded(cls, seed: int) -> "Draws":
        return cls(random.Random(seed), torch.Generator().manual_seed(seed))


@dataclass
class Row:
    """How one row is cut and masked."""

    block: int
    origin: int  # where block 1 begins; 0 = there is no prompt
    noisy_back: int  # blocks before the own one that are seen noisy
    rate: float | None  # of masking; None = each block its own
    causal: bool

    @classmethod
    def drawn(cls, rng: random.Random) -> "Row":
        block = rng.choice(BLOCKS)
        origin = 0 if rng.random() < 0.4 else rng.randrange(1, LONGEST_PROMPT)
        noisy_back = 0 if rng.random() < 0.6 else rng.randrange(1, 4)
        return cls(block, origin, noisy_back, None, rng.random() < 0.5)


@dataclass
class Batch:
    ids: torch.Tensor  # i32 [rows, 2 x length]
    seen: torch.Tensor  # bool [rows, 1, 2 x length, 2 x length]
    next_tokens: torch.Tensor  # i64 [rows, length], NO_LOSS where none
    masked_tokens: torch.Tensor  # the same


def block_ids(length: int, size: int, origin: int) -> torch.Tensor:
    i = torch.arange(length)
    return torch.where(i < origin, 0, 1 + (i - origin).div(size, rounding_mode="floor"))


def make_batch(ids: torch.Tensor, rows: list[Row], draws: Draws, shift: bool, one_open: bool = False) -> Batch:
    """ids [rows, length + 1]. one_open (evaluation): no loss on a block's first token, which a shifted decoder with one open block
    has from the row that it carries over."""
    length = ids.shape[1] - 1
    clean = ids[:, :length]
    noisy, next_tokens = clean.clone(), ids[:, 1:].long()
    masked_tokens = torch.full((len(rows), length), NO_LOSS)
    i = torch.arange(length)
    seen = torch.zeros(len(rows), 1, 2 * length, 2 * length, dtype=torch.bool)
    for r, row in enumerate(rows):
        block = block_ids(length, row.block, row.origin)
        last = torch.cat((block[1:] != block[:-1], torch.tensor([True])))
        rate = torch.full((length,), row.rate) if row.rate else torch.rand(int(block[-1]) + 1, generator=draws.torch)[block]
        hit = (torch.rand(length, generator=draws.torch) < rate) & (i >= max(1, row.origin))
        noisy[r, hit] = MASK
        if shift:
            target = hit[1:] & ~last[:-1] if one_open else hit[1:]
            masked_tokens[r, :-1][target] = clean[r, 1:][target].long()
        else:
            masked_tokens[r, hit] = clean[r, hit].long()
        if not row.causal:
            next_tokens[r, ~last] = NO_LOSS
        query, key = block[:, None], block[None, :]
        near = (key >= torch.clamp(query - row.noisy_back, min=1 if row.origin else 0)) & (key <= query)
        seen[r, 0, :length, :length] = near
        seen[r, 0, :length, length:] = (key <= query) & ~near
        seen[r, 0, length:, length:] = i[None, :] <= i[:, None] if row.causal else key <= query
    return Batch(torch.cat((noisy, clean), 1), seen, next_tokens, masked_tokens)


def cross_entropy(model: Model, hidden: torch.Tensor, targets: torch.Tensor) -> torch.Tensor:
    keep = targets != NO_LOSS
    return F.cross_entropy(model.head(hidden[keep]).float(), targets[keep])


def both_losses(model: Model, forward: Forward, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
    """Of the next token, of masked tokens: plain means, without a weight by the rate."""
    length = batch.next_tokens.shape[1]
    hidden = forward(batch.ids, torch.arange(length).repeat(2), batch.seen)
    return cross_entropy(model, hidden[:, length:], batch.next_tokens), cross_entropy(model, hidden[:, :length], batch.masked_tokens)


def causal_loss(model: Model, forward: Forward, ids: torch.Tensor) -> torch.Tensor:
    """Of the next token alone, without a noisy half: less than half of the cost a position."""
    return cross_entropy(model, forward(ids[:, :-1], torch.arange(ids.shape[1] - 1)), ids[:, 1:].long())


@torch.no_grad()
def held_out_losses(model: Model, stream: torch.Tensor, length: int, shift: bool, rows: int = 32) -> dict[str, float]:
    """nats/token on text that was not trained on: `ar`, and `block4` ... with half of the tokens masked and one block open."""
    draws = Draws.seeded(5)
    ids = stream[:rows * (length + 1)].view(rows, length + 1)
    losses = {}
    with torch.autocast("cpu", torch.bfloat16):
        for size in BLOCKS:
            plan = [Row(size, 0, 0, 0.5, True)] * rows
            ar, masked = both_losses(model, model, make_batch(ids, plan, draws, shift, one_open=True))
            losses["ar"], losses[f"block{size}"] = round(ar.item(), 4), round(masked.item(), 4)
    return losses
