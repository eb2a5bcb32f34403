"""Attention operators with run-time dispatch, on NumPy arrays, PyTorch tensors and whatever speaks DLPack.

    out = attend.flash(q, k, v, causal=True)                    # q: [batch, seqlen, heads, head_dim]
    out, lse, *_ = attend.flash(q, k, v, return_lse=True)
    attend.explain("flash", q, k, v)                            # which kernel takes the call, and why not

Nothing is copied on the way in; results are of the kind of q. Calls run without the interpreter's lock.
"""

import os as _os

from . import _attend
from ._attend import (
    Tensor,
    __version__,
    backends,
    kernels,
    load_failures,
    native_isa,
    num_threads,
    set_num_threads,
)
from ._errors import (
    BackendUnavailableError,
    DeviceError,
    Error,
    InvalidArgumentError,
    NoMetadataError,
    OutOfMemoryError,
    OutOfRangeError,
    UnsupportedError,
)
from ._results import Answer, Backend, Kernel, Result, Support
from ._words import describe as _describe


def run(op, q, k, v, **words):
    return _attend.call(op, q, k, v, words)


def flash(q, k, v, **words):
    return _attend.call("flash", q, k, v, words)


def vanilla(q, k, v, **words):
    return _attend.call("vanilla", q, k, v, words)


def explain(op, q, k, v, **words):
    return _attend.explain(op, q, k, v, words)


def supports(op, q, k, v, **words):
    return _attend.supports(op, q, k, v, words)


def load_backend(path):
    """Loads a backend plugin, libattend_*.so, for the life of the process; RuntimeError says why it cannot."""
    _attend.load_backend(_os.fspath(path))


_describe(run, "The operator of that name or alias: 'flash', 'vanilla', ... with all its keywords.", ["op"])
_describe(flash, "Exact tiled attention with an online softmax; dense and ragged. The score matrix never exists.")
_describe(vanilla, "Attention by its formula, scores materialised: hands out weights and scores, knows dropout.")
_describe(explain, "What every kernel says to this call, as a list of Answer(kernel, ok, reason). Runs nothing.", ["op"])
_describe(supports, "Whether this call would run, as Support(ok, kernel, reason), true if it would. Runs nothing.", ["op"])
flash_attn2 = flash

__all__ = [
    "Answer",
    "Backend",
    "BackendUnavailableError",
    "DeviceError",
    "Error",
    "InvalidArgumentError",
    "Kernel",
    "NoMetadataError",
    "OutOfMemoryError",
    "OutOfRangeError",
    "Result",
    "Support",
    "Tensor",
    "UnsupportedError",
    "__version__",
    "backends",
    "explain",
    "flash",
    "flash_attn2",
    "kernels",
    "load_backend",
    "load_failures",
    "native_isa",
    "num_threads",
    "run",
    "set_num_threads",
    "supports",
    "vanilla",
]
