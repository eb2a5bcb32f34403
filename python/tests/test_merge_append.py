"""Joining partial results by their lse; storing rows in pages, in place and of every element type."""

from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from conftest import DTYPES, rows_of
from dlpack_fake import Producer
from pages import CACHE_DTYPES, F8
from reference import attention, judge

import attend

# ---------------------------------------------------------------------------------------------------- merge


@pytest.fixture(params=rows_of("merge"))
def merge(request):
    """merge(out_a, lse_a, out_b, lse_b, **words) by every row that this machine can run."""
    return lambda *parts, **words: attend.merge(*parts, kernel=request.param, **words)


def joined(out_a, lse_a, out_b, lse_b):
    """In float64; lse is [.., heads, rows] and out [.., rows, heads, dim]."""
    a, b = (np.asarray(x, "f8") for x in (lse_a, lse_b))
    with np.errstate(invalid="ignore"):
        lse = np.logaddexp(a, b)
    weigh = lambda x: np.where(np.isneginf(x), 0, np.exp(x - np.where(np.isneginf(lse), 0, lse))).swapaxes(-1, -2)[..., None]
    pick = lambda w, x: np.where(w == 0, 0, w * np.where(w == 0, 0, np.asarray(x, "f8")))
    return pick(weigh(a), out_a) + pick(weigh(b), out_b), lse


@pytest.mark.parametrize("dtype", DTYPES)
def test_merge(merge, rng, dtype):
    shape = (3, 17, 4, 40)
    a, b = (rng.standard_normal(shape).astype(DTYPES[dtype]) for _ in range(2))
    lse_a, lse_b = (rng.uniform(-30, 30, (3, 4, 17)).astype("f4") for _ in range(2))
    lse_a[0, :, 3], lse_b[0, :, 4], lse_a[0, :, 5], lse_b[0, :, 5] = [-np.inf] * 4
    a[0, 3], b[0, 4] = np.nan, np.inf  # an empty part contributes nothing, whatever stands there
    out, lse = result = merge(a, lse_a, b, lse_b)
    gold, gold_lse = joined(a, lse_a, b, lse_b)
    u = {"float32": 2.0**-22, "float16": 2.0**-11, "bfloat16": 2.0**-8}[dtype]
    assert out.dtype == a.dtype and lse.dtype == np.float32 and result.kernel.startswith("merge/native/")
    assert result.out is out and result.lse is lse and repr(result).startswith(f"MergeResult(out={dtype}[3, 17, 4, 40], lse=float32[3, 4, 17]")
    np.testing.assert_array_equal(np.isneginf(lse), np.isneginf(gold_lse))
    np.testing.assert_allclose(lse, gold_lse, atol=1e-5, rtol=1e-6)
    np.testing.assert_allclose(out.astype("f8"), gold, atol=u * 4, rtol=u)
    assert not out[0, 5].any() and np.isneginf(lse[0, :, 5]).all()


def test_merge_joins_attention_over_two_halves(merge, make):
    q, k, v = make(2, 9, 50, 4, 2, 32)
    for op in (attend.flash, attend.vanilla):
        parts = [op(q, k[:, s], v[:, s], return_lse=True)[:2] for s in (slice(0, 31), slice(31, 50))]
        out, lse = merge(*parts[0], *parts[1])
        judge(SimpleNamespace(out=out, lse=lse), q, k, v, factor=4)


def test_merge_ragged_strided_and_in_place(merge, rng):
    a, b = (rng.standard_normal((11, 2, 24)).astype("f4") for _ in range(2))
    lse_a, lse_b = (rng.standard_normal((2, 11)).astype("f4") for _ in range(2))
    want = merge(a, lse_a, b, lse_b)
    np.testing.assert_allclose(want[0], joined(a, lse_a, b, lse_b)[0], atol=1e-6)
    flip = lambda x: np.ascontiguousarray(x[::-1])[::-1]
    frozen = flip(b)
    frozen.flags.writeable = False
    other = merge(np.asfortranarray(a), flip(lse_a), frozen, np.asfortranarray(lse_b))
    for x, y in zip(want, other):
        np.testing.assert_array_equal(x, y)
    for which in range(2):  # over the first part, over the second
        parts = [a.copy(), lse_a.copy(), b.copy(), lse_b.copy()]
        out, lse = merge(*parts, out=parts[2 * which], lse=parts[2 * which + 1])
        assert out is parts[2 * which] and lse is parts[2 * which + 1]
        np.testing.assert_array_equal(out, want[0])
        np.testing.assert_array_equal(lse, want[1])
    assert merge(a.astype("f2"), lse_a, b.astype("f2"), lse_b, out_dtype="float32").out.dtype == np.float32
    assert [x.shape for x in merge(a[:0], lse_a[:, :0], b[:0], lse_b[:, :0])] == [(0, 2, 24), (2, 0)]


