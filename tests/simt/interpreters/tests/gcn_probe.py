"""Small kernels, compiled by clang for a test and run in the interpreter of AMD code objects."""

from __future__ import annotations

import shutil
import struct
import subprocess
import sys
import tempfile
import unittest
from collections.abc import Callable
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from gcn.engine import GcnEngine
from memory import Memory

ARCHITECTURES = ("gfx90a", "gfx942")
CLANG = next(filter(shutil.which, ("clang++-19", "clang++-20", "clang++-21")), None)
FLAGS = (
    "-x hip -std=c++20 -O3 -nogpuinc -nogpulib --offload-device-only --no-gpu-bundle-output -w"
).split()
PRELUDE = """
using u8 = unsigned char; using u16 = unsigned short; using u32 = unsigned;
using u64 = unsigned long;
using i8 = signed char; using i16 = short; using i32 = int; using i64 = long; using f16 = _Float16;
#define KERNEL(threads) \\
  extern "C" __attribute__((global, amdgpu_flat_work_group_size(threads, threads))) void
#define DEVICE __attribute__((device))
#define TID ((int)__builtin_amdgcn_workitem_id_x())
extern "C" __attribute__((shared, device, aligned(16))) char shared_bytes[];
"""
ARENA_BASE = 0x7F12_3400_0000
GUARD = 256  # bytes between two arrays that belong to none

_folder = tempfile.TemporaryDirectory(prefix="gcn_probe_")


@cache
def compiled(source: str, architecture: str) -> Path:
    """The code object of a source, as an image named probe_<n>."""
    number = len(list(Path(_folder.name).iterdir()))
    image = Path(_folder.name) / f"probe_{number}.{architecture}.co"
    command = [str(CLANG), *FLAGS, f"--offload-arch={architecture}", "-c", "-", "-o", str(image)]
    done = subprocess.run(
        command, input=PRELUDE + source, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise AssertionError(done.stderr)
    return image


class Device:
    """Runs the kernels of one source. Arguments are arrays (passed by address and written back),
    numpy scalars, or raw bytes."""

    def __init__(self, source: str, architecture: str, track_shared: bool = False):
        self.image = compiled(source, architecture)
        self.engine = _OneImage(architecture, self.image, track_shared)
        self.steps = 0

    def run(
        self,
        kernel: str,
        *arguments: Any,
        grid: tuple[int, int, int] = (1, 1, 1),
        block: int = 64,
        shared: int = 0,
    ) -> None:
        size = sum(x.nbytes + 2 * GUARD for x in arguments if isinstance(x, np.ndarray)) + 2 * GUARD
        data = np.full(-(-size // 64) * 64, 0xA5, np.uint8)
        at, places, params = GUARD, [], b""
        for x in arguments:
            if isinstance(x, np.ndarray):
                data[at : at + x.nbytes] = x.reshape(-1).view(np.uint8)
                places.append((at, x))
                raw = struct.pack("<Q", ARENA_BASE + at)
                at += -(-x.nbytes // GUARD) * GUARD + GUARD
            else:
                raw = x if isinstance(x, bytes) else x.tobytes()
            align = 8 if isinstance(x, bytes) else len(raw)
            params += bytes(-len(params) % align) + raw
        memory = Memory(data, ARENA_BASE, [(ARENA_BASE + at, x.nbytes) for at, x in places])
        self.steps = self.engine.launch(kernel, grid, block, shared, params, memory)
        for at, x in places:
            x.reshape(-1).view(np.uint8)[...] = data[at : at + x.nbytes]


class _OneImage(GcnEngine):
    def __init__(self, architecture: str, image: Path, track_shared: bool):
        super().__init__(architecture, image.parent, track_shared)
        self._image = image

    def program(self, kernel: str) -> Any:
        return super().program(self._image.name.split(".")[0])


def each_architecture(test: Callable[..., None]) -> Callable[[unittest.TestCase], None]:
    """Runs a test method for both architectures."""

    def both(self: unittest.TestCase) -> None:
        if CLANG is None:
            self.skipTest("no clang that compiles for AMD GPUs")
        for architecture in ARCHITECTURES:
            with self.subTest(architecture=architecture):
                test(self, architecture)

    both.__name__, both.__doc__ = test.__name__, test.__doc__
    return both


# ---- one instruction, 64 lanes: written in assembly, so that the compiler cannot choose another


def assembly_kernel(name: str, template: str, words: int, sources: int, outs: int) -> str:
    """A kernel whose lanes read `sources` operands and write what the instruction leaves."""
    types = {1: "u32", 2: "u64"}
    value, out = types[words], types[outs]
    loads = "".join(f" {value} {x} = p{x}[TID];" for x in "abc"[:sources])
    inputs = ", ".join(f'"v"({x})' for x in "abc"[:sources])
    pointers = "".join(f", const {value}* p{x}" for x in "abc"[:sources])
    return (
        f"KERNEL(64) {name}({out}* out{pointers}) {{{loads} {out} d = out[TID];"
        f' asm volatile("{template}" : "+v"(d) : {inputs} : "vcc"); out[TID] = d; }}\n'
    )


# ---- exact rounding, by integers alone


def rounded(x: Fraction, digits: int, lowest: int, highest: int) -> float:
    """x to the nearest number of `digits` binary digits, ties to even. `lowest` is the exponent of
    the smallest subnormal number, `highest` that of the first power of two out of range."""
    if x == 0:
        return 0.0
    sign, size = (-1 if x < 0 else 1), abs(x)
    exponent = size.numerator.bit_length() - size.denominator.bit_length()
    if Fraction(2) ** exponent > size:
        exponent -= 1
    unit = Fraction(2) ** max(exponent - digits + 1, lowest)
    count = size / unit
    whole = count.numerator // count.denominator
    rest = count - whole
    if rest > Fraction(1, 2) or (rest == Fraction(1, 2) and whole % 2):
        whole += 1
    result = whole * unit
    return sign * (float("inf") if result >= Fraction(2) ** highest else float(result))


def to_f32(x: Fraction) -> float:
    return rounded(x, 24, -149, 128)


def to_f16(x: Fraction) -> float:
    return rounded(x, 11, -24, 16)


def to_f64(x: Fraction) -> float:
    return rounded(x, 53, -1074, 1024)
