"""Puts a tool into the environment that `tools/setup train` makes, where the Python that runs it lacks PyTorch."""

import importlib.util
import os
import pathlib
import sys

ROOT = pathlib.Path(__file__).resolve().parents[2]


def enter() -> None:
    """Runs the same command again under .train's Python, unless this one has what is needed. In a virtual environment it is that one."""
    if all(importlib.util.find_spec(name) for name in ("torch", "tokenizers", "safetensors")):
        return
    python = ROOT / ".train" / "bin" / "python"
    name = pathlib.Path(sys.argv[0]).name
    if not python.exists() or pathlib.Path(sys.prefix).resolve() == python.parents[1].resolve():
        sys.exit(f"{name}: PyTorch, tokenizers or safetensors is missing; run tools/setup train")
    os.execv(python, [str(python), *sys.argv])
