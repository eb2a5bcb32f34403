"""The instructions of a code object, as llvm-objdump writes them."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from memory import SimtError

_LINE = re.compile(r"^\s+([a-z].*?)\s*// ([0-9A-F]+):((?: [0-9A-F]{8})+)", re.MULTILINE)
_ENCODING = re.compile(r"_(e32|e64|dpp|sdwa)$")


@dataclass(frozen=True)
class Instruction:
    """One instruction. `name` has no suffix of the encoding: v_add_f32, not v_add_f32_e64."""

    name: str
    operands: tuple[str, ...]
    modifiers: dict[str, str] = field(hash=False)  # offset:16 is {"offset": "16"}, glc {"glc": ""}
    address: int
    words: tuple[int, ...]  # the machine code
    text: str
    flush: bool = False  # decoded for a mode that flushes subnormal f32 numbers to zero

    @property
    def end(self) -> int:
        return self.address + 4 * len(self.words)

    def number(self, modifier: str) -> int:
        """The value of a numeric modifier, 0 where it is absent."""
        return int(self.modifiers.get(modifier, "0") or "1", 0)

    def bits(self, modifier: str, count: int, default: int) -> list[int]:
        """The value of a modifier like op_sel:[0,1,0]."""
        text = self.modifiers.get(modifier)
        given = [int(x) for x in text.strip("[]").split(",")] if text else []
        return given + [default] * (count - len(given))


def _split(text: str, separator: str) -> list[str]:
    """Splits where no bracket is open."""
    parts, depth, start = [], 0, 0
    for i, c in enumerate(text):
        if c in "[(":
            depth += 1
        elif c in "])":
            depth -= 1
        elif c == separator and depth == 0:
            parts.append(text[start:i].strip())
            start = i + 1
    parts.append(text[start:].strip())
    return [part for part in parts if part]


class Line(NamedTuple):
    """An instruction as it stands in the text: most of an image's are never executed."""

    text: str
    address: int
    words: tuple[int, ...]


def lines(text: str) -> list[Line]:
    """The instructions of llvm-objdump's text."""
    return [
        Line(body, int(address, 16), tuple(int(word, 16) for word in words.split()))
        for body, address, words in _LINE.findall(text)
    ]


def parse(line: Line) -> Instruction:
    mnemonic, _, body = line.text.partition(" ")
    operands = _split(body, ",")
    modifiers: dict[str, str] = {}
    if operands:
        last, *extra = _split(operands[-1], " ")
        operands[-1] = last
        for word in extra:
            key, _, value = word.partition(":")
            modifiers[key] = value
    return Instruction(
        name=_ENCODING.sub("", mnemonic),
        operands=tuple(operands),
        modifiers=modifiers,
        address=line.address,
        words=line.words,
        text=line.text,
    )


def disassemble(path: Path, architecture: str) -> list[Line]:
    """Every instruction of the file, in order."""
    tools = ("llvm-objdump-19", "llvm-objdump-20", "llvm-objdump-21", "llvm-objdump")
    tool = next(filter(shutil.which, tools), None)
    if tool is None:
        raise SimtError(f"{path.name}: no llvm-objdump is installed, expected llvm-objdump-19")
    command = [tool, "-d", f"--mcpu={architecture}", str(path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SimtError(f"{path.name}: {tool} fails: {done.stderr.strip()}")
    return lines(done.stdout)