def test_merge_oracle(merge):
    """O12 of the operator study."""
    f = lambda *x: np.array(x, "f4").reshape(1, 1, 1, -1)
    lse = lambda x: np.full((1, 1, 1), x, "f4")
    out, total = merge(f(0.531609, 0.326137), lse(1.314241), f(-0.163368, 0.376256), lse(0.640849))
    np.testing.assert_allclose(out.ravel(), [0.296889, 0.343064], atol=2e-6)
    np.testing.assert_allclose(total.ravel(), 1.726334, atol=2e-6)


A, L = np.zeros((2, 3, 4, 8), "f4"), np.zeros((2, 4, 3), "f4")


@pytest.mark.parametrize(
    "kind, message, said",
    [
        (ValueError, "merge: out_a rank is 2, expected 4", dict(out_a=A[0, 0])),
        (ValueError, "merge: out_b dim 1 is 2, expected 3", dict(out_b=A[:, :2])),
        (ValueError, "merge: lse_b dim 2 is 2, expected 3", dict(lse_b=L[..., :2])),
        (ValueError, "merge: lse_a dtype is f16, expected f32", dict(lse_a=L.astype("f2"))),
        (ValueError, "merge: out_a dtype is i8, expected f32 or f16 or bf16", dict(out_a=A.astype("i1"))),
        (ValueError, "merge: out is read-only", dict(out=np.broadcast_to(np.float32(0), A.shape))),
        (ValueError, "out_dtype is f16 and out is f32", dict(out=A.copy(), out_dtype="float16")),
        (ValueError, "merge: kernel is 'none', expected one of merge/native", dict(kernel="none")),
        (NotImplementedError, "merge: causal is given, expected it only with the attention operators", dict(causal=True)),
        (NotImplementedError, "merge: return_lse is given", dict(return_lse=True)),
        (TypeError, "merge: lse_b is of type NoneType", dict(lse_b=None)),
        (TypeError, r"merge\(\) got an unexpected keyword argument 'base'", dict(base=2)),
    ],
)
def test_merge_refusals(kind, message, said):
    words = {"out_a": A, "lse_a": L, "out_b": A, "lse_b": L, **said}
    with pytest.raises(kind, match=message):
        attend.merge(**words)


def test_merge_overlap():
    memory = np.zeros(2 * A.size, "f4")
    a, shifted = memory[: A.size].reshape(A.shape), memory[8 : 8 + A.size].reshape(A.shape)
    with pytest.raises(ValueError, match="merge: out memory overlaps out_a"):
        attend.merge(a, L, A, L, out=shifted)
    answers = attend.explain("merge", A, L, A, L)
    assert [a.kernel for a in answers] == rows_of("merge") and attend.supports("merge", A, L, A, L)


# --------------------------------------------------------------------------------------------------- append


@pytest.fixture(params=rows_of("append"))
def append(request):
    """append(k, v, k_new, v_new, slot_mapping, **words) by every row that this machine can run."""
    return lambda *tensors, **words: attend.append(*tensors, kernel=request.param, **words)


def stored(x, dtype, descale=None):
    """What append writes for the values x [tokens, kv_heads, dim]."""
    dtype = np.dtype(dtype)
    if dtype.itemsize > 1:
        return x.astype(dtype)
    d = np.float32(1.0) if descale is None else np.asarray(descale, "f4").reshape(-1, 1)
    with np.errstate(invalid="ignore"):
        x = x.astype("f4") / d
    if dtype == np.int8:
        return np.clip(np.rint(np.nan_to_num(x, nan=0)), -128, 127).astype("i1")
    most = np.float32(ml_dtypes.finfo(dtype).max)
    return np.where(np.isnan(x), x, np.clip(x, -most, most)).astype(dtype)


