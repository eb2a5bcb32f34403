"""How arrays come in and go out: by pointer, with any strides, of the caller's kind, and released after the call."""

import array
import gc
import pathlib
import subprocess
import sys
import weakref

import ml_dtypes
import numpy as np
import pytest
from conftest import DTYPES
from dlpack_fake import Namespaced, Producer
from reference import judge

import attend

OPS = [attend.flash, attend.vanilla]


def strided(x, how):
    """The values of x in memory laid out otherwise."""
    if how == "heads first":
        return np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2)
    if how == "fortran":
        return np.asfortranarray(x)
    if how == "reversed":
        return np.ascontiguousarray(x[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1]
    if how == "gaps":
        wide = np.full([2 * n + 1 for n in x.shape], np.nan, x.dtype)
        wide[1::2, 1::2, 1::2, 1::2] = x
        return wide[1::2, 1::2, 1::2, 1::2]
    if how == "read-only":
        x = x.copy()
        x.flags.writeable = False
        return x
    if how == "packed":  # q, k, v as slices of one projection
        wide = np.zeros((*x.shape[:3], 3 * x.shape[3]), x.dtype)
        wide[..., x.shape[3] : 2 * x.shape[3]] = x
        return wide[..., x.shape[3] : 2 * x.shape[3]]
    return np.frombuffer(b"\0" * x.itemsize + x.tobytes(), x.dtype, offset=x.itemsize).reshape(x.shape)  # "odd address"


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("how", ["heads first", "fortran", "reversed", "gaps", "read-only", "packed", "odd address"])
def test_strides(run, make, how, dtype):
    q, k, v = make(2, 19, 37, 4, 2, 40, 24, dtype=dtype)
    result = run(*(strided(x, how) for x in (q, k, v)), causal=True)
    judge(result, q, k, v, causal=True)
    np.testing.assert_array_equal(result.out, run(q, k, v, causal=True).out)


@pytest.mark.parametrize("how", ["heads first", "fortran", "reversed", "gaps", "packed"])
def test_strided_out(run, make, how):
    q, k, v = make(2, 19, 37, 4, 2, 40)
    out = strided(np.full(q.shape, 7, "f4"), how)
    whole = out if out.base is None else out.base
    result = run(q, k, v, out=out)
    assert result.out is out
    np.testing.assert_array_equal(out, run(q, k, v).out)
    if how == "gaps":  # and nothing beside it
        assert np.isnan(whole).sum() == whole.size - out.size


def test_broadcast_inputs(run, make):
    q, k, v = make(1, 9, 13, 1, 1, 16)
    wide = [np.broadcast_to(x, (3, x.shape[1], 4, 16)) for x in (q, k, v)]
    bias, keep = np.broadcast_to(np.float32(0.5), (3, 4, 9, 13)), np.broadcast_to(np.tri(9, 13, dtype=bool), (3, 4, 9, 13))
    result = run(*wide, bias=bias, keep=keep, mask_with_bias="both", q_start=np.broadcast_to(np.int64(4), (3,)))
    judge(result, *wide, bias=bias, keep=keep, mask_with_bias="both")


def test_nothing_is_copied(make):
    """Keys and values of 64 GiB that are one row in truth, and a mask of 1 GiB: only pointers can pass."""
    q, k, v = make(1, 1, 1, 1, 1, 16)
    many = 2**30
    used = dict(seqused_k=[5], seqused_q=[1], causal=True, q_start=[4])
    wide = [np.broadcast_to(x, (1, many, 1, 16)) for x in (k, v)]
    keep = np.broadcast_to(np.True_, (1, 1, 1, many))
    for op in OPS:
        np.testing.assert_allclose(op(q, *wide, keep=keep, **used)[0, 0], v[0, 0], rtol=1e-6)
        assert attend.supports(op.__name__, np.broadcast_to(q, (1, many, 1, 16)), *wide, **used)  # nor made for a question


def test_result_is_written_where_out_is(make):
    q, k, v = make(1, 4, 4, 2, 2, 8)
    memory = np.zeros(3 * q.size, "f4")
    out = memory[q.size : 2 * q.size].reshape(q.shape)
    for op in OPS:
        memory[:] = 0
        assert op(q, k, v, out=out) is out
        np.testing.assert_array_equal(memory[q.size : 2 * q.size].reshape(q.shape), op(q, k, v))
        assert not memory[: q.size].any() and not memory[2 * q.size :].any()


@pytest.mark.parametrize("dtype", DTYPES)
def test_kind_of_results(make, dtype):
    q, k, v = make(1, 3, 4, 2, 2, 8, dtype=dtype)
    for op in OPS:
        result = op(q, k, v, return_lse=True)
        assert type(result.out) is np.ndarray and result.out.dtype == q.dtype and result.out.flags.writeable
        assert type(result.lse) is np.ndarray and result.lse.dtype == np.float32
        assert result.weights is None and result.scores is None and result.kernel.startswith(op.__name__ + "/native/")
        assert type(op(q, k, v)) is np.ndarray
        assert repr(result) == f"Result(out={dtype}[1, 3, 2, 8], lse=float32[1, 2, 3], weights=None, scores=None, kernel='{result.kernel}')"


@pytest.mark.parametrize("kind", ["list", "tuple", "range", "array", "memoryview", "int32", "int64", "reversed", "int subclass"])
def test_index_words(make, kind):  # a list of lists is a matrix: test_paged.py
    q, k, v = make(3, 2, 5, 1, 1, 8)
    values = {
        "list": [1, 2, 3], "tuple": (1, 2, 3), "range": range(1, 4), "array": array.array("i", [1, 2, 3]), "memoryview": memoryview(array.array("q", [1, 2, 3])),
        "int32": np.array([1, 2, 3], "i4"), "int64": np.array([1, 9, 2, 9, 3])[::2], "reversed": np.array([3, 2, 1])[::-1], "int subclass": [np.int8(1), True + 1, np.uint64(3)],
    }[kind]
    for op in OPS:
        judge(op(q, k, v, seqused_k=values, return_lse=True), q, k, v, seqused_k=[1, 2, 3])


@pytest.mark.parametrize("versioned", [True, False])
@pytest.mark.parametrize("row_major", [True, False])
def test_dlpack_producers(make, versioned, row_major):
    q, k, v = make(2, 5, 9, 2, 1, 8)
    kept = Producer(np.asarray(k), versioned=versioned, strides=not row_major, flags=1)  # inputs may be read-only
    offset = Producer(q, versioned=versioned, offset=64)
    for op in OPS:
        out = op(offset, kept, v)
        assert (kept.live, offset.live) == (0, 0)
        assert type(out) is attend.Tensor and out.shape == q.shape and out.dtype == "float32" and out.device == "native:0"
        assert repr(out) == "attend.Tensor(f32[2, 5, 2, 8] on native:0)"
        np.testing.assert_array_equal(np.from_dlpack(out), op(q, k, v))
    assert offset.asked == ({"max_version": (1, 0)} if versioned else {})
    assert kept.exported == len(OPS)


def test_results_of_an_array_library(make):
    q, k, v = make(2, 5, 9, 2, 1, 8)
    result = attend.flash(Namespaced(q), k, v, return_lse=True)
    assert type(result.out) is type(result.lse) is np.ndarray
    np.testing.assert_array_equal(result.out, attend.flash(q, k, v))


def test_filled_results_of_other_producers(make):
    q, k, v = make(2, 5, 9, 2, 1, 8)
    result = attend.flash(Producer(q), k, v, seqused_q=[0, 0], return_lse=True)
    assert not np.from_dlpack(result.out).any() and np.isneginf(np.from_dlpack(result.lse)).all()


def test_tensor_outlives_and_exports_again(make):
    q, k, v = make(1, 5, 9, 2, 1, 8)
    want = attend.flash(q, k, v)
    tensor = attend.flash(Producer(q), k, v)
    tensor.__dlpack__()  # dropped unconsumed
    views = [np.from_dlpack(tensor) for _ in range(3)]
    assert tensor.__dlpack_device__() == (1, 0)
    del tensor
    gc.collect()
    for view in views:
        np.testing.assert_array_equal(view, want)


def test_dlpack_out(make):
    q, k, v = make(1, 5, 9, 2, 1, 8)
    memory = np.zeros_like(q)
    out = Producer(memory)
    assert attend.flash(q, k, v, out=out) is out
    np.testing.assert_array_equal(memory, attend.flash(q, k, v))
    for read_only in (Producer(memory, flags=1), memory[:]):
        if isinstance(read_only, np.ndarray):
            read_only.flags.writeable = False
        with pytest.raises(ValueError, match="flash: out is read-only, expected"):
            attend.flash(q, k, v, out=read_only)


def test_inputs_are_released(make):
    """No reference of an input, an output or a keyword stays behind, after success or refusal."""
    q, k, v = make(1, 5, 9, 2, 1, 8)
    lens = [5]
    for words in (dict(return_lse=True), dict(seqused_k=[99]), dict(unknown=1), dict(keep=[1])):
        out = np.empty_like(q)
        objects = [q, k, v, lens, out]
        before = [sys.getrefcount(x) for x in objects]
        for _ in range(20):
            for op in OPS:
                try:
                    op(q, k, v, out=out, **{"seqused_k": lens, **words})
                except (ValueError, IndexError, TypeError):
                    pass
        assert [sys.getrefcount(x) for x in objects] == before, words
    result = attend.flash(q, k, v, return_lse=True)
    gone = [weakref.ref(result.out), weakref.ref(result.lse)]
    del result
    assert [ref() for ref in gone] == [None, None]


def test_every_operator_releases_what_it_was_given(rng):
    x = lambda *shape: rng.standard_normal(shape).astype("f4")
    calls = [
        (attend.paged, [x(2, 3, 4, 8), x(4, 4, 2, 8), x(4, 4, 2, 8)], dict(block_table=[[0], [2]], context_lens=[4, 1], k_new=x(6, 2, 8), v_new=x(6, 2, 8), slot_mapping=[-1, 4, 5, 6, 12, 13])),
        (attend.decode, [x(2, 1, 4, 8), x(2, 5, 2, 8).astype("i1"), x(2, 5, 2, 8).astype("i1")], dict(start=[0, 1], k_descale=0.5, v_descale=x(2))),
        (attend.gdn, [x(2, 3, 2, 8), x(2, 3, 2, 8), x(2, 3, 4, 8)], dict(g=-abs(x(2, 3, 4)), beta=x(2, 3, 4) ** 2 % 2, state=x(2, 4, 8, 8), in_place=True)),
        (attend.merge, [x(2, 3, 4, 8), x(2, 4, 3), x(2, 3, 4, 8), x(2, 4, 3)], dict(out=x(2, 3, 4, 8))),
        (attend.append, [x(3, 4, 2, 8), x(3, 4, 2, 8), x(2, 2, 8), x(2, 2, 8), [1, 9]], {}),
        (attend.ring, [x(1, 3, 2, 8)] * 3, dict(ring_transport=attend.InProcessRing(1).transport(0))),
    ]  # fmt: skip
    for op, tensors, words in calls:
        objects = [*tensors, *words.values()]
        before = [sys.getrefcount(o) for o in objects if not isinstance(o, (bool, float))]
        for wrong in ({}, dict(kernel="none"), dict(unknown=1)):
            for _ in range(10):
                try:
                    op(*tensors, **{**words, **wrong})
                except (ValueError, TypeError):
                    assert wrong
        assert [sys.getrefcount(o) for o in objects if not isinstance(o, (bool, float))] == before, op


def test_refused_producers_are_released(make):
    q, k, v = make(1, 5, 9, 2, 1, 8)
    bad = Producer(q, code=5, bits=64)
    for _ in range(3):
        with pytest.raises(ValueError):
            attend.flash(q, bad, v)
    assert bad.live == 0 and bad.exported == 3


def test_memory_stays_level(make):
    q, k, v = make(1, 64, 64, 4, 4, 64)
    resident = lambda: int(pathlib.Path("/proc/self/statm").read_text().split()[1])
    for _ in range(50):
        attend.flash(q, k, v, return_lse=True)
    before = resident()
    for _ in range(2000):
        attend.flash(q, k, v, return_lse=True, seqused_k=[64])
    assert resident() - before < 2000 * 64 // 4  # 2000 leaked outputs of 64 KiB would be 32000 pages


def test_pytorch_is_not_imported():
    code = "import numpy as np, attend, sys; x = np.ones((1, 2, 1, 4), 'f4'); attend.flash(x, x, x); sys.exit('torch' in sys.modules or 'ml_dtypes' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code]).returncode == 0


def test_float8_arrays_are_seen(make):
    """No operator here takes them; that it is the operator who says so shows that they came in."""
    q, k, v = make(1, 2, 3, 1, 1, 8)
    for dtype, name in ((ml_dtypes.float8_e4m3fn, "f8_e4m3"), (ml_dtypes.float8_e5m2, "f8_e5m2"), (np.int8, "i8")):
        with pytest.raises(ValueError, match=f"flash: k dtype is {name}, expected f32 like q"):
            attend.flash(q, k.astype(dtype), v)


def test_page_locked_memory_is_the_hosts(make):
    q, k, v = make(1, 3, 8, 2, 2, 16)
    for locked in ((3, 0), (11, 1)):  # kDLCUDAHost, kDLROCMHost
        assert (attend.flash(Producer(q, device=locked), k, v).__dlpack_device__()) == (1, 0)
