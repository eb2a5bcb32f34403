"""Runs the PTX that nvcc wrote, on the CPU: an interpreter with all threads of a batch in numpy.

- `source.py`: text -> variables, functions, statements
- `program.py`: a kernel -> one flat list of instructions
- `machine.py`, `kinds.py`, `spaces.py`: registers, types and memories of the blocks that run
- `registry.py`, `steps.py`: which builder understands which instruction; `ops/` has the builders
- `numerics.py`: rounding
- `scheduler.py`: who runs next, who waits for whom
- `engine.py`: launches
- `check.py`: which instructions of an image nobody understands
"""

from __future__ import annotations

from pathlib import Path

from ptx.engine import Options, PtxEngine


def create(architecture: str, images: Path, options: Options) -> PtxEngine:
    """The engine that serve.py plugs in."""
    return PtxEngine(architecture, images, options)
