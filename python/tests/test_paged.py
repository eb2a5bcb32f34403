"""Attention behind a page table: both forms of the table, lengths, new rows, 8-bit caches, masks, refusals."""

from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from conftest import DTYPES, rows_of
from pages import CACHE_DTYPES, F8, Pages, dequantised
from reference import judge, of_request

import attend


@pytest.fixture(params=rows_of("paged"))
def kernel(request):
    """Every row of paged that this machine can run."""
    return request.param


@pytest.fixture
def run(kernel):
    def call(q, k, v, **words):
        answer = next(a for a in attend.explain("paged", q, k, v, **words) if a.kernel == kernel)
        if not answer.ok:
            pytest.skip(f"{kernel}: {answer.reason}")
        return attend.paged(q, k, v, kernel=kernel, return_lse=True, **words)

    return call


def check(result, q, pages, rows, keys, own=None, k_descale=None, v_descale=None, **words):
    """Holds request by request: rows[b] rows of q, keys[b] keys in the pages, own[b] new rows (k, v) behind them."""
    ragged, at = q.ndim == 3, 0
    for b, (n, length) in enumerate(zip(rows, keys)):
        q1 = (q[at : at + n] if ragged else q[b, :n])[None]
        out = (result.out[at : at + n] if ragged else result.out[b, :n])[None]
        lse = (result.lse[:, at : at + n] if ragged else result.lse[b, :, :n])[None]
        k1, v1 = (dequantised(x, d, b) for x, d in zip(pages.gathered(b, length), (k_descale, v_descale)))
        if own is not None:
            k1, v1 = (np.concatenate([x, new[b][None].astype("f8")], 1) for x, new in zip((k1, v1), own))
        total = k1.shape[1]
        said = of_request(words, b, n, total, at)
        factor = 4 if pages.k.dtype.itemsize == 1 or pages.v.dtype.itemsize == 1 else None
        judge(SimpleNamespace(out=out, lse=lse), q1, k1, v1, factor=factor, **said)
        at += n if ragged else 0


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("page_size", [1, 3, 16, 64])
def test_mixed_batch(run, rng, dtype, page_size):
    """Prefill, extend and decode in one ragged call, one request without rows and one without keys."""
    rows, keys = [7, 1, 0, 19, 1, 2], [7, 40, 9, 50, 65, 0]
    pages = Pages(rng, keys, page_size, 2, 32, 24, dtype=DTYPES[dtype])
    q = rng.standard_normal((sum(rows), 4, 32)).astype(DTYPES[dtype])
    cu = np.cumsum([0] + rows)
    for words in (dict(causal=True), dict(), dict(window=(5, 0)), dict(causal=True, sinks=rng.random(4, "f4"), softcap=3.0)):
        result = run(q, pages.k, pages.v, cu_seqlens_q=cu, block_table=pages.block_table, seqused_k=keys, **words)
        check(result, q, pages, rows, keys, **words)
        same = run(q, pages.k, pages.v, cu_seqlens_q=cu, **pages.csr(), **words)
        np.testing.assert_array_equal(same.out, result.out)
        np.testing.assert_array_equal(same.lse, result.lse)


@pytest.mark.parametrize("how", ["seqused_k", "cu_seqlens_k", "context_lens", "csr", "lists"])
def test_every_word_that_tells_the_keys(run, rng, how):
    keys = [5, 33, 18]
    pages = Pages(rng, keys, 8, 2, 16)
    q = rng.standard_normal((3, 4, 6, 16)).astype("f4")
    table = dict(block_table=pages.block_table)
    words = {
        "seqused_k": dict(seqused_k=np.array(keys, "i4"), **table),
        "cu_seqlens_k": dict(cu_seqlens_k=np.cumsum([0] + keys), **table),
        "context_lens": dict(context_lens=[n - 4 for n in keys], **table),
        "csr": pages.csr(),
        "lists": dict(seqused_k=keys, block_table=pages.block_table.tolist()),
    }[how]
    check(run(q, pages.k, pages.v, causal=True, **words), q, pages, [4] * 3, keys, causal=True)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("stores", ["all", "some", "none"])
