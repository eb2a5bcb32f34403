"""Runs a few lines of PTX over arrays, for tests: an entry a thread in, an entry a thread out.

With ATTEND_SIMT_PTXAS=1 every probe is also assembled by ptxas, which says whether it is PTX at all.
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np

import ptx
from memory import Memory, SimtError  # noqa: F401  tests take it from here
from serve import Options

BASE = 0x10000000  # where the arena of a probe begins
_TYPES = {"u1": "b16", "u2": "b16", "u4": "b32", "u8": "b64", "f4": "f32", "f8": "f64", "b1": "b32"}
_TYPES |= {"i2": "b16", "i4": "b32", "i8": "b64", "f2": "b16"}


class Arena:
    """Global memory with gaps between the buffers, and what was put into it."""

    def __init__(self, size: int = 1 << 22):
        self.data = np.full(size, 0xFF, np.uint8)
        self.allocations: list[tuple[int, int]] = []
        self.top = 4096

    def put(self, array: Any) -> int:
        array = np.ascontiguousarray(array)
        raw = array.view(np.uint8).reshape(-1)
        at = self.top
        self.data[at : at + raw.size] = raw
        self.allocations.append((BASE + at, raw.size))
        self.top = (at + raw.size + 1023) & ~255
        return BASE + at

    def get(self, address: int, dtype: Any, count: int) -> np.ndarray:
        at = address - BASE
        return self.data[at : at + count * np.dtype(dtype).itemsize].view(dtype).copy()

    def memory(self) -> Memory:
        return Memory(self.data, BASE, self.allocations)


def engine(text: str, target: str = "sm_80", legal: bool = True, **options: Any) -> Any:
    """An engine that knows the kernels of a PTX text."""
    if legal and os.environ.get("ATTEND_SIMT_PTXAS") == "1":
        assemble(text, target)
    made = ptx.create(target, Path("."), Options(**options))
    made.add(text)
    return made


def assemble(text: str, target: str) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "probe.ptx"
        source.write_text(text)
        ptxas = shutil.which("ptxas") or "/usr/local/cuda/bin/ptxas"
        command = [ptxas, f"-arch={target}", str(source), "-o", str(source.with_suffix(".cubin"))]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            raise AssertionError(f"ptxas refuses the probe:\n{done.stderr}\n{text}")


def kernel_text(
    body: str,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    declarations: str = "",
    target: str = "sm_80",
    module: str = "",
) -> str:
    """A kernel `probe` that loads %<input>, runs the body, and stores %<output>, a thread an entry."""
    names = [*inputs, *outputs]
    kinds = {name: np.dtype(array.dtype) for name, array in inputs.items()}
    kinds |= {name: np.dtype(dtype) for name, dtype in outputs.items()}
    params = ",\n".join(f".param .u64 p_{name}" for name in names)
    lines = []
    for name in names:
        kind = kinds[name]
        code = f"{kind.kind}{kind.itemsize}"
        register = "pred" if kind == np.bool_ else _TYPES[code]
        lines.append(f".reg .{register} %{name};")
        lines.append(f"ld.param.u64 %at_{name}, [p_{name}];")
        lines.append(f"mad.wide.u32 %at_{name}, %thread, {max(kind.itemsize, 1)}, %at_{name};")
        if name in inputs:
            access = f"u{8 * kind.itemsize}" if code in ("u1", "b1") else register
            if kind == np.bool_:
                lines.append(f"ld.global.u8 %byte, [%at_{name}]; setp.ne.u16 %{name}, %byte, 0;")
            else:
                lines.append(f"ld.global.{access} %{name}, [%at_{name}];")
    ends = []
    for name in outputs:
        kind = kinds[name]
        if kind == np.bool_:
            ends.append(f"selp.u16 %byte, 1, 0, %{name}; st.global.u8 [%at_{name}], %byte;")
        else:
            access = "u8" if kind.itemsize == 1 else _TYPES[f"{kind.kind}{kind.itemsize}"]
            ends.append(f"st.global.{access} [%at_{name}], %{name};")
    addresses = " ".join(f".reg .b64 %at_{name};" for name in names)
    start, code, end = "\n".join(lines), "\n".join(body.strip().splitlines()), "\n".join(ends)
    return f"""
.version 8.7
.target {target}
.address_size 64
{module}
.visible .entry probe({params})
{{
.reg .b32 %thread, %block, %size; .reg .b16 %byte; {addresses}
{declarations}
mov.u32 %thread, %tid.x; mov.u32 %block, %ctaid.x; mov.u32 %size, %ntid.x;
mad.lo.u32 %thread, %block, %size, %thread;
{start}
{code}
{end}
ret;
}}
"""


def evaluate(
    body: str,
    inputs: dict[str, Any],
    outputs: dict[str, Any],
    declarations: str = "",
    target: str = "sm_80",
    block: int = 0,
    shared: int = 0,
    module: str = "",
    **options: Any,
) -> dict[str, np.ndarray]:
    """Runs the body for as many threads as the inputs have entries."""
    arrays = {name: np.ascontiguousarray(array) for name, array in inputs.items()}
    count = len(next(iter(arrays.values()))) if arrays else block
    text = kernel_text(body, arrays, outputs, declarations, target, module)
    arena = Arena()
    addresses = {name: arena.put(array) for name, array in arrays.items()}
    for name, dtype in outputs.items():
        addresses[name] = arena.put(np.full(count * np.dtype(dtype).itemsize, 0xEE, np.uint8))
    block = block or min(count, 128)
    assert count % block == 0, "whole blocks only"
    params = struct.pack(f"<{len(addresses)}Q", *addresses.values())
    engine(text, target, **options).launch(
        "probe", (count // block, 1, 1), block, shared, params, arena.memory()
    )
    return {name: arena.get(addresses[name], dtype, count) for name, dtype in outputs.items()}


def edge_values(dtype: Any, count: int, seed: int) -> np.ndarray:
    """Random entries, with the type's corners in front."""
    dtype = np.dtype(dtype)
    rng = np.random.default_rng(seed)
    raw = rng.integers(0, 256, count * dtype.itemsize, np.uint8).view(dtype)
    if dtype.kind == "f":
        scale = rng.integers(-20, 20, count).astype(np.float64)
        with np.errstate(over="ignore"):
            found = (rng.standard_normal(count) * 2.0**scale).astype(dtype)
        found[count // 2 :: 5] = raw[count // 2 :: 5]  # any bits: NaN, subnormals
        tiny = np.finfo(dtype).tiny
        corners = [0.0, -0.0, 1.0, -1.0, np.inf, -np.inf, np.nan, tiny, -tiny / 2, 0.5, 1.5, 2.5]
    else:
        limit = np.iinfo(dtype)
        found = raw.copy()
        corners = [0, 1, limit.max, limit.min, limit.max - 1, limit.min + 1, 2, 31, 32, 33, 63, 64]
        corners = [corner for corner in corners if limit.min <= corner <= limit.max]
    found[: len(corners)] = np.array(corners, dtype)
    return found
