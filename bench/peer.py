#!/usr/bin/env python3
"""Answers the protocol told at the top of worker/worker.cc with another library's attention.

    peer.py NAME     NAME: a file of peers/, whose package this Python must have

Of a peer's ways to do a case, each checked against float64, the one that was fastest when it was
prepared is timed; ways that refuse are named in the answer. The output is checked again after
every sample.
"""

from __future__ import annotations

import importlib
import json
import os
import sys
import time
from typing import Any

TRIES, TRY_SECONDS = 3, 0.05  # of a way, whichever takes longer, to find the fastest
ROUNDS, RIVAL = 4, 3.0  # of those that take at most so many times as long as the fastest, in turn


def words_of(e: Exception) -> str:
    text = " ".join(str(e).split())[:300]
    return text if type(e).__name__ in ("RuntimeError", "Unfit") else f"{type(e).__name__}: {text}"


class Peer:
    def __init__(self, name: str) -> None:
        self.name = name

    def prep(self, words: dict[str, Any]) -> dict[str, Any]:
        try:
            module = importlib.import_module(f"peers.{self.name}")
            from peers.case import Case, Unfit, Way
        except (ImportError, OSError) as e:
            raise RuntimeError(f"{e}; tools/setup compare --peer {self.name} installs it") from e
        self.case, self.turn = Case(words), 0
        ways: dict[str, tuple[Way, float]] = {}
        seconds, refused, unfit = {}, {}, set()
        for name, make in module.WAYS.items():
            try:
                self.way = make(self.case)
                self.call()
                ways[name] = self.way, self.case.check(self.way.read(self.result))
                seconds[name] = self.best_of_some()
            except Exception as e:
                refused[name] = words_of(e)
                unfit |= {name} if isinstance(e, Unfit) else set()
        if not seconds:  # what the library says tells more than what is not called
            telling = refused.keys() - unfit or refused
            said = "; ".join(f"{n}: {text}" for n, text in refused.items() if n in telling)
            return {"ok": False, "error": said}
        rivals = [name for name in seconds if seconds[name] <= RIVAL * min(seconds.values())]
        for name in rivals * (ROUNDS if len(rivals) > 1 else 0):
            self.way = ways[name][0]
            seconds[name] = min(seconds[name], self.best_of_some())
        name = min(seconds, key=seconds.__getitem__)
        self.way, error = ways[name]
        return {"ok": True, "max_err": error, "second_call_s": seconds[name], "way": name,
                "version": module.VERSION, "ways": seconds, "refused_ways": refused}

    def call(self) -> None:
        self.turn = (self.turn + 1) % self.case.copies
        self.result = self.way.call(self.turn)

    def time(self, words: dict[str, Any]) -> dict[str, Any]:
        self.call()
        wall, cpu = [], []
        begin = time.perf_counter(), time.process_time()
        for _ in range(words["calls"]):
            t, u = time.perf_counter(), time.process_time()
            self.call()
            wall.append(time.perf_counter() - t)
            cpu.append(time.process_time() - u)
        wall_all, cpu_all = time.perf_counter() - begin[0], time.process_time() - begin[1]
        self.case.check(self.way.read(self.result))
        return {"secs": wall, "cpu": cpu, "cpus": cpu_all / wall_all}

    def best_of_some(self) -> float:
        wall: list[float] = []
        while len(wall) < TRIES or sum(wall) < TRY_SECONDS:
            begin = time.perf_counter()
            self.call()
            wall.append(time.perf_counter() - begin)
        return min(wall)


def answer_all(peer: Any) -> None:
    """Each line of stdin by the method that its "cmd" names."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the answers
    for line in sys.stdin:
        words = json.loads(line)
        if words["cmd"] == "quit":
            return
        try:
            answer = getattr(peer, words["cmd"])(words)
        except Exception as e:
            answer = {"ok": False, "error": words_of(e)}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    answer_all(Peer(*sys.argv[1:]))