@pytest.mark.parametrize("cache", CACHE_DTYPES)
@pytest.mark.parametrize("new", DTYPES)
@pytest.mark.parametrize("scales", ["none", "number", "heads"])
def test_append(append, rng, cache, new, scales):
    """Bits of the same type, nearest even into others, saturation into 8 bits; nothing else is touched."""
    dtype, quantised = CACHE_DTYPES[cache], CACHE_DTYPES[cache].itemsize == 1
    scale = {"none": None, "number": 0.25, "heads": np.array([0.5, 0.125, 2], "f4")}[scales] if quantised else None
    k, v = np.zeros((5, 4, 3, 24), dtype), np.zeros((5, 4, 3, 16), dtype)
    for x in (k, v):
        x.view("u1")[:] = 85
    tokens = 9
    wide = lambda dim: (rng.standard_normal((tokens, 3, dim)) * rng.choice([1e-3, 1, 30, 1e4], (tokens, 1, 1))).astype(DTYPES[new])
    k_new, v_new = wide(24), wide(16)
    slots = rng.choice(20, tokens, replace=False)
    slots[[2, 5]] = [-1, -100]
    want = [x.copy() for x in (k, v)]
    for x, rows in zip(want, (k_new, v_new)):
        x.reshape(20, 3, -1)[slots[slots >= 0]] = stored(rows, dtype, scale)[slots >= 0]
    words = dict(k_descale=scale, v_descale=scale) if scale is not None else {}
    assert append(k, v, k_new, v_new, slots.astype("i4"), **words) is None
    assert k.tobytes() == want[0].tobytes() and v.tobytes() == want[1].tobytes()
    if cache in F8:  # the same through bytes that are told
        again = [np.full(x.shape, 85, "u1") for x in (k, v)]
        append(*again, k_new, v_new, slots, kv_dtype=cache, **words)
        assert again[0].tobytes() == want[0].tobytes() and again[1].tobytes() == want[1].tobytes()


def test_append_keeps_bits(append):
    """NaN payloads, signed zeros and subnormals pass through the same type."""
    for bits, dtype in (("u2", "f2"), ("u2", ml_dtypes.bfloat16)):
        rows = np.arange(65536, dtype=bits).reshape(1024, 1, 64).view(dtype)
        k, v = np.zeros((16, 64, 1, 64), dtype), np.zeros((16, 64, 1, 64), dtype)
        append(k, v, rows, rows[::-1], np.arange(1024)[::-1])
        np.testing.assert_array_equal(k.reshape(1024, 64).view(bits), rows[::-1, 0].view(bits))
        np.testing.assert_array_equal(v.reshape(1024, 64).view(bits), rows[:, 0].view(bits))


@pytest.mark.parametrize("name", F8)
def test_append_rounds_every_half_precision_value(append, name):
    """All of float16 into an 8-bit float, against ml_dtypes."""
    rows = np.arange(65536, dtype="u2").view("f2").reshape(1024, 1, 64)
    k, v = (np.zeros((16, 64, 1, 64), F8[name]) for _ in range(2))
    append(k, v, rows, rows, range(1024))
    want = stored(rows, F8[name])
    nan = np.isnan(want.astype("f4"))[:, 0]
    got = k.reshape(1024, 64)
    np.testing.assert_array_equal(np.isnan(got.astype("f4")), nan)
    np.testing.assert_array_equal(got.view("u1")[~nan], want[:, 0].view("u1")[~nan])


