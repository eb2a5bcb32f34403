"""Runs launches: every block in order, the waves of a block in turns from barrier to barrier."""

from __future__ import annotations

from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from memory import AccessFault, Memory, Scratch, SimtError

from .image import IMAGE_BASE, Kernel
from .operands import UnknownInstruction
from .program import Program
from .spaces import KERNARG_BASE, Spaces
from .wave import LANES, MASK32, POISON, Stop, Wave

TURN = 1 << 18  # instructions that a wave runs before the others get a chance
LIMIT = 1 << 26  # instructions of a wave after which it counts as endless

# user registers in order: bit of the kernel's properties, name, how many
_USER = (
    (0, "private descriptor", 4),
    (1, "dispatch packet", 2),
    (2, "queue", 2),
    (3, "arguments", 2),
    (4, "dispatch id", 2),
    (5, "flat scratch", 2),
    (6, "private size", 1),
)
_PRIVATE_DESCRIPTOR = (0, 1 << 31, MASK32, 0)  # the bit says swizzled; memory_access.py uses it


def create(architecture: str, images: Path, options: Any) -> GcnEngine:
    return GcnEngine(architecture, images, options.track_shared)


class GcnEngine:
    """Runs kernels of one architecture; keeps what it has parsed and the waves it has made."""

    def __init__(self, architecture: str, images: Path, track_shared: bool = False):
        self.architecture = architecture
        self.images = images
        self.track_shared = track_shared
        self._programs: dict[Path, Program] = {}
        self._waves: list[Wave] = []

    def program(self, kernel: str) -> Program:
        path = self.images / f"{kernel.removeprefix('attend_')}.{self.architecture}.co"
        if path not in self._programs:
            if not path.exists():
                raise SimtError(f"{kernel}: image {path} is missing")
            self._programs[path] = Program(path)
        return self._programs[path]

    def launch(
        self,
        kernel: str,
        grid: tuple[int, int, int],
        block: int,
        shared_bytes: int,
        params: bytes,
        memory: Memory,
    ) -> int:
        """Runs every block and returns how many instructions were executed."""
        program = self.program(kernel)
        descriptor = program.image.kernel(kernel)
        image = Memory(program.image.data, IMAGE_BASE, [(IMAGE_BASE, program.image.data.size)])
        image.name = "image"
        spaces = Spaces(memory, image, _arguments(descriptor, params))
        count = -(-block // LANES)
        while len(self._waves) < count:
            self._waves.append(Wave())
        waves = self._waves[:count]
        shared = Scratch("shared", descriptor.shared_bytes + shared_bytes, 1, self.track_shared)
        privates = [Scratch("private", descriptor.private_bytes, LANES) for _ in waves]
        entry = program.index(descriptor.entry)
        steps = 0
        with np.errstate(all="ignore"):
            for z, y, x in product(*(range(n) for n in reversed(grid))):
                shared.poison()
                scalars = _scalars(descriptor, self.architecture, (x, y, z))
                for number, (wave, private) in enumerate(zip(waves, privates, strict=True)):
                    private.poison()
                    threads = min(LANES, block - LANES * number)
                    wave.start(
                        program, entry, number, threads, spaces, shared, private, scalars,
                        descriptor.float_mode,
                    )  # fmt: skip
                _run_block(waves, f"{kernel}: block {(x, y, z)}")
                steps += sum(wave.steps for wave in waves)
        return steps


def _arguments(kernel: Kernel, params: bytes) -> Memory:
    """The argument segment. What the launch does not pass (hidden arguments) is poison."""
    size = -(-max(kernel.kernarg_bytes, len(params), 16) // 16) * 16
    data = np.full(size, 0xFF, np.uint8)
    data[: len(params)] = np.frombuffer(params, np.uint8)
    data.flags.writeable = False
    arguments = Memory(data, KERNARG_BASE, [(KERNARG_BASE, size)])
    arguments.name = "argument"
    return arguments


def _scalars(kernel: Kernel, architecture: str, block: tuple[int, int, int]) -> dict[int, int]:
    """The scalar registers that arrive filled."""
    if kernel.preloaded:
        raise SimtError(f"{kernel.name}: preloaded arguments are not supported")
    words: list[int] = []
    for bit, name, count in _USER:
        if not kernel.properties >> bit & 1:
            continue
        if name == "arguments":
            words += [KERNARG_BASE & MASK32, KERNARG_BASE >> 32]
        elif name == "private descriptor":
            words += _PRIVATE_DESCRIPTOR
        elif name == "private size":
            words += [kernel.private_bytes]
        elif name == "flat scratch":
            words += [0, 0]
        else:
            words += [POISON] * count
    words += [POISON] * (kernel.user_registers - len(words))
    words += [n for axis, n in enumerate(block) if kernel.system >> 1 + axis & 1]
    if kernel.system >> 4 & 1:
        words.append(POISON)
    if kernel.system & 1 and architecture == "gfx90a":
        words.append(0)  # where the wave's private memory starts
    return dict(enumerate(words))


def _run_block(waves: list[Wave], place: str) -> None:
    """Runs the waves until all have ended. A barrier opens when every wave has reached it."""
    running = list(waves)
    while running:
        waiting: list[Wave] = []
        ended: list[Wave] = []
        turns = list(running)
        while turns:
            wave = turns.pop(0)
            stop = _run_wave(wave, place)
            if stop is Stop.BARRIER:
                waiting.append(wave)
            elif stop is Stop.END:
                ended.append(wave)
            else:
                turns.append(wave)
                if wave.steps > LIMIT:
                    where = _text(wave, wave.pc)
                    raise SimtError(f"{place} wave {wave.number}: does not end, now at {where}")
        if waiting and len(waiting) < len(waves):
            raise SimtError(f"{place}: {_deadlock(waves, waiting)}")
        running = waiting


def _run_wave(wave: Wave, place: str) -> Stop:
    try:
        return wave.run(TURN)
    except AccessFault as fault:
        lane = int(np.flatnonzero(wave.active)[fault.position])
        where = f"wave {wave.number} lane {lane}"
        raise SimtError(f"{place} {where}: {fault.reason}: {_text(wave, wave.pc - 1)}") from fault
    except UnknownInstruction as error:  # its words name the instruction
        raise SimtError(f"{place} wave {wave.number}: {error}") from error
    except SimtError as error:
        where = f"{place} wave {wave.number}"
        raise SimtError(f"{where}: {error}: {_text(wave, wave.pc - 1)}") from error


def _text(wave: Wave, index: int) -> str:
    line = wave.program.lines[index]
    return f"{line.text} (at {line.address:#x})"


def _deadlock(waves: list[Wave], waiting: list[Wave]) -> str:
    stuck = ", ".join(str(wave.number) for wave in waiting)
    gone = ", ".join(str(wave.number) for wave in waves if wave not in waiting)
    return (
        f"deadlock: wave {stuck} waits at a barrier (at "
        f"{waiting[0].program.lines[waiting[0].pc - 1].address:#x}), wave {gone} has ended"
    )
