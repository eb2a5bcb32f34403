"""Outputs of the kind of q: NumPy for NumPy, PyTorch for PyTorch, else what q's own library makes of DLPack.

PyTorch is never imported here: a caller who has a tensor of it has imported it.
"""

import sys


def _torch_of(like):
    torch = sys.modules.get("torch")
    kind = getattr(torch, "Tensor", None)  # absent while another thread imports it
    return torch if kind is not None and isinstance(like, kind) else None


def _is_numpy(like):
    numpy = sys.modules.get("numpy")
    return numpy is not None and isinstance(like, numpy.ndarray) or not hasattr(like, "__dlpack__")


def make(like, shape, dtype, fill):
    """An array for a kernel to write, on like's device; None if only the library can make it."""
    torch = _torch_of(like)
    if torch is not None:
        options = {"dtype": getattr(torch, dtype), "device": like.device}
        return torch.empty(shape, **options) if fill is None else torch.full(shape, fill, **options)
    if _is_numpy(like):
        import numpy

        kind = like.dtype if dtype == "bfloat16" else dtype  # NumPy itself has no bfloat16
        return numpy.empty(shape, kind) if fill is None else numpy.full(shape, fill, kind)
    return None


def from_bytes(data, dtype, shape):
    """An array of NumPy's from the row-major bytes of an attend.Tensor."""
    import numpy

    if dtype in ("bfloat16", "float8_e4m3fn", "float8_e5m2"):
        import ml_dtypes

        dtype = getattr(ml_dtypes, dtype)
    return numpy.frombuffer(bytearray(data), dtype).reshape(shape)


def finish(like, result):
    """The result as the caller's library has it; attend.Tensor where that library has no from_dlpack."""
    if _torch_of(like) is not None or _is_numpy(like):
        return result
    namespace = like.__array_namespace__() if hasattr(like, "__array_namespace__") else None
    return namespace.from_dlpack(result) if hasattr(namespace, "from_dlpack") else result
