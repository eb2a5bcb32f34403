import os

os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # the references are small; before NumPy is imported
os.environ.setdefault("ATTEND_BACKENDS", "native")  # test_on_device alone is about others, in a process of its own

import ml_dtypes
import numpy as np
import pytest

import attend

DTYPES = {"float32": np.dtype("f4"), "float16": np.dtype("f2"), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


@pytest.fixture
def rng():
    return np.random.default_rng(20240607)


@pytest.fixture
def make(rng):
    """make(batch, seqlen_q, seqlen_k, heads, kv_heads, head_dim, v_dim=None, dtype="float32") -> q, k, v"""

    def qkv(batch, seqlen_q, seqlen_k, heads, kv_heads, head_dim, v_dim=None, dtype="float32"):
        shapes = (batch, seqlen_q, heads, head_dim), (batch, seqlen_k, kv_heads, head_dim), (batch, seqlen_k, kv_heads, v_dim or head_dim)
        return [rng.standard_normal(shape).astype(DTYPES[dtype]) for shape in shapes]

    return qkv


def rows_of(*ops):
    """The rows of these operators that this machine can run."""
    return [row.name for row in attend.kernels() if row.device == "native" and row.op in ops and row.available]


# Operators that take the same dense and ragged calls.
@pytest.fixture(params=rows_of("vanilla", "flash", "splash", "sdpa", "ring"))
def kernel(request):
    """Every row that this machine can run."""
    return request.param


@pytest.fixture
def run(kernel):
    """run(q, k, v, **words): one row of the registry; skipped with the row's own reason where it refuses."""
    op = kernel.split("/")[0]

    def call(q, k, v, **words):
        if op == "sdpa":
            words = {"diagonal": "bottom_right", **words}
        ask = lambda: next((a for a in attend.explain(op, q, k, v, **words) if a.kernel == kernel), None)
        words = {"return_lse": True, "return_kernel": True, **words}
        answer = ask()
        if answer is not None and answer.reason.startswith("lse is asked for"):
            words["return_lse"] = False  # judged by out alone
            answer = ask()
        if answer is None:
            pytest.skip(f"{op} hands this call to another operator")
        if not answer.ok:
            pytest.skip(f"{kernel}: {answer.reason}")
        result = attend.run(op, q, k, v, kernel=kernel, **words)
        assert result.kernel == kernel
        return result

    return call
