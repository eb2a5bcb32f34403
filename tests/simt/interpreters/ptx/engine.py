"""The engine of PTX images: finds a kernel's image, batches the blocks of a launch, runs them."""

from __future__ import annotations

import os
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

import ptx.ops  # noqa: F401  registers the instructions
from memory import Memory, Scratch, SimtError
from ptx import source
from ptx.kinds import MODULE, RAW, TYPES
from ptx.machine import WARP, Machine
from ptx.program import Program, flatten, size_of
from ptx.scheduler import Scheduler
from ptx.source import Module, split_operands

# Blocks run side by side: numpy's cost a call then serves more threads. Beyond some thousand
# threads the arrays outgrow the caches and nothing is won.
_THREADS_AT_ONCE = int(os.environ.get("ATTEND_SIMT_THREADS", "4096"))
_SHARED_AT_ONCE = 64 << 20  # bytes
_MAX_STEPS = int(os.environ.get("ATTEND_SIMT_MAX_STEPS", str(30_000_000)))
_KEPT_MACHINES = 16


class Options(Protocol):
    track_shared: bool


@dataclass
class Image:
    """A parsed file with the module's own memory, which lives as long as the module."""

    module: Module
    data: Scratch
    symbols: dict[str, int]  # places within `data`


def load_image(text: str) -> Image:
    module = source.parse(text)
    symbols: dict[str, int] = {}
    end = 16  # no variable lies at the start of the window
    for found in module.variables.values():
        if found.space in ("global", "const"):
            end = -(-end // found.align) * found.align
            symbols[found.name] = end
            end += size_of(found)
    data = Scratch("module", end)
    data.data.fill(0)
    for found in module.variables.values():
        if found.initial:
            _initialise(data, symbols, found)
    return Image(module, data, symbols)


def _initialise(data: Scratch, symbols: dict[str, int], found: source.Variable) -> None:
    kind = TYPES[found.type]
    values = split_operands(re.sub(r"[{}]", " ", found.initial).strip())
    raw = RAW[kind.size]
    numbers = []
    for value in values:
        if re.fullmatch(r"0[fF][0-9a-fA-F]{8}|0[dD][0-9a-fA-F]{16}", value):
            numbers.append(int(value[2:], 16))
        elif re.fullmatch(r"-?(?:0[xX][0-9a-fA-F]+|\d+)U?", value):
            numbers.append(int(value.rstrip("U"), 0) & (1 << 8 * kind.size) - 1)
        elif match := re.fullmatch(r"(?:generic\()?([\w$.]+)\)?(?:\+(\d+))?", value):
            if match[1] not in symbols:
                raise SimtError(f"PTX: initialiser not understood: {value} of {found.name}")
            numbers.append(MODULE + symbols[match[1]] + int(match[2] or 0))
        else:
            raise SimtError(f"PTX: initialiser not understood: {value} of {found.name}")
    at = symbols[found.name]
    array = np.array(numbers, raw).view(np.uint8)
    data.data[at : at + array.size] = array


class PtxEngine:
    """Runs the kernels of one architecture's PTX images."""

    def __init__(self, architecture: str, images: Path, options: Options):
        self.architecture = architecture
        self.images = images
        self.options = options
        self._programs: dict[str, tuple[Image, Program]] = {}
        self._machines: OrderedDict[tuple[str, int, int, int], Scheduler] = OrderedDict()

    def add(self, text: str) -> None:
        """Makes the kernels of a PTX text known, without a file."""
        image = load_image(text)
        for name, function in image.module.functions.items():
            if function.entry and function.body is not None:
                self._programs[name] = image, flatten(image.module, name)

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        block: int,
        shared_bytes: int,
        params: bytes,
        memory: Memory,
    ) -> int:
        image, program = self._find(kernel)
        if not 1 <= block <= 1024 or (program.max_threads and block > program.max_threads):
            most = program.max_threads or 1024
            raise SimtError(f"{kernel}: block is {block} threads, expected 1 to {most}")
        total = grid[0] * grid[1] * grid[2]
        if total < 1:
            raise SimtError(f"{kernel}: grid is {grid}, expected at least one block")
        at_once = self._blocks_at_once(program, block, shared_bytes, total)
        scheduler = self._scheduler(kernel, image, program, block, at_once, shared_bytes)
        scheduler.machine.memory = memory
        steps = 0
        for first in range(0, total, at_once):
            scheduler.machine.start(first, grid, params)
            steps += scheduler.run()
        return steps

    def _find(self, kernel: str) -> tuple[Image, Program]:
        if kernel not in self._programs:
            stem = kernel.removeprefix("attend_")
            path = self.images / f"{stem}.{self.architecture}.ptx"
            if not path.is_file():
                raise SimtError(f"{kernel}: no image {path}")
            self.add(path.read_text())
            if kernel not in self._programs:
                raise SimtError(f"{kernel}: {path} has no such kernel")
        return self._programs[kernel]

    def _blocks_at_once(self, program: Program, block: int, shared_bytes: int, total: int) -> int:
        """A power of two where that covers the grid, so that other grids find decoded code."""
        padded = -(-block // WARP) * WARP
        by_threads = _THREADS_AT_ONCE // padded
        by_shared = _SHARED_AT_ONCE // max(program.static_shared + shared_bytes, 1)
        return max(1, min(1 << (total - 1).bit_length(), by_threads, by_shared))

    def _scheduler(
        self,
        kernel: str,
        image: Image,
        program: Program,
        block: int,
        at_once: int,
        shared_bytes: int,
    ) -> Scheduler:
        key = (kernel, block, at_once, shared_bytes)
        found = self._machines.get(key)
        if found is None:
            machine = Machine(
                program,
                image.data,
                image.symbols,
                block,
                at_once,
                shared_bytes,
                self.options.track_shared,
            )
            found = self._machines[key] = Scheduler(machine, _MAX_STEPS)
            while len(self._machines) > _KEPT_MACHINES:
                self._machines.popitem(last=False)
        self._machines.move_to_end(key)
        return found
