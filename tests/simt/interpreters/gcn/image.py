"""A code object, the ELF file that clang writes for one AMD architecture, as a loader places it.

What a launch needs of it: the bytes in memory with their relocations applied, and the kernel
descriptor, which tells where the code starts, how much shared and private memory it takes and which
scalar registers arrive filled with what.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from memory import SimtError

IMAGE_BASE = 1 << 56  # where the image lies; far above every address of a process

_MACHINES = {0x3F: "gfx90a", 0x4C: "gfx942"}  # the low byte of e_flags
_PT_LOAD, _SHT_RELA, _SHT_DYNSYM = 1, 4, 11
_ABS64, _RELATIVE64 = 3, 13


@dataclass(frozen=True)
class Kernel:
    """What the 64 bytes of a kernel descriptor say (LLVM's AMDGPUUsage, "Kernel Descriptor")."""

    name: str
    entry: int  # address in the image, from 0
    shared_bytes: int  # static: the launch's dynamic bytes come behind it
    private_bytes: int  # of one thread
    kernarg_bytes: int
    float_mode: int
    properties: int  # which user registers are there, one bit each
    user_registers: int
    system: int  # which system registers follow them, one bit each
    preloaded: int

    @classmethod
    def parse(cls, name: str, address: int, raw: bytes) -> Kernel:
        shared, private, kernarg = struct.unpack_from("<III", raw, 0)
        (entry,) = struct.unpack_from("<q", raw, 16)
        rsrc1, rsrc2, properties, preload = struct.unpack_from("<IIHH", raw, 48)
        return cls(
            name=name,
            entry=address + entry,
            shared_bytes=shared,
            private_bytes=private,
            kernarg_bytes=kernarg,
            float_mode=rsrc1 >> 12 & 0xFF,
            properties=properties,
            user_registers=rsrc2 >> 1 & 0x1F,
            system=rsrc2 & 1 | (rsrc2 >> 7 & 0xF) << 1,
            preloaded=preload & 0x7F,
        )


class CodeObject:
    """The image in memory, addresses counted from 0."""

    def __init__(self, path: Path):
        self.path = path
        raw = path.read_bytes()
        if raw[:4] != b"\x7fELF":
            raise SimtError(f"{path.name}: the file is not ELF, expected a code object")
        self._header(raw)
        self.data: NDArray[np.uint8] = self._load(raw)
        self.symbols = self._symbols(raw)
        self._relocate(raw)

    def kernel(self, name: str) -> Kernel:
        address = self.symbols.get(name + ".kd")
        if address is None:
            raise SimtError(f"{self.path.name}: kernel {name} is not in this code object")
        return Kernel.parse(name, address, self.data[address : address + 64].tobytes())

    def _header(self, raw: bytes) -> None:
        (flags,) = struct.unpack_from("<I", raw, 48)
        if flags & 0xFF not in _MACHINES:
            raise SimtError(
                f"{self.path.name}: machine is {flags & 0xFF:#x}, expected gfx90a, gfx942"
            )
        self.architecture = _MACHINES[flags & 0xFF]
        segments, sections = struct.unpack_from("<QQ", raw, 32)
        size, count, section_size, section_count = struct.unpack_from("<HHHH", raw, 54)
        self._segments = [
            struct.unpack_from("<IIQQQQQQ", raw, segments + size * i) for i in range(count)
        ]
        self._sections = [
            struct.unpack_from("<IIQQQQIIQQ", raw, sections + section_size * i)
            for i in range(section_count)
        ]

    def _load(self, raw: bytes) -> NDArray[np.uint8]:
        loaded = [segment for segment in self._segments if segment[0] == _PT_LOAD]
        end = max(address + memory for _, _, _, address, _, _, memory, _ in loaded)
        data = np.zeros(-(-end // 64) * 64, np.uint8)
        for _, _, offset, address, _, in_file, _, _ in loaded:
            data[address : address + in_file] = np.frombuffer(raw, np.uint8, in_file, offset)
        return data

    def _dynamic_symbols(self, raw: bytes) -> list[tuple[int, int]]:
        """(offset of the name, value) of each."""
        table = next(section for section in self._sections if section[1] == _SHT_DYNSYM)
        rows = struct.iter_unpack("<IBBHQQ", raw[table[4] : table[4] + table[5]])
        return [(name, value) for name, _, _, _, value, _ in rows]

    def _symbols(self, raw: bytes) -> dict[str, int]:
        table = next(section for section in self._sections if section[1] == _SHT_DYNSYM)
        names = self._sections[table[6]][4]
        found = {}
        for name, value in self._dynamic_symbols(raw):
            start = names + name
            found[raw[start : raw.index(b"\0", start)].decode()] = value
        return found

    def _relocate(self, raw: bytes) -> None:
        values = [value for _, value in self._dynamic_symbols(raw)]
        for section in self._sections:
            if section[1] != _SHT_RELA:
                continue
            for at, info, addend in struct.iter_unpack(
                "<QQq", raw[section[4] : section[4] + section[5]]
            ):
                kind = info & 0xFFFFFFFF
                if kind not in (_ABS64, _RELATIVE64):
                    raise SimtError(f"{self.path.name}: relocation {kind} is not supported")
                value = IMAGE_BASE + addend + (values[info >> 32] if kind == _ABS64 else 0)
                self.data[at : at + 8] = np.frombuffer(struct.pack("<Q", value), np.uint8)
