#!/usr/bin/env python3
"""Says which instructions of PTX images the interpreter does not know, without running anything.

python3 -m ptx.check ../../../build/gpu      (in the folder of serve.py)
"""

from __future__ import annotations

import sys
from pathlib import Path

import ptx.ops  # noqa: F401  registers the instructions
from memory import SimtError
from ptx.engine import load_image
from ptx.machine import Machine
from ptx.program import flatten
from ptx.scheduler import Scheduler


def unknown_instructions(text: str) -> list[str]:
    """One line for each instruction of any kernel in the text that cannot be decoded."""
    image = load_image(text)
    found = []
    for name, function in image.module.functions.items():
        if not function.entry or function.body is None:
            continue
        program = flatten(image.module, name)
        machine = Machine(program, image.data, image.symbols, program.max_threads or 128, 1, 0)
        scheduler = Scheduler(machine, 0)
        for pc, instruction in enumerate(program.code):
            try:
                scheduler.decode(pc)
            except (SimtError, IndexError, ValueError, KeyError) as error:
                said = "" if str(error).endswith(instruction.text) else f" ({error})"
                found.append(f"{name}, PTX line {instruction.line}: {instruction.text}{said}")
    return found


def main(words: list[str]) -> int:
    paths = [path for word in words for path in _images(Path(word))]
    if not paths:
        print("ptx.check: no PTX image found, expected files or folders that hold some")
        return 1
    failed = 0
    for path in paths:
        for line in unknown_instructions(path.read_text()):
            print(f"{path.name}: {line}")
            failed = 1
    return failed


def _images(path: Path) -> list[Path]:
    return sorted(path.glob("*.ptx")) if path.is_dir() else [path]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
