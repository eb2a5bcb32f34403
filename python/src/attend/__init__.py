"""Attention operators with run-time dispatch, on NumPy arrays, PyTorch tensors and whatever speaks DLPack.

    out = attend.flash(q, k, v, causal=True)                    # q: [batch, seqlen, heads, head_dim]
    out, lse, *_ = attend.flash(q, k, v, return_lse=True)
    attend.append(k_pages, v_pages, k_new, v_new, slot_mapping)                     # stored in place
    out = attend.paged(q, k_pages, v_pages, block_table=table, seqused_k=lengths)
    out, state = attend.gdn(q, k, v, g=g, beta=beta, state=state)
    out, lse = attend.merge(out_a, lse_a, out_b, lse_b)
    attend.explain("flash", q, k, v)                            # which kernel takes the call, and why not
    q, k, v = (attend.to_device(x, "cuda") for x in (q, k, v))  # then flash(q, k, v) runs there; .numpy() comes back

Nothing is copied on the way in; results are of the kind of q. Calls run without the interpreter's lock.
"""

import os as _os

from . import _attend
from ._attend import (
    InProcessRing,
    RingTransport,
    Tensor,
    __version__,
    backends,
    empty,
    kernels,
    load_failures,
    native_isa,
    num_threads,
    ring_cut,
    set_num_threads,
    to_device,
)
from ._engine import Completion, Engine, Progress, strategies
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
from ._results import Answer, Backend, GdnResult, Kernel, MergeResult, Result, Support
from ._words import OPS as _OPS
from ._words import describe as _describe


def _named(op, tensors, words):
    """The tensors by their names, with the words."""
    names = _OPS[_attend.op_name(op)].tensors
    if len(tensors) > len(names):
        raise TypeError(f"{op}() takes {len(names)} tensors by position, {len(tensors)} were given")
    said = dict(zip(names, tensors))
    for name in said.keys() & words.keys():
        raise TypeError(f"{op}() got multiple values for argument '{name}'")
    return {**said, **words}


def run(op, /, *tensors, **words):
    return _attend.call(op, _named(op, tensors, words))


def explain(op, /, *tensors, **words):
    return _attend.explain(op, _named(op, tensors, words))


def supports(op, /, *tensors, **words):
    return _attend.supports(op, _named(op, tensors, words))


def vanilla(q, k, v, **words):
    return _attend.call("vanilla", {"q": q, "k": k, "v": v, **words})


def flash(q, k, v, **words):
    return _attend.call("flash", {"q": q, "k": k, "v": v, **words})


def paged(q, k, v, **words):
    return _attend.call("paged", {"q": q, "k": k, "v": v, **words})


def splash(q, k, v, **words):
    return _attend.call("splash", {"q": q, "k": k, "v": v, **words})


def decode(q, k, v, **words):
    return _attend.call("decode", {"q": q, "k": k, "v": v, **words})


def sdpa(q, k, v, **words):
    return _attend.call("sdpa", {"q": q, "k": k, "v": v, **words})


def ring(q, k, v, **words):
    return _attend.call("ring", {"q": q, "k": k, "v": v, **words})


def gdn(q=None, k=None, v=None, **words):
    return _attend.call("gdn", {"q": q, "k": k, "v": v, **words})


def merge(out_a, lse_a, out_b, lse_b, **words):
    return _attend.call("merge", {"out_a": out_a, "lse_a": lse_a, "out_b": out_b, "lse_b": lse_b, **words})


def append(k, v, k_new, v_new, slot_mapping, **words):
    tensors = {"k": k, "v": v, "k_new": k_new, "v_new": v_new, "slot_mapping": slot_mapping}
    return _attend.call("append", {**tensors, **words})


def load_backend(path):
    """Loads a backend plugin, libattend_*.so, for the life of the process; RuntimeError says why it cannot."""
    _attend.load_backend(_os.fspath(path))


for _function, _purpose in (
    (vanilla, "Attention by its formula, scores materialised: hands out weights and scores, knows dropout."),
    (flash, "Exact tiled attention with an online softmax; dense and ragged. The score matrix never exists."),
    (paged, "Attention whose keys lie behind a page table: prefill, decode and mixed batches in one call."),
    (splash, "Tiled block-sparse attention. One query row, or a call without any mask word, runs on vanilla; .note says so."),
    (decode, "One query row against the keys start <= j < end of a contiguous cache, from which it sees back."),
    (sdpa, "The frameworks' scaled dot product attention: causal from the top left, mask and bias both apply."),
    (ring, "Blockwise attention that ranks can share; in one process, a scan over blocks of keys."),
    (gdn, "The gated delta rule: chunked prefill and one-step decode, and the layer around it (mixed_qkv)."),
    (merge, "Joins two partial results over disjoint keys by their log-sum-exps."),
    (append, "Stores rows of keys and values in pages, in place."),
):
    _describe(_function, _purpose, _function.__name__)
_describe(run, "The operator of that name or alias: 'flash', 'paged', ... with all its keywords.")
_describe(
    explain,
    "What every kernel says to this call, as a list of Answer(kernel, ok, reason). Runs nothing.",
    returns="Returns a list of Answer, in the order in which kernels are asked.",
)
_describe(
    supports,
    "Whether this call would run, as Support(ok, kernel, reason), true if it would. Runs nothing.",
    returns="Returns a Support, which is true if the call would run.",
)
del _function, _purpose

flash_attn2 = flash
paged_attention = paged
autoregressive_decode = decode
cudnn = cuda_flash_attn2 = sdpa
gated_delta_net = gdn

__all__ = [
    "Answer",
    "Backend",
    "BackendUnavailableError",
    "DeviceError",
    "Error",
    "GdnResult",
    "InProcessRing",
    "InvalidArgumentError",
    "Kernel",
    "MergeResult",
    "NoMetadataError",
    "OutOfMemoryError",
    "OutOfRangeError",
    "Result",
    "RingTransport",
    "Support",
    "Tensor",
    "UnsupportedError",
    "__version__",
    "append",
    "autoregressive_decode",
    "backends",
    "cuda_flash_attn2",
    "cudnn",
    "decode",
    "empty",
    "explain",
    "flash",
    "flash_attn2",
    "gated_delta_net",
    "gdn",
    "kernels",
    "load_backend",
    "load_failures",
    "merge",
    "native_isa",
    "num_threads",
    "paged",
    "paged_attention",
    "ring",
    "ring_cut",
    "run",
    "sdpa",
    "set_num_threads",
    "splash",
    "supports",
    "to_device",
    "vanilla",
]
