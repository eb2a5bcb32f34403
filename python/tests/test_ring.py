"""Ring attention: the scan in one process, and ranks in threads that hold parts of every sequence."""

import concurrent.futures
import gc
from types import SimpleNamespace

import numpy as np
import pytest
from conftest import DTYPES, rows_of
from reference import dropout, judge

import attend


@pytest.fixture(params=rows_of("ring"))
def kernel(request):
    """Every row of ring that this machine can run."""
    return request.param


def held(placement, length, rank, ranks):
    """The rows of a sequence that a rank holds, by the definition."""
    if placement == "contiguous":
        return np.arange(rank * length // ranks, (rank + 1) * length // ranks)
    chunk = lambda c: np.arange(c * length // (2 * ranks), (c + 1) * length // (2 * ranks))
    return np.concatenate([chunk(rank), chunk(2 * ranks - 1 - rank)])


def by_ranks(ranks, q, k, v, kernel=None, placement="contiguous", own=(), **words):
    """A dense call of whole sequences, each rank in a thread of its own; what the ranks give, put together.

    `own` names the words whose rows are a rank's own, with the dimension of their rows of q or of k.
    """
    ring = attend.InProcessRing(ranks)

    def rank_call(rank):
        rows, keys = (held(placement, x.shape[1], rank, ranks) for x in (q, k))
        mine = {name: np.take(words[name], rows if side == "q" else keys, axis) for name, side, axis in own}
        said = {**words, **mine, "ring_transport": ring.transport(rank), "ring_placement": placement}
        return rows, attend.ring(q[:, rows], k[:, keys], v[:, keys], kernel=kernel, return_lse=True, **said)

    out, lse = np.full((*q.shape[:3], v.shape[3]), np.nan, q.dtype), np.full((q.shape[0], q.shape[2], q.shape[1]), np.nan, "f4")
    with concurrent.futures.ThreadPoolExecutor(ranks) as pool:
        for rows, result in pool.map(rank_call, range(ranks)):
            out[:, rows], lse[:, :, rows] = result.out, result.lse
    return SimpleNamespace(out=out, lse=lse)


def takes(kernel, q, k, v, **words):
    answer = next(a for a in attend.explain("ring", q, k, v, **words) if a.kernel == kernel)
    if not answer.ok:
        pytest.skip(f"{kernel}: {answer.reason}")


@pytest.mark.parametrize("length", [0, 1, 5, 64, 103])
@pytest.mark.parametrize("ranks", [1, 2, 3, 8])
def test_ring_cut(length, ranks):
    for placement in ("contiguous", "zigzag"):
        for rank in range(ranks):
            rows = [i for begin, end in attend.ring_cut(placement, length, rank, ranks) for i in range(begin, end)]
            assert rows == list(held(placement, length, rank, ranks))
    with pytest.raises(ValueError, match="ring_cut: ring_placement is 'striped', expected 'contiguous' or 'zigzag'"):
        attend.ring_cut("striped", length, 0, ranks)
    with pytest.raises(ValueError, match="ring_cut: rank is"):
        attend.ring_cut("zigzag", length, ranks, ranks)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("ranks", [1, 2, 3])
@pytest.mark.parametrize("placement", ["contiguous", "zigzag"])
def test_ranks(kernel, make, ranks, placement, dtype):
    q, k, v = make(2, 50, 61, 4, 2, 32, 24, dtype=dtype)
    takes(kernel, q, k, v)
    for words in (dict(), dict(causal=True), dict(causal=True, window_left=20, softcap=4.0), dict(block_size=8)):
        judge(by_ranks(ranks, q, k, v, kernel, placement, **words), q, k, v, **words)


@pytest.mark.parametrize("placement", ["contiguous", "zigzag"])
def test_words_of_ranks(make, rng, placement):
    """Words of whole sequences are the same on every rank; a rank's own rows are cut as q and k are."""
    q, k, v = make(2, 40, 40, 4, 2, 32)
    ids = np.sort(rng.integers(-1, 4, (2, 40)))
    for own, words in (
        ((), dict(sinks=rng.random(4, "f4"), causal=True)),
        ((), dict(alibi_slopes=rng.random(4, "f4"))),
        ((), dict(causal=True, q_start=[-5, 10], prefix_lens=[3, 20], hole_starts=[4, 0], hole_ends=[9, 30])),
        ((("q_segment_ids", "q", 1), ("kv_segment_ids", "k", 1)), dict(q_segment_ids=ids, kv_segment_ids=ids, causal=True)),
        ((("keep", "q", 2),), dict(keep=rng.random((2, 1, 40, 40)) < 0.5)),
        ((("bias", "q", 1),), dict(bias=rng.standard_normal((4, 40, 40)).astype("f4"))),
    ):
        judge(by_ranks(3, q, k, v, placement=placement, own=own, **words), q, k, v, **words)


def test_dropout_is_vanillas(make):
    """The mask of a score is drawn at its original position, whatever the number of ranks."""
    q, k, v = make(2, 24, 24, 2, 2, 16)
    said = dict(dropout_p=0.3, dropout_seed=77, deterministic=False)
    drop = dropout((2, 2, 24, 24), 0.3, 77)
    judge(attend.ring(q, k, v, return_lse=True, **said), q, k, v, drop=drop)
    for ranks, placement in ((2, "contiguous"), (3, "zigzag")):
        judge(by_ranks(ranks, q, k, v, placement=placement, **said), q, k, v, drop=drop)


def test_one_process_is_a_scan(kernel, make):
    q, k, v = make(1, 30, 3000, 2, 1, 64)
    takes(kernel, q, k, v)
    result = attend.ring(q, k, v, causal=True, kernel=kernel, return_lse=True)
    assert result.kernel == kernel
    judge(result, q, k, v, causal=True)


def test_oracle(kernel):
    """O17 of the operator study: causal segments, in one process and on two ranks."""
    fill = lambda shape, phase: np.sin(0.7 * np.arange(np.prod(shape)) + phase).reshape(shape).astype("f4")
    q, k, v = (fill((1, 4, 1, 2), phase) for phase in (0.1, 0.5, 0.9))
    takes(kernel, q, k, v)
    one = [0.783327, 0.999574, 0.763659, 0.550794, 0.238495, -0.073408, -0.577585, -0.481576]
    for result in (attend.ring(q, k, v, causal=True, kernel=kernel, return_lse=True), by_ranks(2, q, k, v, kernel, causal=True), by_ranks(2, q, k, v, kernel, "zigzag", causal=True)):
        np.testing.assert_allclose(result.out.ravel(), one, atol=2e-6)
    two = np.array([[1, 1, 2, 2]])
    result = attend.ring(q, k, v, causal=True, q_segment_ids=two, kv_segment_ids=two, kernel=kernel)
    np.testing.assert_allclose(result.ravel(), [*one[:4], -0.529836, -0.951602, -0.781528, -0.642055], atol=2e-6)


@pytest.mark.parametrize("how", ["operator", "binding", "abort"])
def test_a_rank_that_fails_lets_the_others_go(make, how):
    """Refused by the operator, refused on the way to it, or told by the program: nobody waits for ever."""
    q, k, v = make(1, 8, 8, 2, 2, 16)
    ring = attend.InProcessRing(2)

    def good():
        return attend.ring(q, k, v, ring_transport=ring.transport(0))

    def bad():
        if how == "abort":
            return ring.abort("rank 1 has gone home")
        return attend.ring(q, k[:, :, :, :9], v, ring_transport=ring.transport(1)) if how == "operator" else attend.ring(q, k, v, causal=1, ring_transport=ring.transport(1))

    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        others = [pool.submit(good), pool.submit(bad)]
        message = {"operator": "k dim 3 is 9", "binding": "causal is 1", "abort": "rank 1 has gone home"}[how]
        with pytest.raises(RuntimeError, match=message):
            others[0].result()
        if how == "abort":
            others[1].result()
        else:
            with pytest.raises((ValueError, TypeError), match=message):
                others[1].result()
    ring.reset()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        again = [pool.submit(attend.ring, q, k, v, ring_transport=ring.transport(rank)) for rank in range(2)]
        for result in again:
            assert result.result().shape == q.shape


def test_transports(make):
    q, k, v = make(1, 8, 8, 2, 2, 16)
    ring = attend.InProcessRing(1)
    transport = ring.transport(0)
    assert (ring.size, transport.size, transport.rank) == (1, 1, 0)
    del ring
    gc.collect()  # a transport keeps its ring
    np.testing.assert_array_equal(attend.ring(q, k, v, ring_transport=transport), attend.ring(q, k, v))
    for kind, message, call in (
        (ValueError, "ranks is 0", lambda: attend.InProcessRing(0)),
        (ValueError, "rank is 2", lambda: attend.InProcessRing(2).transport(2)),
        (TypeError, "ring: ring_transport is 3, expected a RingTransport", lambda: attend.ring(q, k, v, ring_transport=3)),
        (ValueError, "ring_placement is 'striped', expected 'contiguous' or 'zigzag'", lambda: attend.ring(q, k, v, ring_placement="striped")),
        (ValueError, "ring_placement is zigzag and ring_transport is absent", lambda: attend.ring(q, k, v, ring_placement="zigzag")),
        (NotImplementedError, "flash: ring_transport is given, expected it only with ring", lambda: attend.flash(q, k, v, ring_transport=transport)),
        (NotImplementedError, "ring: return_scores is given, expected it only with vanilla", lambda: attend.ring(q, k, v, return_scores=True)),
        (NotImplementedError, "ring: block_mask is given", lambda: attend.ring(q, k, v, block_mask=np.ones((1, 1), bool))),
    ):
        with pytest.raises(kind, match=message):
            call()
