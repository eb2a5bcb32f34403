"""What calls and queries answer with."""

from typing import Any, NamedTuple


def _brief(value):
    if value is None or isinstance(value, str):
        return repr(value)
    shape, dtype = getattr(value, "shape", None), getattr(value, "dtype", None)
    if shape is None or dtype is None:
        return repr(value)
    return f"{str(dtype).rpartition('.')[2]}{list(shape)}"


class Result(NamedTuple):
    """What a call gives when more than out is asked for; what was not asked for is None."""

    out: Any
    lse: Any
    weights: Any
    scores: Any
    kernel: str

    def __repr__(self):
        return "Result(" + ", ".join(f"{name}={_brief(value)}" for name, value in self._asdict().items()) + ")"


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


for _type in (Result, Answer, Support, Kernel, Backend):
    _type.__module__ = "attend"