def test_own_rows(run, rng, dtype, dense, stores):
    """New rows are read from k_new and stored where their slot says, before attention and nowhere else."""
    dt, rows, context = DTYPES[dtype], [3, 3, 3] if dense else [5, 1, 9], [0, 13, 30]
    pages = Pages(rng, context, 4, 2, 16, dtype=dt, spare=9)
    tokens = sum(rows)
    k_new, v_new = (rng.standard_normal((tokens, 2, 16)).astype(dt) for _ in range(2))
    q = rng.standard_normal((tokens, 4, 16)).astype(dt)
    cu = np.cumsum([0] + rows)
    own = [[x[cu[b] : cu[b + 1]] for b in range(3)] for x in (k_new, v_new)]
    slots = rng.choice(np.concatenate([p * 4 + np.arange(4) for p in pages.free]), tokens, replace=False)
    if stores == "some":
        slots[::2] = -1
    said = dict(context_lens=context, block_table=pages.block_table, k_new=k_new, v_new=v_new, causal=True)
    if stores != "none":
        said["slot_mapping"] = slots
    want_k, want_v = pages.k.copy(), pages.v.copy()
    if stores != "none":
        for pool, new in ((want_k, k_new), (want_v, v_new)):
            pool.reshape(-1, 2, 16)[slots[slots >= 0]] = new[slots >= 0]
    else:
        pages.k.flags.writeable = pages.v.flags.writeable = False
    if dense:
        for four_dims in (False, True):
            if four_dims:
                said["k_new"], said["v_new"] = (x.reshape(3, 3, 2, 16) for x in (k_new, v_new))
            q4 = q.reshape(3, 3, 4, 16)
            check(run(q4, pages.k, pages.v, **said), q4, pages, rows, context, own, causal=True)
    else:
        check(run(q, pages.k, pages.v, cu_seqlens_q=cu, **said), q, pages, rows, context, own, causal=True)
    for pool, want in ((pages.k, want_k), (pages.v, want_v)):
        assert pool.tobytes() == want.tobytes()


@pytest.mark.parametrize("dtypes", [("f8_e4m3",) * 2, ("f8_e5m2",) * 2, ("i8",) * 2, ("f8_e4m3", "i8"), ("bfloat16", "f8_e5m2"), ("float16", "float32")], ids=str)
@pytest.mark.parametrize("scales", ["none", "number", "one", "heads", "batch"])
def test_cache_dtypes(run, rng, dtypes, scales):
    dk, dv = (CACHE_DTYPES[d] for d in dtypes)
    keys, rows = [37, 5, 64], [4, 1, 9]
    pages = Pages(rng, keys, 8, 2, 32, dtype=dk, v_dtype=dv)
    q = rng.standard_normal((sum(rows), 4, 32)).astype("f4")
    scale = {
        "none": None, "number": 0.03, "one": np.array([0.03], "f4"),
        "heads": np.array([0.02, 0.05], "f4"), "batch": rng.uniform(0.01, 0.05, (3, 2)).astype("f4"),
    }[scales]  # fmt: skip
    if scale is None and dk == np.int8:
        scale = 0.02  # int8 as it is would only ever see one key
    exact = np.float32(scale) if isinstance(scale, float) else scale
    words = {name: scale for name, d in (("k_descale", dk), ("v_descale", dv)) if d.itemsize == 1 and scale is not None}
    result = run(q, pages.k, pages.v, cu_seqlens_q=np.cumsum([0] + rows), block_table=pages.block_table, seqused_k=keys, causal=True, **words)
    check(result, q, pages, rows, keys, causal=True, **{name: exact for name in words})


