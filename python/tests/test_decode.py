"""One query row against a contiguous cache: key ranges, 8-bit caches, split keys, refusals."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import DTYPES, rows_of
from pages import CACHE_DTYPES, F8, dequantised, poison, random_values
from reference import judge, of_request

import attend


@pytest.fixture(params=rows_of("decode"))
def kernel(request):
    """Every row of decode that this machine can run."""
    return request.param


@pytest.fixture
def run(kernel):
    def call(q, k, v, **words):
        answer = next(a for a in attend.explain("decode", q, k, v, **words) if a.kernel == kernel)
        if not answer.ok:
            pytest.skip(f"{kernel}: {answer.reason}")
        return attend.decode(q, k, v, kernel=kernel, return_lse=True, **words)

    return call


def cache(rng, batch, seqlen_k, kv_heads, head_dim, v_dim=None, dtypes=("float32", "float32"), ranges=None):
    """k, v with poison outside of the ranges."""
    made = []
    for dtype, dim in zip(dtypes, (head_dim, v_dim or head_dim)):
        x = poison((batch, seqlen_k, kv_heads, dim), CACHE_DTYPES[dtype])
        for b, (begin, end) in enumerate(ranges or [(0, seqlen_k)] * batch):
            if begin < end:
                x[b, begin:end] = random_values(rng, (end - begin, kv_heads, dim), x.dtype)
        made.append(x)
    return made


def check(result, q, k, v, ranges, k_descale=None, v_descale=None, **words):
    """Each request is a call of one row over its keys alone, which stands at end - 1 unless q_start tells."""
    for b, (begin, end) in enumerate(ranges):
        k1, v1 = (dequantised(x[b : b + 1, begin : max(begin, end)], d, b) for x, d in ((k, k_descale), (v, v_descale)))
        said = of_request(words, b, 1, 0)
        at = int(words["q_start"][b]) if "q_start" in words else end - 1
        said["q_start"] = [at - begin]  # positions counted from the first key of the range
        for name in ("hole_starts", "hole_ends", "prefix_lens", "block_origin"):
            if name in words:
                said[name] = [int(words[name][b]) - begin]
        if words.get("block_size") and "block_origin" not in words:
            said["block_origin"] = [-begin]
        for name in ("keep", "bias"):
            if name in words:
                full = np.broadcast_to(words[name], (q.shape[0], q.shape[2], 1, k.shape[1]))
                said[name] = full[b : b + 1, :, :, begin : max(begin, end)]
        factor = 4 if k.dtype.itemsize == 1 or v.dtype.itemsize == 1 else None
        judge(SimpleNamespace(out=result.out[b : b + 1], lse=result.lse[b : b + 1]), q[b : b + 1], k1, v1, factor=factor, **said)


RANGES = [(0, 90), (17, 64), (89, 90), (30, 30), (40, 12), (0, 1)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", ["plain", "window", "window_right", "softcap", "sinks", "alibi", "hole", "block", "causal", "keep", "bias", "q_start", "prefix"])
def test_ranges(run, rng, dtype, which):
    words = {
        "plain": {},
        "window": dict(window_left=9),
        "window_right": dict(window_right=0, q_start=[50, 20, 89, 3, 4, 0]),
        "softcap": dict(softcap=2.0, softmax_scale=0.7),
        "sinks": dict(sinks=rng.standard_normal((6, 2)).astype("f4")),
        "alibi": dict(alibi_slopes=rng.random((6, 6), "f4")),
        "hole": dict(hole_starts=[3, 0, 89, 0, 0, 0], hole_ends=[80, 30, 90, 5, 5, 0]),
        "block": dict(block_size=8, q_start=[40, 20, 89, 3, 4, 0]),
        "causal": dict(causal=True, q_start=[40, 200, 88, 3, 4, -1]),
        "keep": dict(keep=rng.random((6, 1, 1, 90)) < 0.5),
        "bias": dict(bias=rng.standard_normal((6, 1, 90)).astype("f4")),
        "q_start": dict(q_start=[10, 20, 0, 3, 4, 5], window=(5, 5)),
        "prefix": dict(causal=True, q_start=[40, 20, 8, 3, 4, 0], prefix_lens=[60, 0, 90, 9, 9, 1]),
    }[which]
    k, v = cache(rng, 6, 90, 2, 32, 20, (dtype,) * 2, RANGES)
    q = rng.standard_normal((6, 1, 6, 32)).astype(DTYPES[dtype])
    start, end = zip(*RANGES)
    result = run(q, k, v, start=start, end=np.array(end, "i4"), **words)
    check(result, q, k, v, RANGES, **words)
    assert not result.out[3:5].any()


def test_ends_of_the_cache(run, rng):
    k, v = cache(rng, 3, 40, 1, 16)
    q = rng.standard_normal((3, 1, 2, 16)).astype("f4")
    check(run(q, k, v), q, k, v, [(0, 40)] * 3)
    check(run(q, k, v, seqused_k=[40, 0, 7], window_left=3), q, k, v, [(0, 40), (0, 0), (0, 7)], window_left=3)
    check(run(q, k, v, start=[39, 40, 0]), q, k, v, [(39, 40), (40, 40), (0, 40)])
    assert run(q[:0], k[:0], v[:0]).out.shape == (0, 1, 2, 16)
    empty = run(q, k[:, :0], v[:, :0])
    assert not empty.out.any() and np.isneginf(empty.lse).all()


@pytest.mark.parametrize("dtypes", [("f8_e4m3",) * 2, ("f8_e5m2", "f8_e4m3"), ("i8",) * 2, ("i8", "bfloat16"), ("float16", "float32")], ids=str)
@pytest.mark.parametrize("scales", ["one", "heads", "batch"])
def test_cache_dtypes(run, rng, dtypes, scales):
    scale = {"one": np.float32(0.02), "heads": np.array([0.02, 0.04], "f4"), "batch": rng.uniform(0.01, 0.05, (3, 2)).astype("f4")}[scales]
    k, v = cache(rng, 3, 70, 2, 48, 24, dtypes, [(0, 70), (5, 6), (20, 69)])
    q = rng.standard_normal((3, 1, 4, 48)).astype("f4")
    words = {name: scale for name, x in (("k_descale", k), ("v_descale", v)) if x.dtype.itemsize == 1}
    result = run(q, k, v, start=[0, 5, 20], end=[70, 6, 69], **words)
    check(result, q, k, v, [(0, 70), (5, 6), (20, 69)], **words)
    if "f8_e4m3" in dtypes[0]:
        bytes_of = [x.view("u1") for x in (k, v)]
        np.testing.assert_array_equal(run(q, *bytes_of, kv_dtype=dtypes[0], start=[0, 5, 20], end=[70, 6, 69], **words).out, result.out)


@pytest.mark.parametrize("dtype", DTYPES)
def test_bits_do_not_depend_on_the_batch_or_the_threads(run, rng, dtype):
    """Keys are split at a fixed quantum; a long request beside short ones is the same alone."""
    lengths = [5000, 3, 1024, 1025]
    k, v = cache(rng, 4, 5000, 2, 16, dtypes=(dtype,) * 2, ranges=[(0, n) for n in lengths])
    q = rng.standard_normal((4, 1, 4, 16)).astype(DTYPES[dtype])
    whole, before = run(q, k, v, seqused_k=lengths), attend.num_threads()
    check(whole, q, k, v, [(0, n) for n in lengths])
    try:
        for threads in (1, 3):
            attend.set_num_threads(threads)
            for b, n in enumerate(lengths):
                one = run(q[b : b + 1], k[b : b + 1, :n], v[b : b + 1, :n])
                assert one.out.tobytes() == whole.out[b].tobytes() and one.lse.tobytes() == whole.lse[b].tobytes()
    finally:
        attend.set_num_threads(before)


def test_ones_sum_to_one(run):
    """O10 of the operator study: a start inside of a block of keys loses none of them."""
    k, v = np.zeros((1, 8, 1, 8), "f4"), np.eye(8, dtype="f4").reshape(1, 8, 1, 8)
    result = run(np.zeros((1, 1, 1, 8), "f4"), k, v, start=[3], end=[7])
    np.testing.assert_array_equal(result.out.ravel(), [0, 0, 0, 0.25, 0.25, 0.25, 0.25, 0])


def test_oracle(run):
    """O9: two requests, two heads over one, ranges [1, 4) and [0, 2)."""
    fill = lambda shape, phase: np.sin(0.7 * np.arange(np.prod(shape)) + phase).reshape(shape).astype("f4")
    q, k, v = fill((2, 1, 2, 2), 0.1), fill((2, 5, 1, 2), 0.5), fill((2, 5, 1, 2), 0.9)
    result = run(q, k, v, start=[1, 0], end=[4, 2])
    np.testing.assert_allclose(result.out.ravel(), [0.035512, -0.274023, 0.384088, -0.094030, 0.501956, 0.007851, 0.352968, -0.209956], atol=2e-6)
    two = run(q, k, v, start=[1, 0], end=[4, 2], window_left=1)
    np.testing.assert_allclose(two.out.ravel()[:4], [-0.721141, -0.716323, -0.669864, -0.779387], atol=2e-6)
    np.testing.assert_allclose(two.out[1], result.out[1], atol=2e-6)


def test_strides(run, rng):
    k, v = cache(rng, 2, 33, 2, 24)
    q = rng.standard_normal((2, 1, 4, 24)).astype("f4")
    want = run(q, k, v, end=[33, 20])
    heads_first = [np.ascontiguousarray(x.swapaxes(1, 2)).swapaxes(1, 2) for x in (k, v)]
    backward = [np.ascontiguousarray(x[::-1, ::-1, ::-1, ::-1])[::-1, ::-1, ::-1, ::-1] for x in (k, v)]
    for x in heads_first:
        x.flags.writeable = False
    for pair in (heads_first, backward):
        np.testing.assert_array_equal(run(q, *pair, end=np.array([33, 9, 20, 9])[::2]).out, want.out)


def test_wide_heads(run, rng):
    k, _ = cache(rng, 2, 40, 1, 576)
    q = rng.standard_normal((2, 1, 8, 576)).astype("f4")
    v = k[..., :512]
    check(run(q, k, v, end=[40, 11]), q, k, v, [(0, 40), (0, 11)])


X, KV = np.zeros((2, 1, 4, 8), "f4"), np.zeros((2, 5, 2, 8), "f4")
REFUSED = [
    (ValueError, "decode: q dim 1 is 3, expected 1", dict(q=np.zeros((2, 3, 4, 8), "f4"), out=np.zeros((2, 3, 4, 8), "f4"))),
    (ValueError, "end and seqused_k are both given", dict(end=[1, 2], seqused_k=[1, 2])),
    (IndexError, r"end\[1\] is 6, expected 0 to 5", dict(end=[1, 6])),
    (IndexError, r"start\[0\] is -1, expected 0 to 5", dict(start=[-1, 6])),
    (IndexError, r"seqused_k\[0\] is 7", dict(seqused_k=[7, 0])),
    (ValueError, "start dim 0 is 3, expected 2", dict(start=[0, 0, 0])),
    (ValueError, "end dtype is f32, expected i32 or i64", dict(end=np.ones(2, "f4"))),
    (NotImplementedError, "decode: cu_seqlens_q is given", dict(cu_seqlens_q=[0, 1, 2])),
    (NotImplementedError, "diagonal is top_left", dict(causal=True, diagonal="top_left")),
    (NotImplementedError, "block_table is given, expected it only with paged", dict(block_table=[[0], [1]])),
    (NotImplementedError, "return_scores is given, expected it only with vanilla", dict(return_scores="masked")),
    (ValueError, "v_descale is given for a cache of f32", dict(v_descale=2.0)),
    (ValueError, "k_descale is 1000+, expected a number of 32 bits", dict(k=KV.astype(F8["f8_e4m3"]), k_descale=10**400)),
    (TypeError, "v_descale is of type str", dict(k=KV.astype("i1"), v=KV.astype("i1"), v_descale="1")),
    (ValueError, "k dtype is uint8, expected .*kv_dtype=", dict(k=KV.astype("u1"))),
]


@pytest.mark.parametrize("kind, message, said", REFUSED, ids=[f"{i}-{m[:40]}" for i, (_, m, _) in enumerate(REFUSED)])
def test_refusals(kind, message, said):
    words = {"q": X, "k": KV, "v": KV, "out": np.full(X.shape, 7, "f4"), **said}
    before = words["out"].tobytes()
    with pytest.raises(kind, match=message):
        attend.decode(**words)
    assert words["out"].tobytes() == before
