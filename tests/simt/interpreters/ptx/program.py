"""A kernel as one straight list of instructions: scopes opened, calls replaced by bodies.

Registers, labels and parameters of an inner scope or of an inlined function get names of their own,
so that the interpreter knows one flat set of names.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace

from memory import SimtError
from ptx import source
from ptx.source import (
    Instruction,
    Label,
    Module,
    Register,
    Scope,
    Statement,
    Table,
    Variable,
)

_NAME = re.compile(source.NAME)

# Instructions that wait for other threads or move the program counter. Under a guard they become a
# branch around the bare instruction, so that only the scheduler deals with divergence.
FLOW = {
    "bra", "brx", "ret", "exit", "bar", "barrier", "shfl", "vote", "match", "redux", "elect",
    "mma", "ldmatrix", "stmatrix", "movmatrix", "wgmma", "mbarrier",
}  # fmt: skip


@dataclass(frozen=True)
class Placed:
    """Where a symbol's memory begins within its space."""

    space: str  # param, shared, local, module
    at: int


@dataclass
class Program:
    """A kernel, ready to be bound to the registers of a machine."""

    kernel: str
    code: list[Instruction] = field(default_factory=list)
    labels: dict[str, int] = field(default_factory=dict)
    tables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    registers: dict[str, str] = field(default_factory=dict)  # name -> type
    symbols: dict[str, Placed] = field(default_factory=dict)
    param_bytes: int = 0
    static_shared: int = 0
    local_bytes: int = 0
    max_threads: int = 0

    def place(self, found: Variable, space: str, end: int) -> int:
        """Puts a variable behind `end` and returns the new end."""
        at = -(-end // found.align) * found.align
        self.symbols[found.name] = Placed(space, at)
        return at + size_of(found)


def size_of(found: Variable) -> int:
    return int(re.sub(r"\D", "", found.type)) // 8 * found.count


def flatten(module: Module, kernel: str) -> Program:
    function = module.functions.get(kernel)
    if function is None or not function.entry or function.body is None:
        known = ", ".join(name for name, f in module.functions.items() if f.entry) or "none"
        raise SimtError(f"PTX: kernel is {kernel}, the image has {known}")
    program = Program(kernel, max_threads=function.max_threads)
    for param in function.params:
        program.param_bytes = program.place(param, "param", program.param_bytes)
    flattener = _Flattener(module, program)
    flattener.statements(function.body, {}, ())
    flattener.place_module_shared()
    return program


class _Flattener:
    def __init__(self, module: Module, program: Program):
        self.module = module
        self.program = program
        self.scopes = 0
        self.used: set[str] = set()

    def statements(
        self, body: tuple[Statement, ...], outer: dict[str, str], calls: tuple[str, ...]
    ) -> None:
        """Appends a body; `outer` maps names to the names that the flat list uses."""
        nested = bool(self.scopes)
        self.scopes += 1
        suffix = f"$s{self.scopes}" if nested else ""
        names = dict(outer)
        for statement in body:  # a label may be used before it stands
            self.declare(statement, names, suffix)
        for statement in body:
            if isinstance(statement, Label):
                self.program.labels[names.get(statement.name, statement.name)] = len(
                    self.program.code
                )
            elif isinstance(statement, Table):
                targets = tuple(names.get(target, target) for target in statement.targets)
                self.program.tables[names.get(statement.name, statement.name)] = targets
            elif isinstance(statement, Scope):
                self.statements(statement.body, names, calls)
            elif isinstance(statement, Instruction):
                self.instruction(statement, names, calls)

    def declare(self, statement: Statement, names: dict[str, str], suffix: str) -> None:
        program = self.program
        if isinstance(statement, Register):
            span = range(statement.count)
            plain = (
                [f"{statement.name}{i}" for i in span] if statement.count >= 0 else [statement.name]
            )
            for name in plain:
                program.registers[name + suffix] = statement.type
                if suffix:
                    names[name] = name + suffix
        elif isinstance(statement, (Label, Table)):
            if suffix:
                names[statement.name] = statement.name + suffix
        elif isinstance(statement, Variable):
            if suffix:
                names[statement.name] = statement.name + suffix
            found = replace(statement, name=statement.name + suffix)
            if found.space == "shared":
                program.static_shared = program.place(found, "shared", program.static_shared)
            else:  # local memory, and parameters of a call, which belong to a thread as well
                program.local_bytes = program.place(found, "local", program.local_bytes)

    def instruction(
        self, found: Instruction, names: dict[str, str], calls: tuple[str, ...]
    ) -> None:
        operands = found.operands
        if names:

            def rename(match: re.Match[str]) -> str:
                return names.get(match[0], match[0])

            operands = tuple(_NAME.sub(rename, operand) for operand in operands)
            found = replace(found, guard=names.get(found.guard, found.guard), operands=operands)
        for operand in operands:
            self.used.update(_NAME.findall(operand))
        code = self.program.code
        name = found.opcode[0]
        if name == "ret" and calls:
            target = names["%return"]
            code.append(replace(found, opcode=("bra",), operands=(target,)))
            return
        if found.guard and name != "bra" and (name in FLOW or name == "call"):
            around = f"$around${len(code)}"
            code.append(
                replace(found, negated=not found.negated, opcode=("bra",), operands=(around,))
            )
            found = replace(found, guard="", negated=False)
            self.emit(found, calls)
            self.program.labels[around] = len(code)
        else:
            self.emit(found, calls)

    def emit(self, found: Instruction, calls: tuple[str, ...]) -> None:
        if found.opcode[0] == "call":
            self.call(found, calls)
        else:
            self.program.code.append(found)

    def call(self, found: Instruction, calls: tuple[str, ...]) -> None:
        """Puts the callee's body in place of the call; its parameters are the caller's own."""
        groups = [operand for operand in found.operands if operand.startswith("(")]
        callee = next(operand for operand in found.operands if not operand.startswith("("))
        function = self.module.functions.get(callee)
        if function is None or function.body is None:
            self.program.code.append(found)  # decoding names it as unknown when it is reached
            return
        if callee in calls:
            raise SimtError(f"PTX line {found.line}: recursive call is not supported: {found.text}")
        given = [source.split_operands(group[1:-1]) for group in groups]
        results = given.pop(0) if function.results else ()
        actual = given[0] if given else ()
        formal = [param.name for param in (*function.results, *function.params)]
        names = dict(zip(formal, (*results, *actual), strict=True))
        names["%return"] = f"$return${len(self.program.code)}"
        self.statements(function.body, names, (*calls, callee))
        self.program.labels[names["%return"]] = len(self.program.code)

    def place_module_shared(self) -> None:
        """The module's shared arrays that the kernel names; the open one lies behind all."""
        program = self.program
        mine = [
            found
            for found in self.module.variables.values()
            if found.space == "shared" and found.name in self.used
        ]
        for found in mine:
            if not found.extern:
                program.static_shared = program.place(found, "shared", program.static_shared)
        for found in mine:
            if found.extern:
                end = program.place(found, "shared", program.static_shared)
                program.static_shared = max(program.static_shared, end)