@pytest.mark.parametrize("name", F8)
def test_bytes_with_a_dtype_word(run, rng, name):
    keys = [9, 30]
    pages = Pages(rng, keys, 4, 1, 16, dtype=F8[name])
    q = rng.standard_normal((2, 1, 3, 16)).astype("f4")
    said = dict(block_table=pages.block_table, seqused_k=keys)
    want = run(q, pages.k, pages.v, **said)
    for spelled in (name, F8[name], F8[name].type, F8[name].name, (name, name), [F8[name], None]):
        k, v = pages.k.view("u1"), pages.v.view("u1")
        v = pages.v if isinstance(spelled, list) else v
        np.testing.assert_array_equal(run(q, k, v, kv_dtype=spelled, **said).out, want.out)
    np.testing.assert_array_equal(run(q, pages.k, pages.v, kv_dtype=name, **said).out, want.out)  # said though known


def test_own_rows_in_an_8_bit_cache(run, rng):
    """Own rows are attended as they are and stored as append stores them."""
    context = [6, 11]
    pages = Pages(rng, context, 4, 2, 16, dtype=F8["f8_e4m3"], spare=4)
    k_new, v_new = (rng.standard_normal((2, 2, 16)).astype("f4") for _ in range(2))
    q = rng.standard_normal((2, 1, 4, 16)).astype("f4")
    scales = dict(k_descale=np.array([0.5, 0.25], "f4"), v_descale=0.125)
    slots = pages.free[:2].astype("i8") * 4 + [3, 0]
    own = [[x[b : b + 1] for b in range(2)] for x in (k_new, v_new)]
    result = run(q, pages.k, pages.v, block_table=pages.block_table, context_lens=context, k_new=k_new, v_new=v_new, slot_mapping=slots, **scales)
    check(result, q, pages, [1, 1], context, own, **scales)
    stored = pages.k.reshape(-1, 2, 16)[slots]
    np.testing.assert_array_equal(stored.view("u1"), (k_new / scales["k_descale"][:, None]).astype(F8["f8_e4m3"]).view("u1"))
    stored = pages.v.reshape(-1, 2, 16)[slots]
    np.testing.assert_array_equal(stored.view("u1"), (v_new / np.float32(0.125)).astype(F8["f8_e4m3"]).view("u1"))


def test_block_diffusion(run, rng):
    """Blocks open to themselves behind committed keys, a prefix that is seen both ways, a hole."""
    rows, keys = [8, 12, 4, 16], [8, 40, 23, 16]
    pages = Pages(rng, keys, 4, 2, 32)
    q = rng.standard_normal((sum(rows), 4, 32)).astype("f4")
    for words in (
        dict(block_size=4),
        dict(block_size=4, block_origin=[0, 2, 3, 5], prefix_lens=[0, 30, 0, 7]),
        dict(block_size=8, q_start=[0, 20, 19, -4]),
        dict(block_size=4, hole_starts=[0, 3, 5, 2], hole_ends=[0, 17, 22, 9]),
        dict(block_size=8, window=(12, -1)),
    ):
        result = run(q, pages.k, pages.v, cu_seqlens_q=np.cumsum([0] + rows), block_table=pages.block_table, seqused_k=keys, **words)
        check(result, q, pages, rows, keys, **words)


def random_call(seed):
    """One call drawn at random from everything that paged takes."""
    rng = np.random.default_rng(seed)
    batch, heads = int(rng.integers(1, 5)), int(rng.choice([1, 2, 6, 8]))
    kv_heads = int(rng.choice([h for h in (1, 2, 3, 8) if heads % h == 0]))
    head_dim, v_dim = (int(rng.choice([1, 8, 20, 64, 80, 128])) for _ in range(2))
    dtype = DTYPES[str(rng.choice(list(DTYPES)))]
    page_size = int(rng.choice([1, 2, 5, 16, 32]))
    keys = [int(n) for n in rng.integers(0, 150, batch)]
    rows = [int(rng.choice([0, 1, 2, 9, 40])) for _ in range(batch)]
    pages = Pages(rng, keys, page_size, kv_heads, head_dim, v_dim, dtype=dtype)
    q = rng.standard_normal((sum(rows), heads, head_dim)).astype(dtype)
    words = {}
    if rng.random() < 0.5:
        words["causal"] = True
    elif rng.random() < 0.5:
        words["block_size"] = int(rng.integers(1, 12))
    if rng.random() < 0.3:
        words["window"] = (int(rng.integers(-1, 40)), int(rng.integers(-1, 40)))
    if rng.random() < 0.2:
        words["q_start"] = rng.integers(-20, 150, batch)
    if rng.random() < 0.2:
        words["hole_starts"] = rng.integers(0, 60, batch)
        words["hole_ends"] = words["hole_starts"] + rng.integers(0, 60, batch)
    if rng.random() < 0.3:
        words["softmax_scale"] = float(rng.uniform(-0.5, 0.5))
    if rng.random() < 0.3:
        words["softcap"] = float(rng.uniform(1, 5))
    if rng.random() < 0.3:
        words["sinks"] = rng.standard_normal((heads, 2)).astype("f4")
    if rng.random() < 0.3:
        words["alibi_slopes"] = rng.random((batch, heads), "f4")
    if (words.get("causal") or "block_size" in words) and rng.random() < 0.3:
        words["prefix_lens"] = rng.integers(0, 100, batch)
    return q, pages, rows, keys, words


