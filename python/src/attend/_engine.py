"""attend.Engine: text and tokens from a checkpoint."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

from . import _attend


@dataclasses.dataclass(frozen=True)
class Completion:
    """What a prompt has come to. A stop id stays the last of token_ids."""

    id: int
    prompt_ids: list[int]
    token_ids: list[int]
    text: str  # "" without a tokenizer
    finish_reason: str  # "eos", "stop", "length", "aborted", "error"
    error: str
    logprobs: list[tuple[int, float, list[tuple[int, float]]]]  # id, logprob, the likeliest
    num_shared: int  # tokens found in the prefix cache when it was last admitted
    num_preemptions: int
    seconds_to_first_token: float
    seconds: float


@dataclasses.dataclass(frozen=True)
class Progress:
    """What one step added to a response."""

    id: int
    token_ids: list[int]
    text: str
    finish_reason: str | None


Prompt = str | Sequence[int]


class Engine:
    """Continuous batching over one checkpoint: config.json, safetensors and, for text, tokenizer.json.

        engine = attend.Engine("models/tiny")
        engine.generate("One day", max_tokens=40, temperature=0).text
        engine.generate([[1, 2, 3], [4, 5]], max_tokens=8)     # token ids in, token ids out; many at once
        for piece in engine.stream("One day"): print(piece.text, end="")

    Keywords (all optional): strategy, dtype ("float32", "bfloat16"), page_size, num_pages, kv_cache_bytes,
    prefix_caching, max_num_reqs, max_num_batched_tokens, max_model_len, batch_invariant, chunk, eos_token_ids.
    One thread at a time.
    """

    def __init__(self, model, **words):
        self._engine = _attend.Engine(str(model), words)

    def generate(self, prompts: Prompt | Sequence[Prompt], **params) -> Completion | list[Completion]:
        """Completions of prompts: texts or lists of token ids, one or several.

        Keywords: max_tokens, temperature (0 = greedy), top_k, top_p, min_p, repetition_penalty, seed, stop (strings),
        stop_token_ids, ignore_eos, logprobs.
        """
        one = isinstance(prompts, str) or (len(prompts) > 0 and not hasattr(prompts[0], "__len__"))
        ids = []
        try:
            for prompt in [prompts] if one else prompts:
                ids.append(self.add(prompt, **params))
            while self.step():
                pass
        except BaseException:
            for each in ids:
                self.abort(each)
                self.take(each)
            raise
        done = [self.take(each) for each in ids]
        return done[0] if one else done

    def stream(self, prompt: Prompt, **params) -> Iterator[Progress]:
        """What each step adds to one prompt's response. Closing the iterator aborts the request."""
        news: list[Progress] = []
        each = self.add(prompt, on_progress=news.append, **params)
        try:
            while True:
                while news:
                    piece = news.pop(0)
                    yield piece
                    if piece.finish_reason is not None:
                        return  # others may still run
                self.step()
        finally:
            self.abort(each)
            self.take(each)

    def add(self, prompt: Prompt, *, on_progress=None, **params) -> int:
        """Queues a prompt; its id. on_progress(Progress) is called from within step() and abort(), and from within add()
        of a prompt that can never fit; it may itself call add(), abort() and take().
        """
        listen = None if on_progress is None else lambda *news: on_progress(Progress(*news))
        return self._engine.add(prompt if isinstance(prompt, str) else [int(i) for i in prompt], params, listen)

    def step(self) -> bool:
        """One forward of the model; False when nothing is left to do."""
        return self._engine.step()

    def abort(self, id: int) -> bool:
        """Ends a request; its tokens so far stay. False if it has ended."""
        return self._engine.abort(id)

    def take(self, id: int) -> Completion:
        """Takes a finished request out of the engine."""
        return Completion(**self._engine.take(id))

    @property
    def stats(self) -> dict:
        return self._engine.stats()

    @property
    def config(self) -> dict:
        return self._engine.config()

    def encode(self, text: str) -> list[int]:
        return self._engine.encode(text)

    def decode(self, ids: Sequence[int]) -> str:
        return self._engine.decode(list(ids))


def strategies() -> list[str]:
    """Names of decoding strategies."""
    return _attend.strategies()
