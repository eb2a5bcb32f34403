"""PTX text taken apart: variables, functions, and the statements of their bodies.

Nothing is interpreted here. Names stay as they are written and an instruction keeps its text and
line, so that whatever goes wrong later can be told in the words of the file.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from dataclasses import dataclass, field

from memory import SimtError


@dataclass(frozen=True)
class Variable:
    """A declared piece of memory or, in a parameter list, a parameter."""

    name: str
    space: str  # param, shared, local, const, global
    type: str  # u8, b32, ...
    align: int
    count: int  # elements; 0 where the array is of open size
    extern: bool = False
    initial: str = ""


@dataclass(frozen=True)
class Register:
    """A register declaration; `count` >= 0 stands for the names name0 .. name<count-1>."""

    name: str
    type: str
    count: int = -1


@dataclass(frozen=True)
class Label:
    name: str


@dataclass(frozen=True)
class Table:
    """The labels that brx.idx chooses from."""

    name: str
    targets: tuple[str, ...]


@dataclass(frozen=True)
class Instruction:
    guard: str  # predicate register, or empty
    negated: bool
    opcode: tuple[str, ...]  # ("ld", "global", "nc", "u32")
    operands: tuple[str, ...]
    text: str
    line: int


@dataclass(frozen=True)
class Scope:
    body: tuple[Statement, ...]


Statement = Variable | Register | Label | Table | Instruction | Scope


@dataclass(frozen=True)
class Function:
    name: str
    entry: bool
    results: tuple[Variable, ...]
    params: tuple[Variable, ...]
    body: tuple[Statement, ...] | None  # None where it is only declared
    max_threads: int = 0


@dataclass
class Module:
    target: str = ""
    variables: dict[str, Variable] = field(default_factory=dict)
    functions: dict[str, Function] = field(default_factory=dict)


NAME = r"[%A-Za-z_$][\w$]*"
_COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.S)
_BRACKET = re.compile(r"[\[({]")
_SPACE = re.compile(r"\s*")
_LABEL = re.compile(rf"({NAME})\s*:(?!:)\s*")
_GUARD = re.compile(rf"@(!?)({NAME})\s+")
_VARIABLE = re.compile(
    rf"\.(?P<space>param|shared|local|const|global)\b(?:::\w+)?\s*"
    rf"(?P<flags>(?:\.attribute\([^)]*\)\s*|\.align\s+\d+\s*|\.ptr\b\s*|\.(?:global|shared|const)\b\s*)*)"
    rf"(?P<vector>\.v[24]\s+)?\.(?P<type>[a-z]+\d+)\s+"
    rf"(?:\.ptr\s*(?:\.\w+\s*(?:\d+\s*)?)*)?(?P<name>{NAME})\s*(?P<dims>(?:\[\d*\])*)\s*(?:=(?P<initial>.*))?$",
    re.S,
)
_HEAD = re.compile(
    rf"(?P<link>(?:\.(?:visible|weak|extern|common)\s+)*)\.(?P<kind>entry|func)\b\s*"
    rf"(?:\.noreturn\s*)?(?:\((?P<results>[^)]*)\)\s*)?(?P<name>{NAME})\s*(?:\((?P<params>.*?)\)(?=\s*[.{{;]))?",
    re.S,
)


def parse(text: str) -> Module:
    return _Parser(text).module()


def split_operands(text: str) -> tuple[str, ...]:
    """Splits at commas that no bracket encloses."""
    if not _BRACKET.search(text):
        return tuple(part for part in map(str.strip, text.split(",")) if part)
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        if char in "{[(":
            depth += 1
        elif char in "}])":
            depth -= 1
        elif char == "," and depth == 0:
            parts.append(text[start:at].strip())
            start = at + 1
    parts.append(text[start:].strip())
    return tuple(part for part in parts if part)


def variable(text: str, extern: bool = False) -> Variable:
    match = _VARIABLE.match(text.strip())
    if not match:
        raise SimtError(f"PTX: declaration not understood: {' '.join(text.split())}")
    align = re.search(r"\.align\s+(\d+)", text.split("=")[0])
    width = int(re.sub(r"\D", "", match["type"])) // 8
    lanes = int(match["vector"].strip()[2:]) if match["vector"] else 1
    count, dims = lanes, re.findall(r"\[(\d*)\]", match["dims"])
    for size in dims:
        count *= int(size or 0)
    return Variable(
        name=match["name"],
        space=match["space"],
        type=match["type"],
        align=int(align[1]) if align else width * lanes,
        count=count,
        extern=extern,
        initial=(match["initial"] or "").strip(),
    )


class _Parser:
    def __init__(self, text: str):
        def keep_lines(match: re.Match[str]) -> str:
            return "\n" * match[0].count("\n") or " "

        self.text = _COMMENT.sub(keep_lines, text)
        self.at = 0
        self.line_starts = [match.end() for match in re.finditer("\n", self.text)]

    def line(self) -> int:
        return bisect_right(self.line_starts, self.at) + 1

    def skip_space(self) -> None:
        self.at = _SPACE.match(self.text, self.at).end()

    def rest_of_line(self) -> str:
        end = self.text.find("\n", self.at)
        end = len(self.text) if end < 0 else end
        line, self.at = self.text[self.at : end], end
        return line

    def until_semicolon(self) -> str:
        end = self.text.find(";", self.at)
        if end < 0:
            raise SimtError(f"PTX line {self.line()}: the statement has no end")
        statement, self.at = self.text[self.at : end], end + 1
        return statement

    def module(self) -> Module:
        module = Module()
        while True:
            self.skip_space()
            if self.at >= len(self.text):
                return module
            if head := _HEAD.match(self.text, self.at):
                function = self.function(head)
                known = module.functions.get(function.name)
                if known is None or known.body is None:
                    module.functions[function.name] = function
            elif match := re.compile(r"\.(version|target|address_size|file)\b").match(
                self.text, self.at
            ):
                line = self.rest_of_line()
                if match[1] == "target":
                    module.target = line.split(None, 1)[1].split(",")[0].strip()
            elif self.text.startswith(".section", self.at):
                self.at = self.text.index("}", self.at) + 1
            else:
                declaration = self.until_semicolon()
                link, declaration = re.match(
                    r"((?:\.(?:visible|weak|extern|common)\s+)*)(.*)", declaration, re.S
                ).groups()
                found = variable(declaration, "extern" in link)
                module.variables[found.name] = found

    def function(self, head: re.Match[str]) -> Function:
        self.at = head.end()
        directives = re.compile(r"[^{;]*").match(self.text, self.at)
        self.at = directives.end()
        threads = re.search(r"\.(?:maxntid|reqntid)\s+([\d, ]+)", directives[0])
        max_threads = 1 if threads else 0
        for size in threads[1].split(",") if threads else ():
            max_threads *= int(size)
        has_body = self.text[self.at] == "{"
        self.at += 1
        return Function(
            name=head["name"],
            entry=head["kind"] == "entry",
            results=tuple(map(variable, split_operands(head["results"] or ""))),
            params=tuple(map(variable, split_operands(head["params"] or ""))),
            body=tuple(self.body()) if has_body else None,
            max_threads=max_threads,
        )

    def body(self) -> list[Statement]:
        """The statements up to the brace that closes the scope, which is consumed."""
        found: list[Statement] = []
        while True:
            self.skip_space()
            if self.at >= len(self.text):
                raise SimtError("PTX: a body has no closing brace")
            char = self.text[self.at]
            if char == "}":
                self.at += 1
                return found
            if char == "{":
                self.at += 1
                found.append(Scope(tuple(self.body())))
            elif char == ";":
                self.at += 1
            elif label := _LABEL.match(self.text, self.at):
                self.at = label.end()
                if self.text.startswith(".branchtargets", self.at):
                    targets = self.until_semicolon().split(None, 1)[1]
                    found.append(Table(label[1], split_operands(targets)))
                elif self.text.startswith(".callprototype", self.at):
                    self.until_semicolon()
                else:
                    found.append(Label(label[1]))
            elif self.text.startswith(".loc", self.at) and self.text[self.at + 4].isspace():
                self.rest_of_line()
            elif char == ".":
                found.extend(self.declaration(self.until_semicolon()))
            else:
                line = self.line()
                found.append(_instruction(self.until_semicolon(), line))

    @staticmethod
    def declaration(text: str) -> list[Statement]:
        if text.startswith(".pragma"):
            return []
        if match := re.match(r"\.reg\s+(?:\.v[24]\s+)?\.(\w+)\s+(.*)", text, re.S):
            found: list[Statement] = []
            for name in split_operands(match[2]):
                if many := re.fullmatch(rf"({NAME})<(\d+)>", name):
                    found.append(Register(many[1], match[1], int(many[2])))
                else:
                    found.append(Register(name, match[1]))
            return found
        return [variable(text)]


def _instruction(text: str, line: int) -> Instruction:
    text = " ".join(text.split())
    guard = _GUARD.match(text)
    opcode, _, operands = text[guard.end() if guard else 0 :].partition(" ")
    return Instruction(
        guard=guard[2] if guard else "",
        negated=bool(guard and guard[1]),
        opcode=tuple(opcode.split(".")),
        operands=split_operands(operands),
        text=text,
        line=line,
    )
