"""Which function understands which instruction.

A file in `ops` registers builders. A builder takes the machine and the instruction's form, binds
the operands once, and returns a step: a function that carries the instruction out for a mask of
threads. A builder must take every modifier that it understands from the form. What is left over,
like an opcode that nobody registered, stops the launch with the instruction's text.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from memory import SimtError
from ptx.kinds import TYPES, Mask, Type
from ptx.machine import Machine
from ptx.source import Instruction

if TYPE_CHECKING:
    from ptx.scheduler import Scheduler

Step = Callable[[Mask], None]
Builder = Callable[[Machine, "Form"], Step]
Group = Literal["", "warp", "warpgroup"]

# A flow step decides where threads go: None is the next instruction, a number is where all of them
# go on, and PARTED says that it has put every thread somewhere itself.
PARTED = -1
FlowStep = Callable[[Mask], int | None]
FlowBuilder = Callable[["Scheduler", int, "Form"], FlowStep]


class Form:
    """An instruction while it is being decoded: what is left of its modifiers, and its operands."""

    def __init__(self, instruction: Instruction):
        self.instruction = instruction
        self.name = instruction.opcode[0]
        self.left = list(instruction.opcode[1:])
        self.operands = instruction.operands

    def type(self) -> Type:
        """Takes the last modifier, which must be a type."""
        if not self.left or self.left[-1] not in TYPES:
            raise self.unknown()
        return TYPES[self.left.pop()]

    def take(self, *options: str) -> str:
        """Takes the first modifier that is one of `options`, or gives an empty string."""
        for option in self.left:
            if option in options:
                self.left.remove(option)
                return option
        return ""

    def need(self, *options: str) -> str:
        """Takes the first modifier that is one of `options`; without one the form is unknown."""
        found = self.take(*options)
        if not found:
            raise self.unknown()
        return found

    def has(self, option: str) -> bool:
        return bool(self.take(option))

    def ignore(self, *prefixes: str) -> None:
        """Drops hints that change speed only."""
        self.left = [part for part in self.left if not part.startswith(prefixes)]

    def done(self) -> None:
        """Nothing may be left that nobody understood."""
        if self.left:
            raise self.unknown()

    def unknown(self) -> SimtError:
        return SimtError(f"unknown instruction: {self.instruction.text}")


@dataclass(frozen=True)
class Entry:
    builder: Builder
    types: Collection[str] | None  # the last modifiers it is for; None for any
    group: Group  # threads that must stand together
    members: bool  # the last operand is a mask of the warp's threads that take part


_ENTRIES: dict[str, list[Entry]] = {}
_FLOWS: dict[str, FlowBuilder] = {}


def instruction(
    *names: str,
    types: Collection[str] | None = None,
    group: Group = "",
    members: bool = False,
) -> Callable[[Builder], Builder]:
    """Registers a builder for opcodes, as far as their last modifier is one of `types`."""

    def register(builder: Builder) -> Builder:
        for name in names:
            _ENTRIES.setdefault(name, []).append(Entry(builder, types, group, members))
        return builder

    return register


def flow(*names: str) -> Callable[[FlowBuilder], FlowBuilder]:
    """Registers a builder for opcodes that move or hold threads, like "bar" or "bar.warp"."""

    def register(builder: FlowBuilder) -> FlowBuilder:
        for name in names:
            _FLOWS[name] = builder
        return builder

    return register


def find_flow(form: Form) -> FlowBuilder | None:
    longer = ".".join([form.name, *form.left[:1]])
    return _FLOWS.get(longer) or _FLOWS.get(form.name)


def find(form: Form) -> Entry:
    last = form.left[-1] if form.left else ""
    for entry in _ENTRIES.get(form.name, ()):
        if entry.types is None or last in entry.types:
            return entry
    raise form.unknown()


def build(machine: Machine, form: Form) -> tuple[Entry, Step]:
    entry = find(form)
    step = entry.builder(machine, form)
    form.done()
    return entry, step


def no_operation(_: Mask) -> None:
    """The step of what changes nothing here."""
