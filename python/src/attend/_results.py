"""What calls and queries answer with."""

import operator
from typing import Any, NamedTuple


def _brief(value):
    if value is None or isinstance(value, str):
        return repr(value)
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None:
        return repr(value)
    return f"{str(dtype).rpartition('.')[2]}{list(shape)}"


class Result(NamedTuple):
    """What a call gives when more than out is asked for; what was not asked for is None.

    `note` says why another operator's kernel ran, where the contract lets one fall back; else it is empty.
    """

    out: Any
    lse: Any
    weights: Any
    scores: Any
    kernel: str
    note: str = ""

    def __repr__(self):
        told = {name: value for name, value in self._asdict().items() if name != "note" or value}
        return "Result(" + ", ".join(f"{name}={_brief(value)}" for name, value in told.items()) + ")"


class _Pair(tuple):
    """Two results that unpack as two, and the name of the kernel that made them."""

    _fields = ()

    def __new__(cls, first, second, kernel=""):
        pair = super().__new__(cls, (first, second))
        pair.kernel = kernel
        return pair

    def __getnewargs__(self):
        return (*self, self.kernel)

    def __repr__(self):
        told = [f"{name}={_brief(value)}" for name, value in zip(self._fields, self)]
        return f"{type(self).__name__}({', '.join(told)}, kernel={self.kernel!r})"


class GdnResult(_Pair):
    """out, final_state of gdn, and `kernel`, the name of the kernel that ran."""

    _fields = ("out", "final_state")
    out = property(operator.itemgetter(0))
    final_state = property(operator.itemgetter(1))


class MergeResult(_Pair):
    """out, lse of merge, and `kernel`, the name of the kernel that ran."""

    _fields = ("out", "lse")
    out = property(operator.itemgetter(0))
    lse = property(operator.itemgetter(1))


class Answer(NamedTuple):
    """What one kernel says to a call: whether it takes it, and why not."""

    kernel: str
    ok: bool
    reason: str


class Support(NamedTuple):
    """Whether a call would run (its truth value), on which kernel, and why not."""

    ok: bool
    kernel: str
    reason: str

    def __bool__(self):
        return self.ok


class Kernel(NamedTuple):
    """One row of the registry."""

    op: str
    device: str
    name: str
    summary: str
    priority: int
    available: bool
    reason: str


class Backend(NamedTuple):
    """A loaded backend; status is "ok" or why it has no device, path is empty for built-in ones."""

    name: str
    device: str
    device_count: int
    status: str
    path: str


for _type in (Result, GdnResult, MergeResult, Answer, Support, Kernel, Backend):
    _type.__module__ = "attend"
