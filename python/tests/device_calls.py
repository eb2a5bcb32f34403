"""Run by test_device.py in a process of its own, as a backend stays loaded: calls on the stand-in's device."""

import ctypes
import sys

import numpy as np
import pytest
from dlpack_fake import Namespaced, Producer

import attend

path = sys.argv[1]
ON_CUDA = (2, 0)
x = np.zeros((1, 3, 2, 4), "f4")
q, k, v = (Producer(x.copy(), device=ON_CUDA) for _ in range(3))

with pytest.raises(attend.BackendUnavailableError, match="no cuda backend is loaded"):
    attend.flash(q, k, v)
attend.load_backend(path)
attend.load_backend(path)  # once more is no more
assert [(b.name, b.device, b.device_count, b.status, b.path) for b in attend.backends()[1:]] == [("cuda", "cuda", 1, "ok", path)]
row = next(row for row in attend.kernels() if row.device == "cuda")
assert (row.op, row.name, row.available) == ("flash", "flash/cuda/stand_in", True)
synchronized = ctypes.CDLL(path).stand_in_synchronized

# forward goes where the tensors are, and the result is there too
result = attend.flash(q, k, v, softmax_scale=0.25, return_lse=True)
assert result.kernel == "flash/cuda/stand_in" and result.out.device == "cuda:0" and result.out.__dlpack_device__() == ON_CUDA
assert repr(result.out) == "attend.Tensor(f32[1, 3, 2, 4] on cuda:0)"
assert q.asked == {"stream": 1, "max_version": (1, 0)}, "the default stream of CUDA"
assert synchronized() >= 1
memory = np.ones((1, 3, 2, 4), "f4")
out = Producer(memory, device=ON_CUDA)
assert attend.flash(q, k, v, out=out, device="cuda", kernel="flash/cuda/stand_in", softmax_scale=0.5) is out
assert (memory == 0.5).all() and q.live == k.live == v.live == out.live == 0

# streams: an int or an object that has one
class Stream:
    cuda_stream = 77


attend.flash(q, k, v, stream=Stream(), check_indices=False)
assert q.asked["stream"] == 77
before = synchronized()
attend.flash(q, k, v, stream=78, check_indices=False)
assert q.asked["stream"] == 78 and synchronized() == before, "nothing waits without check_indices"

# the error word, refusals and failures
big = Producer(np.full(1, 1000, "i8"), device=ON_CUDA, code=0, bits=64)
with pytest.raises(IndexError, match=r"seqused_k\[0\] is 1000, expected an index within its tensor"):
    attend.flash(q, k, v, seqused_k=big)
attend.flash(q, k, v, seqused_k=big, check_indices=False)
with pytest.raises(attend.DeviceError, match="flash/cuda/stand_in: vendor error 700"):
    attend.flash(q, k, v, stream=66, check_indices=False)
with pytest.raises(NotImplementedError, match="flash/cuda/stand_in: softcap is set; not implemented"):
    attend.flash(q, k, v, softcap=1.0)
assert [tuple(a) for a in attend.explain("flash", q, k, v, softcap=1.0)] == [("flash/cuda/stand_in", False, "softcap is set; not implemented")]
with pytest.raises(NotImplementedError, match="vanilla: no cuda kernel of this operator is built"):
    attend.vanilla(q, k, v)
for words in ({}, {"kernel": "flash/cuda/stand_in"}):
    with pytest.raises(ValueError, match="forward_native: q is on cuda, expected native"):
        attend.flash(q, k, v, device="native", **words)
with pytest.raises(ValueError, match="forward_cuda: q is on native, expected cuda"):
    attend.flash(x, x, x, device="cuda")
with pytest.raises(ValueError, match="k is on native:0, expected cuda:0"):
    attend.flash(q, x, v)
with pytest.raises(RuntimeError, match="cuda:1"):
    attend.flash(*(Producer(x, device=(2, 1)) for _ in range(3)))

# rows that may stay untouched are filled on the device; what a library's from_dlpack refuses passes through
filled = attend.flash(q, k, v, seqused_q=Producer(np.zeros(1, "i8"), device=ON_CUDA, code=0, bits=64))
assert filled.device == "cuda:0"
with pytest.raises((BufferError, RuntimeError, ValueError)):
    attend.flash(Namespaced(x, device=ON_CUDA), k, v)
