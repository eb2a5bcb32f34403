#!/usr/bin/env python3
"""Executes kernel launches for a stand-in driver, one JSON object a line on stdin and stdout.

    python3 serve.py --engine sm_80 --images build/gpu

    request  {"arena": "/dev/shm/...", "base": A, "bytes": N, "allocations": [[address, size], ...],
              "kernel": "attend_merge", "grid": [x, y, z], "block": 128, "shared": 4096,
              "params": "<hex of the kernel's parameter bytes>"}
    answer   {"ok": true, "steps": 12345, "seconds": 0.1}
          or {"ok": false, "error": "attend_merge, block (0, 0, 0), thread 3, ...: outside ..."}

How an engine plugs in: a package beside this file with a function `create(architecture, images,
options) -> Engine`, and a line in ENGINES. An engine is made once and keeps what it has parsed. It
finds the image of a kernel in `images` by `<stem>.<architecture>.ptx` or `.co`, where the kernel is
`attend_<stem>`, and raises `SimtError` (memory.py), in words, for whatever stops a launch.
"""

from __future__ import annotations

import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # matrices here are 16 x 16

import argparse
import importlib
import json
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TextIO

from memory import ArenaMaps, Memory, SimtError

ENGINES = {  # architecture -> package
    "sm_80": "ptx",
    "sm_90a": "ptx",
    "sm_100a": "ptx",
    "gfx90a": "gcn",
    "gfx942": "gcn",
}


@dataclass(frozen=True)
class Options:
    """What a tester may ask of any engine."""

    track_shared: bool = False  # a read of shared memory that was never written is an error


class Engine(Protocol):
    """Runs kernels of one architecture."""

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        block: int,
        shared_bytes: int,
        params: bytes,
        memory: Memory,
    ) -> int:
        """Runs every block of a launch and returns how many instructions were interpreted."""
        ...


def create_engine(architecture: str, images: Path, options: Options) -> Engine:
    if architecture not in ENGINES:
        known = ", ".join(ENGINES)
        raise SimtError(f"serve: engine is {architecture}, expected one of {known}")
    return importlib.import_module(ENGINES[architecture]).create(architecture, images, options)


def answer(engine: Engine, arenas: ArenaMaps, request: dict[str, Any]) -> dict[str, Any]:
    """Carries out one request; a launch that fails is an answer, not an exception."""
    start = time.perf_counter()
    try:
        memory = arenas.memory(
            request["arena"], request["base"], request["bytes"], request["allocations"]
        )
        x, y, z = request["grid"]
        steps = engine.launch(
            request["kernel"],
            (x, y, z),
            request["block"],
            request["shared"],
            bytes.fromhex(request["params"]),
            memory,
        )
    except SimtError as error:
        return {"ok": False, "error": str(error)}
    except Exception as error:  # a fault of the interpreter: the driver must hear of it
        return {"ok": False, "error": f"interpreter: {type(error).__name__}: {error}"}
    return {"ok": True, "steps": steps, "seconds": round(time.perf_counter() - start, 6)}


def serve(engine: Engine, requests: TextIO, answers: TextIO) -> None:
    arenas = ArenaMaps()
    for line in requests:
        if line.strip():
            print(json.dumps(answer(engine, arenas, json.loads(line))), file=answers, flush=True)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--engine", required=True, help=", ".join(ENGINES))
    parser.add_argument("--images", required=True, type=Path, help="folder of compiled kernels")
    parser.add_argument(
        "--track-shared",
        action="store_true",
        default=os.environ.get("ATTEND_SIMT_TRACK_SHARED", "0") == "1",
        help="reading shared memory that was never written is an error",
    )
    args = parser.parse_args()
    try:
        engine = create_engine(args.engine, args.images, Options(args.track_shared))
    except SimtError as error:
        print(error, file=sys.stderr)
        return 1
    serve(engine, sys.stdin, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(main())