def test_append_in_place_through_strides(append, rng):
    """Views of a pool are written where they lie; what lies between stays."""
    pool = np.full((6, 2, 3, 8, 20), 7, "f4")  # [pages, k or v, kv_heads, page_size, dim]
    k, v = pool[::-1, 0, :, ::2, 2:18].swapaxes(1, 2), pool[::-1, 1, :, ::2, 18:2:-1].swapaxes(1, 2)
    rows = [np.asfortranarray(rng.standard_normal((4, 3, 16)).astype("f4")) for _ in range(2)]
    slots = np.array([0, 23, 5, -1])
    want = pool.copy()
    for x, new in zip((want[::-1, 0, :, ::2, 2:18].swapaxes(1, 2), want[::-1, 1, :, ::2, 18:2:-1].swapaxes(1, 2)), rows):
        for token, slot in enumerate(slots[:3]):
            x[slot // 4, slot % 4] = new[token]
    append(k, v, *rows, slots)
    np.testing.assert_array_equal(pool, want)


def test_append_through_other_producers(append):
    k, v, rows = np.zeros((2, 4, 1, 8), "f4"), np.zeros((2, 4, 1, 8), "f4"), np.ones((1, 1, 8), "f4")
    append(Producer(k), memoryview(v), Producer(rows, flags=1), rows, [5])
    assert (k[1, 1] == 1).all() and k.sum() == 8 and (v == k).all()
    with pytest.raises(ValueError, match="append: k is read-only, expected"):
        attend.append(Producer(k, flags=1), v, rows, rows, [5])
    with pytest.raises(ValueError, match="append: v was copied by its library on export, expected"):
        attend.append(k, Producer(v, flags=2), rows, rows, [5])
    with pytest.raises(ValueError, match="paged: k was copied by its library"):
        attend.paged(np.ones((1, 1, 1, 8), "f4"), Producer(k, flags=2), v, block_table=[[0]], context_lens=[1], k_new=rows, v_new=rows, slot_mapping=[1])
    assert k.sum() == 8
    assert attend.append(k, v, rows[:0], rows[:0], [], return_kernel=True).startswith("append/native/")


POOL, ROWS = np.zeros((3, 4, 2, 8), "f4"), np.zeros((5, 2, 8), "f4")


@pytest.mark.parametrize(
    "kind, message, said",
    [
        (ValueError, "append: k is read-only", dict(k=np.broadcast_to(np.float32(0), POOL.shape))),
        (ValueError, "append: v rank is 3, expected 4", dict(v=POOL[0].copy())),
        (ValueError, "append: v dim 1 is 3, expected 4", dict(v=POOL[:, :3].copy())),
        (ValueError, "append: k_new dim 1 is 1, expected 2", dict(k_new=ROWS[:, :1])),
        (ValueError, "append: v_new dim 0 is 4, expected 5", dict(v_new=ROWS[:4])),
        (ValueError, "append: k_new dtype is i8", dict(k_new=ROWS.astype("i1"))),
        (ValueError, "append: k dtype is uint8, expected .*kv_dtype=", dict(k=POOL.astype("u1"))),
        (ValueError, "append: slot_mapping dim 0 is 4, expected 5", dict(slot_mapping=range(4))),
        (ValueError, "append: slot_mapping is absent", dict(slot_mapping=None)),
        (IndexError, r"append: slot_mapping\[2\] is 12, expected below 12", dict(slot_mapping=[0, 1, 12, 3, 4])),
        (ValueError, r"append: slot_mapping\[4\] is 3, expected a slot of its own", dict(slot_mapping=[0, 3, -1, -1, 3])),
        (ValueError, "append: k_descale is given for a cache of f32", dict(k_descale=0.5)),
        (NotImplementedError, "append: return_lse is given", dict(return_lse=True)),
        (NotImplementedError, "append: out_dtype is given", dict(out_dtype="float32")),
        (NotImplementedError, "append: out is given", dict(out=POOL.copy())),
        (NotImplementedError, "append: q is given", dict(q=ROWS)),
        (NotImplementedError, "append: causal is given", dict(causal=True)),
        (NotImplementedError, "append: block_table is given", dict(block_table=[[0]])),
        (NotImplementedError, "append: state is given, expected it only with gdn", dict(state=POOL)),
        (TypeError, r"append\(\) got an unexpected keyword argument 'slots'", dict(slots=[0])),
        (TypeError, r"append: k is of type list", dict(k=POOL.tolist())),
    ],
)
def test_append_refusals(kind, message, said):
    words = {"k": POOL.copy(), "v": POOL.copy(), "k_new": ROWS + 1, "v_new": ROWS + 1, "slot_mapping": range(5), **said}
    with pytest.raises(kind, match=message):
        attend.append(**words)
    for name in ("k", "v"):
        assert isinstance(words[name], list) or not np.asarray(words[name]).astype("f4").any()


def test_append_overlap():
    k = POOL.copy()
    with pytest.raises(ValueError, match="append: (k|v) memory overlaps"):
        attend.append(k, k, ROWS, ROWS.copy(), range(5))
    with pytest.raises(ValueError, match="append: k memory overlaps k_new"):
        attend.append(k, POOL.copy(), k.reshape(12, 2, 8)[:5], ROWS, range(5))


def test_append_of_values_that_are_the_first_of_the_keys(append, rng):
    """MLA: one pool, v a view of k and v_new of k_new."""
    pool, rows = np.zeros((2, 4, 1, 24), "f4"), rng.standard_normal((3, 1, 24)).astype("f4")
    append(pool, pool[..., :16], rows, rows[..., :16], [6, -1, 0])
    np.testing.assert_array_equal(pool.reshape(8, 24)[[6, 0]], rows[[0, 2], 0])
    assert np.count_nonzero(pool.any(axis=-1)) == 2


def test_appended_rows_are_found(append, rng):
    """append, then paged, is attention over all rows."""
    rows, page_size = 23, 4
    k, v = (np.full((8, page_size, 2, 16), np.nan, "f4") for _ in range(2))
    table = rng.permutation(8)[:6]
    all_k, all_v = (rng.standard_normal((rows, 2, 16)).astype("f4") for _ in range(2))
    slots = table[np.arange(rows) // page_size] * page_size + np.arange(rows) % page_size
    for part in (slice(0, 9), slice(9, 10), slice(10, rows)):
        append(k, v, all_k[part], all_v[part], slots[part])
    q = rng.standard_normal((1, 3, 4, 16)).astype("f4")
    result = attend.paged(q, k, v, block_table=table[None], seqused_k=[rows], causal=True, return_lse=True)
    judge(result, q, all_k[None], all_v[None], causal=True)
    gold = attention(q, all_k[None], all_v[None], causal=True)
    np.testing.assert_allclose(result.out, gold.out, atol=2e-6)
