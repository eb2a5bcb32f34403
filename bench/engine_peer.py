#!/usr/bin/env python3
"""Answers the protocol told at the top of engine_bench.cc with another library's models.

    engine_peer.py NAME     NAME: a file of engine_peers/, whose package this Python must have

Such a file has VERSION and a class Model(folder, dtype, threads, batch, longest): prefill(prompts)
forgets what was and returns the likeliest next token of each prompt, step(tokens) stores these and
returns the next ones, both in whatever form the library has them; ids(tokens) is a list of them.
"""

from __future__ import annotations

import importlib
import sys
import time
from typing import Any

from peer import answer_all


class EnginePeer:
    def __init__(self, name: str) -> None:
        self.name = name
        self.model: Any = None

    def prep(self, words: dict[str, Any]) -> dict[str, Any]:
        try:
            module = importlib.import_module(f"engine_peers.{self.name}")
        except (ImportError, OSError) as e:
            raise RuntimeError(f"{e}; tools/setup compare --peer {self.name} installs it") from e
        self.prompts, self.tokens = words["prompts"], words["tokens"]
        longest = len(self.prompts[0]) + self.tokens
        self.model = module.Model(words["model"], words["dtype"], words["threads"],
                                  len(self.prompts), longest)
        return {"ok": True, "version": module.VERSION, "responses": self.time(words)["responses"]}

    def time(self, _: dict[str, Any]) -> dict[str, Any]:
        cpu, begin = time.process_time(), time.perf_counter()
        said = [self.model.prefill(self.prompts)]
        first = time.perf_counter()
        while len(said) < self.tokens:
            said.append(self.model.step(said[-1]))
        end, cpu = time.perf_counter(), time.process_time() - cpu
        responses = [list(of_request) for of_request in zip(*map(self.model.ids, said))]
        return {"first_token": first - begin, "cpus": cpu / (end - begin), "responses": responses,
                "prefill": {"seconds": first - begin, "steps": 1},
                "decode": {"seconds": end - first, "steps": self.tokens - 1}}


if __name__ == "__main__":
    answer_all(EnginePeer(*sys.argv[1:]))