@pytest.mark.parametrize("seed", range(60))
def test_random(run, seed):
    q, pages, rows, keys, words = random_call(seed)
    result = run(q, pages.k, pages.v, cu_seqlens_q=np.cumsum([0] + rows), block_table=pages.block_table, seqused_k=keys, **words)
    check(result, q, pages, rows, keys, **words)


@pytest.mark.parametrize("seed", range(60, 80))
def test_paged_equals_gathered_bit_for_bit(kernel, seed):
    """Contract 7, within one implementation: the rows that carry the same name behind the operator's."""
    q, pages, rows, keys, words = random_call(seed)
    twin = kernel.replace("paged/", "flash/")
    if twin not in rows_of("flash"):
        pytest.skip(f"there is no {twin}")
    said = dict(cu_seqlens_q=np.cumsum([0] + rows), return_lse=True, **words)
    flat = [np.concatenate(x) for x in zip(*((k[0], v[0]) for k, v in (pages.gathered(b) for b in range(len(keys)))))]
    paged = dict(block_table=pages.block_table, seqused_k=keys)
    if not all(next(a.ok for a in attend.explain(name.split("/")[0], q, *kv, **said, **extra) if a.kernel == name)
               for name, kv, extra in ((kernel, (pages.k, pages.v), paged), (twin, flat, dict(cu_seqlens_k=np.cumsum([0] + keys))))):  # fmt: skip
        pytest.skip("one of the two refuses the call")
    ours = attend.paged(q, pages.k, pages.v, kernel=kernel, **paged, **said)
    theirs = attend.flash(q, *flat, kernel=twin, cu_seqlens_k=np.cumsum([0] + keys), **said)
    assert ours.out.tobytes() == theirs.out.tobytes() and ours.lse.tobytes() == theirs.lse.tobytes()


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_the_batch(run, rng, dtype):
    keys, rows = [3000, 1, 1025, 70], [1, 1, 3, 20]
    pages = Pages(rng, keys, 16, 2, 32, dtype=DTYPES[dtype])
    q = rng.standard_normal((sum(rows), 4, 32)).astype(DTYPES[dtype])
    cu = np.cumsum([0] + rows)
    whole = run(q, pages.k, pages.v, cu_seqlens_q=cu, block_table=pages.block_table, seqused_k=keys, causal=True)
    check(whole, q, pages, rows, keys, causal=True)
    for b in range(4):
        table = pages.block_table[b : b + 1, : -(-keys[b] // 16)]
        one = run(q[cu[b] : cu[b + 1]], pages.k, pages.v, cu_seqlens_q=[0, rows[b]], block_table=table, seqused_k=keys[b : b + 1], causal=True)
        assert one.out.tobytes() == whole.out[cu[b] : cu[b + 1]].tobytes()


def test_strides(run, rng):
    """Heads before rows inside a page, reversed, with gaps, read-only; the table as a slice."""
    keys = [21, 40]
    pages = Pages(rng, keys, 8, 2, 24)
    q = rng.standard_normal((2, 3, 4, 24)).astype("f4")
    want = run(q, pages.k, pages.v, block_table=pages.block_table, seqused_k=keys)
    check(want, q, pages, [3, 3], keys)
    hnd = [np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2) for x in (pages.k, pages.v)]
    backward = [np.ascontiguousarray(x[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1] for x in (pages.k, pages.v)]
    both = np.stack([pages.k, pages.v], 1)  # [pages, 2, page_size, ...]
    wide = np.full((2, 2 * pages.block_table.shape[1]), -9, "i8")
    wide[:, ::2] = pages.block_table
    for x in (*hnd, *backward):
        x.flags.writeable = False
    for k, v in (hnd, backward, (both[:, 0], both[:, 1])):
        for out in (None, np.full((2, 4, 3, 24), 7, "f4").swapaxes(1, 2)):
            np.testing.assert_array_equal(run(q, k, v, block_table=wide[:, ::2], seqused_k=keys, out=out).out, want.out)


def test_wide_heads(run, rng):
    """576 with 512, the values being the first of the keys; and 512."""
    keys = [70, 3]
    pages = Pages(rng, keys, 16, 1, 576, 1)
    pages.v = pages.k[..., :512]
    q = rng.standard_normal((2, 2, 4, 576)).astype("f4")
    check(run(q, pages.k, pages.v, block_table=pages.block_table, seqused_k=keys, causal=True), q, pages, [2, 2], keys, causal=True)


def test_oracle_of_a_small_case(run):
    """O11 of the operator study: pages of two, table [3, 1, 4], five keys."""
    fill = lambda shape, phase: np.sin(0.7 * np.arange(np.prod(shape)) + phase).reshape(shape).astype("f4")
    k, v = np.full((5, 2, 1, 2), 777, "f4"), np.full((5, 2, 1, 2), 777, "f4")
    for pool, phase in ((k, 0.5), (v, 0.9)):
        pool.reshape(10, 1, 2)[[6, 7, 2, 3, 8]] = fill((5, 1, 2), phase)
    said = dict(block_table=[[3, 1, 4]], seqused_k=[5])
    one = run(fill((1, 1, 2, 2), 0.1), k, v, **said)
    np.testing.assert_allclose(one.out.ravel(), [0.296889, 0.343064, 0.491114, 0.421927], atol=2e-6)
    two = run(fill((1, 2, 2, 2), 0.1), k, v, causal=True, **said)
    np.testing.assert_allclose(two.out.ravel(), [0.320724, 0.211719, 0.545637, 0.348489, -0.018424, -0.012858, -0.481701, -0.327325], atol=2e-6)
    window = run(fill((1, 2, 2, 2), 0.1), k, v, causal=True, window_left=1, **said)
    np.testing.assert_allclose(window.out.ravel(), [-0.721141, -0.716323, -0.669864, -0.779387, -0.428553, 0.083799, -0.698083, -0.213450], atol=2e-6)


def test_empty(run):
    pages, q = np.full((2, 4, 1, 8), np.nan, "f4"), np.ones((2, 3, 2, 8), "f4")
    result = run(q, pages, pages, block_table=np.full((2, 1), -1), seqused_k=[0, 0], causal=True)
    assert not result.out.any() and np.isneginf(result.lse).all()
    none = pages[:0]
    assert not run(q, none, none, block_table=np.zeros((2, 0), "i4"), seqused_k=[0, 0]).out.any()
    assert run(q[:0], pages, pages, block_table=np.zeros((0, 1), "i4"), seqused_k=[]).out.shape == (0, 3, 2, 8)


def test_rows_not_in_use(run, rng):
    keys, rows = [9, 12], [2, 0]
    pages = Pages(rng, keys, 4, 1, 8)
    q = rng.standard_normal((2, 3, 2, 8)).astype("f4")
    out = np.full((2, 3, 2, 8), 7, "f4")
    said = dict(block_table=pages.block_table, seqused_q=rows, seqused_k=keys, causal=True)
    result = run(q, pages.k, pages.v, out=out, **said)
    check(result, q, pages, rows, keys, causal=True)
    assert (out[0, 2:] == 7).all() and (out[1] == 7).all()
    fresh = run(q, pages.k, pages.v, **said)
    assert not fresh.out[0, 2:].any() and not fresh.out[1].any() and np.isneginf(fresh.lse[1]).all()


POOL = np.zeros((6, 4, 2, 8), "f4")
X = np.zeros((2, 3, 4, 8), "f4")
TABLE = np.array([[0, 1], [2, 3]])
NEW = dict(k_new=np.zeros((6, 2, 8), "f4"), v_new=np.zeros((6, 2, 8), "f4"), context_lens=[1, 2], seqused_k=None)
F8_POOL = POOL.astype(F8["f8_e4m3"])
REFUSED = [
    (ValueError, "paged: block_table is absent, expected a page table", dict(block_table=None)),
    (ValueError, "paged: seqused_k is absent", dict(seqused_k=None)),
    (ValueError, "block_table and kv_indptr are both given", dict(kv_indptr=[0, 1, 2], kv_indices=[0, 1], kv_last_page_len=[1, 1])),
    (ValueError, "kv_indices is absent", dict(block_table=None, kv_indptr=[0, 1, 2], kv_last_page_len=[1, 1])),
    (ValueError, "block_table rank is 1, expected 2", dict(block_table=[0, 1])),
    (ValueError, "block_table has rows of 2 and 1 ints", dict(block_table=[[0, 1], [2]])),
    (ValueError, "block_table has ints beside rows", dict(block_table=[[0, 1], 2])),
    (TypeError, r"block_table\[1\] is 1.0, expected an int", dict(block_table=[[0, 1.0], [2, 3]])),
    (ValueError, "block_table dim 0 is 1, expected 2", dict(block_table=TABLE[:1])),
    (ValueError, "block_table dtype is f32, expected i32 or i64", dict(block_table=TABLE.astype("f4"))),
    (IndexError, r"block_table\[1\]\[0\] is 6, expected 0 <= page < 6", dict(block_table=[[0, 1], [6, 3]])),
    (IndexError, r"block_table\[0\]\[1\] is -1, expected 0 <= page < 6", dict(block_table=[[0, -1], [2, 3]])),
    (IndexError, r"seqused_k\[1\] is 9, expected 0 to 8", dict(seqused_k=[5, 9])),
    (IndexError, r"seqused_k\[0\] is -1", dict(seqused_k=[-1, 3])),
    (IndexError, r"context_lens\[0\] is 9", dict(seqused_k=None, context_lens=[9, 0])),
    (ValueError, "context_lens gives sequence 0 4 keys, expected 5", dict(context_lens=[1, 3])),
    (ValueError, r"kv_indptr\[0\] is 1, expected 0", dict(block_table=None, seqused_k=None, kv_indptr=[1, 1, 2], kv_indices=[0, 1], kv_last_page_len=[0, 1])),
    (ValueError, r"kv_indptr\[2\] is 1, expected at least 2", dict(block_table=None, seqused_k=None, kv_indptr=[0, 2, 1], kv_indices=[0, 1], kv_last_page_len=[1, 1])),
    (IndexError, r"kv_indptr\[2\] is 3, expected at most 2", dict(block_table=None, seqused_k=None, kv_indptr=[0, 1, 3], kv_indices=[0, 1], kv_last_page_len=[1, 1])),
    (IndexError, r"kv_last_page_len\[1\] is 5, expected 1 to 4", dict(block_table=None, seqused_k=None, kv_indptr=[0, 1, 2], kv_indices=[0, 1], kv_last_page_len=[1, 5])),
    (IndexError, r"kv_last_page_len\[0\] is 1, expected 0", dict(block_table=None, seqused_k=None, kv_indptr=[0, 0, 1], kv_indices=[0, 1], kv_last_page_len=[1, 1])),
    (IndexError, r"kv_indices\[1\] is 7", dict(block_table=None, seqused_k=None, kv_indptr=[0, 1, 2], kv_indices=[0, 7], kv_last_page_len=[1, 1])),
    (ValueError, "v_new is absent", {**NEW, "v_new": None}),
    (ValueError, "context_lens is absent", {**NEW, "context_lens": None}),
    (ValueError, "k_new dim 0 is 5, expected 6", {**NEW, "k_new": NEW["k_new"][:5], "v_new": NEW["v_new"][:5]}),
    (ValueError, "k_new dtype is f16, expected f32 like q", {**NEW, "k_new": NEW["k_new"].astype("f2")}),
    (ValueError, "slot_mapping is given without k_new", dict(slot_mapping=[0] * 6)),
    (ValueError, "slot_mapping dim 0 is 5, expected 6", {**NEW, "slot_mapping": range(5)}),
    (ValueError, r"slot_mapping\[3\] is 9, expected a slot of its own; slot_mapping\[1\] has it", {**NEW, "slot_mapping": [-1, 9, 10, 9, -1, 23]}),
    (IndexError, r"slot_mapping\[5\] is 24, expected below 24", {**NEW, "slot_mapping": [-1, 9, 10, -4, -1, 24]}),
    (ValueError, "paged: k is read-only", {**NEW, "slot_mapping": range(6), "k": np.broadcast_to(np.float32(0), POOL.shape)}),
    (ValueError, "k_descale is given for a cache of f32", dict(k_descale=0.5)),
    (ValueError, "k_descale dim 0 is 3, expected", dict(k=F8_POOL, k_descale=np.ones(3, "f4"))),
    (ValueError, "k_descale dtype is f16, expected f32", dict(k=F8_POOL, k_descale=np.ones(2, "f2"))),
    (ValueError, "v dtype is uint8, expected .*; kv_dtype= says what the bytes of a cache are", dict(v=F8_POOL.view("u1"))),
    (ValueError, "kv_dtype is 'float8', expected f8_e4m3", dict(v=F8_POOL.view("u1"), kv_dtype="float8")),
    (ValueError, "kv_dtype is .*, expected one dtype, or", dict(kv_dtype=("i8",))),
    (ValueError, "k dtype is f32 and kv_dtype is i8, expected uint8 or the same dtype", dict(kv_dtype="i8")),
    (ValueError, "k dtype is f8_e4m3 and kv_dtype is f8_e5m2", dict(k=F8_POOL, kv_dtype="f8_e5m2")),
    (ValueError, "k dtype is float8_e4m3fnuz, expected", dict(k=POOL.astype(ml_dtypes.float8_e4m3fnuz))),
    (NotImplementedError, "diagonal is top_left", dict(causal=True, diagonal="top_left")),
    (NotImplementedError, "paged: return_weights is given, expected it only with vanilla", dict(return_weights=True)),
    (NotImplementedError, "paged: start is given, expected it only with decode", dict(start=[0, 0])),
    (NotImplementedError, "paged: block_mask is given, expected it only with splash", dict(block_mask=np.ones((1, 1), bool))),
    (NotImplementedError, "paged: beta is given, expected it only with gdn", dict(beta=X)),
    (NotImplementedError, "paged: dropout_p is set", dict(dropout_p=0.5, dropout_seed=1, deterministic=False)),
    (TypeError, r"paged\(\) got an unexpected keyword argument 'page_table'", dict(page_table=TABLE)),
]


@pytest.mark.parametrize("kind, message, said", REFUSED, ids=[f"{i}-{m[:40]}" for i, (_, m, _) in enumerate(REFUSED)])
def test_refusals(kind, message, said):
    words = {"k": POOL.copy(), "v": POOL.copy(), "block_table": TABLE, "seqused_k": [5, 6], "out": np.full(X.shape, 7, "f4"), **said}
    before = [words[name].tobytes() for name in ("k", "v", "out")]
    with pytest.raises(kind, match=message) as caught:
        attend.paged(X, **words)
    assert isinstance(caught.value, attend.Error) == (kind is not TypeError)
    assert [words[name].tobytes() for name in ("k", "v", "out")] == before
