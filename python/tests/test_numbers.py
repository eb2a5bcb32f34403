"""Results against reference.py: shapes, element types, every word of masks and scores, ragged, empty, dropout."""

import json
import pathlib
import struct

import numpy as np
import pytest
from conftest import DTYPES, rows_of
from reference import attention, dropout, judge, ragged

import attend

SHAPES = [
    (1, 1, 1, 1, 1, 1),
    (2, 17, 45, 4, 2, 64),
    (1, 5, 3, 6, 1, 20, 7),  # more rows than keys: empty rows under a causal mask; MQA; v_dim of its own
    (3, 33, 33, 2, 2, 33, 65),
    (1, 257, 300, 3, 3, 128, 96),
    (2, 64, 513, 8, 4, 80),
    (1, 2, 70, 2, 1, 256, 256),
]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(run, make, shape, causal, dtype):
    q, k, v = make(*shape, dtype=dtype)
    result = run(q, k, v, causal=causal)
    assert result.out.dtype == q.dtype
    judge(result, q, k, v, causal=causal)


@pytest.mark.parametrize("dims", [(257, 300), (512, 512), (576, 512)], ids=str)
@pytest.mark.parametrize("dtype", DTYPES)
def test_wide_heads(make, dims, dtype):
    q, k, v = make(1, 9, 40, 4, 1, *dims, dtype=dtype)
    for name in rows_of("flash", "ring"):
        op = name.split("/")[0]
        if next(a.ok for a in attend.explain(op, q, k, v, causal=True) if a.kernel == name):
            judge(attend.run(op, q, k, v, causal=True, kernel=name, return_lse=True), q, k, v, causal=True)
    for op in ("vanilla", "splash", "sdpa"):
        assert "head_dim is" in attend.supports(op, q, k, v, causal=True).reason


def words(rng):
    """One call of batch 3, 21 rows, 40 keys, 4 heads for each word, and some for words that meet."""
    ids_q, ids_k = rng.integers(-1, 3, (3, 21)).astype("i4"), np.sort(rng.integers(-1, 3, (3, 40)))
    return {
        "top_left": dict(causal=True, diagonal="top_left"),
        "window": dict(window=(5, 3)),
        "window_left": dict(window_left=4, causal=True),
        "window_right": dict(window_right=0, diagonal="top_left"),
        "block": dict(block_size=4),
        "block_1": dict(block_size=1),
        "block_origin": dict(block_size=6, block_causal=True, block_origin=np.array([0, 3, 50])),
        "q_start": dict(causal=True, q_start=[-30, 0, 19]),
        "prefix": dict(causal=True, prefix_lens=np.array([0, 7, 30], "i4"), diagonal="top_left"),
        "prefix_block": dict(block_size=5, prefix_lens=(25, 1, 0)),
        "hole": dict(hole_starts=[0, 3, 50], hole_ends=[40, 9, 60]),
        "segments": dict(q_segment_ids=ids_q, kv_segment_ids=ids_k),
        "keep": dict(keep=rng.random((3, 1, 21, 40)) < 0.5),
        "keep_keys": dict(keep=rng.random((3, 1, 1, 40)) < 0.5),
        "keep_heads": dict(keep=rng.random((4, 21, 1)) < 0.5),
        "bias": dict(bias=rng.standard_normal((3, 4, 21, 40)).astype("f4")),
        "bias_f16": dict(bias=rng.standard_normal((1, 4, 1, 40)).astype("f2")),
        "bias_bf16": dict(bias=rng.standard_normal((21, 40)).astype(DTYPES["bfloat16"])),
        "bias_mask": dict(bias=np.where(rng.random((3, 1, 21, 40)) < 0.5, -np.inf, 0).astype("f4")),
        "both": dict(bias=rng.standard_normal((21, 40)).astype("f4"), keep=rng.random((21, 40)) < 0.7, mask_with_bias="both"),
        "bias_only": dict(bias=rng.standard_normal((21, 40)).astype("f4"), keep=np.zeros((21, 40), bool), mask_with_bias="bias_only"),
        "alibi": dict(alibi_slopes=np.array([0.5, 0.25, 0.125, 0], "f4"), causal=True),
        "alibi_batch": dict(alibi_slopes=rng.random((3, 4), "f4")),
        "sinks": dict(sinks=rng.standard_normal(4).astype("f4"), causal=True, q_start=[-5, 0, 3]),
        "sinks_many": dict(sinks=rng.standard_normal((4, 3)).astype("f4")),
        "softcap": dict(softcap=2.5, softmax_scale=1.0),
        "scale_0": dict(softmax_scale=0),
        "scale_negative": dict(softmax_scale=-0.7),
        "used": dict(seqused_k=[0, 13, 40], causal=True),
        "everything": dict(causal=True, window=(15, -1), softcap=5.0, alibi_slopes=rng.random(4, "f4"), sinks=rng.random((4, 1), "f4"),
                           keep=rng.random((3, 1, 1, 40)) < 0.8, bias=rng.standard_normal((4, 1, 40)).astype("f4"), mask_with_bias="both",
                           seqused_k=[38, 1, 7], hole_starts=[3, 0, 2], hole_ends=[5, 0, 3], q_segment_ids=ids_q, kv_segment_ids=ids_k),
    }


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("which", words(np.random.default_rng()))
def test_words(run, make, rng, which, dtype):
    said = words(rng)[which]
    q, k, v = make(3, 21, 40, 4, 2, 32, 24, dtype=dtype)
    judge(run(q, k, v, **said), q, k, v, **said)


@pytest.mark.parametrize("dtype", DTYPES)
def test_ragged(run, make, rng, dtype):
    cu_q, cu_k = [0, 5, 5, 38, 40], np.array([0, 9, 30, 30, 61], "i4")
    q, k, v = (x[0] for x in make(1, 40, 61, 4, 2, 48, 32, dtype=dtype))
    said = dict(causal=True, window_left=20, q_start=[3, 0, -1, 4], sinks=rng.random(4, "f4"))
    result = run(q, k, v, cu_seqlens_q=cu_q, cu_seqlens_k=cu_k, **said)
    assert result.out.shape == (40, 4, 32) and result.lse.shape == (4, 40)
    for rows, _, (q1, k1, v1), words1 in ragged(q, k, v, cu_q, cu_k, **said):
        part = type(result)(result.out[None, rows], result.lse[None, :, rows], None, None, result.kernel)
        judge(part, q1, k1, v1, **words1)


def test_rows_not_in_use_of_a_new_array_are_zero(make):
    q, k, v = make(2, 6, 8, 2, 2, 16)
    result = attend.vanilla(q, k, v, seqused_q=[4, 0], return_lse=True, return_weights=True, return_scores="masked")
    judge(result, q, k, v, seqused_q=[4, 0])
    for written in (result.weights, result.out.swapaxes(1, 2)):
        assert not written[0, :, 4:].any() and not written[1].any()
    assert np.isneginf(result.scores[0, :, 4:]).all() and np.isneginf(result.lse[1]).all()


def test_rows_not_in_use_of_the_callers_array_stay(run, make):
    q, k, v = make(2, 6, 8, 2, 2, 16)
    out = np.full((2, 6, 2, 16), 7, "f4")
    result = run(q, k, v, seqused_q=[4, 0], out=out)
    assert (out[0, 4:] == 7).all() and (out[1] == 7).all()
    np.testing.assert_array_equal(out[0, :4], run(q, k, v, seqused_q=[4, 0]).out[0, :4])
    assert result.out is out


@pytest.mark.parametrize("sizes", [(0, 3, 4), (2, 0, 4), (2, 3, 0), (0, 0, 0)], ids=str)
def test_empty(run, make, sizes):
    q, k, v = make(*sizes, 2, 1, 8)
    result = run(q, k, v, causal=True)
    assert result.out.shape == q.shape and not result.out.any()
    assert np.isneginf(result.lse).all()


def test_empty_ragged(run, make):
    q, k, v = (x[0] for x in make(1, 0, 0, 2, 1, 8))
    result = run(q, k, v, cu_seqlens_q=[0], cu_seqlens_k=[0])
    assert result.out.shape == (0, 2, 8) and result.lse.shape == (2, 0)


def test_hidden_nan_stays_hidden(run, make):
    q, k, v = make(1, 4, 12, 2, 2, 16)
    k[:, 8:] = np.nan
    v[:, 8:] = np.nan
    said = dict(seqused_k=[8], causal=True)
    judge(run(q, k, v, **said), q, k, v, **said)
    v[0, 2, 0, 5] = np.nan  # a visible one shows, in its own column alone
    shown = np.isnan(run(q, k, v, **said).out)
    assert shown[0, :, 0, 5].all() and shown.sum() == 4


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("weights_dtype", ["float32", "same"])
def test_weights_and_scores(make, rng, dtype, weights_dtype):
    q, k, v = make(2, 9, 14, 4, 2, 16, dtype=dtype)
    said = dict(softcap=3.0, alibi_slopes=rng.random(4, "f4"), causal=True, sinks=rng.random(4, "f4"))
    gold = attention(q, k, v, **said)
    for stage in ("scaled", "capped", "masked"):
        r = attend.vanilla(q, k, v, return_lse=True, return_weights=True, return_scores=stage, weights_dtype=q.dtype if weights_dtype == "same" else weights_dtype, **said)
        assert r.weights.dtype == (q.dtype if weights_dtype == "same" else np.float32) and r.scores.dtype == np.float32
        judge(r, q, k, v, **said)
        want = getattr(gold, stage)
        np.testing.assert_array_equal(np.isneginf(r.scores), np.isneginf(want))
        seen = np.isfinite(want)
        assert np.abs(r.scores[seen] - want[seen]).max() <= 4 * 2.0**-24 * (gold.largest + 1)


def test_weights_of_ragged(make):
    cu_q, cu_k = [0, 2, 2, 7], [0, 4, 9, 10]
    q, k, v = (x[0] for x in make(1, 7, 10, 2, 1, 8))
    r = attend.vanilla(q, k, v, cu_seqlens_q=cu_q, cu_seqlens_k=cu_k, return_weights=True)
    want = np.zeros((3, 2, 5, 5))
    for b, (_, _, one, _) in enumerate(ragged(q, k, v, cu_q, cu_k)):
        weights = attention(*one).weights[0]
        want[b, :, : weights.shape[1], : weights.shape[2]] = weights
    np.testing.assert_allclose(r.weights, want, rtol=1e-6, atol=0)


def test_out_dtype(run, make):
    q, k, v = make(2, 9, 14, 4, 2, 16, dtype="bfloat16")
    for spelled in ("float32", np.float32, np.dtype("f4")):
        result = run(q, k, v, out_dtype=spelled)
        assert result.out.dtype == np.float32
        judge(result, q, k, v)
    assert run(q, k, v, out_dtype=q.dtype).out.dtype == q.dtype


def test_init_bias(run, make, rng):
    q, k, v = make(1, 5, 6, 2, 2, 8)
    bias = rng.standard_normal((5, 6)).astype("f4")
    judge(run(q, k, v, init_bias=lambda: bias), q, k, v, bias=bias)
    keep = np.tri(5, 6, dtype=bool)
    judge(run(q, k, v, init_bias=lambda: pytest.fail("called beside keep"), keep=keep), q, k, v, keep=keep)


def test_dropout_is_philox(make):
    q, k, v = make(2, 5, 11, 3, 1, 8)
    said = dict(dropout_p=0.3, dropout_seed=0x123456789ABCDEF, dropout_offset=2**33 + 7, deterministic=False)
    r = attend.vanilla(q, k, v, return_weights=True, **said)
    drop = dropout((2, 3, 5, 11), 0.3, said["dropout_seed"], said["dropout_offset"])
    assert 0 < np.count_nonzero(drop) < drop.size
    judge(r, q, k, v, drop=drop)
    again = attend.vanilla(q, k, v, return_weights=True, **said)
    np.testing.assert_array_equal(r.weights, again.weights)
    other = attend.vanilla(q, k, v, return_weights=True, **{**said, "dropout_seed": 1})
    assert ((other.weights == 0) != (r.weights == 0)).any()
    judge(attend.vanilla(q, k, v, return_weights=True, **{**said, "deterministic": True}), q, k, v)


def test_same_bits_for_any_number_of_threads(run, make):
    q, k, v = make(2, 70, 90, 4, 2, 64)
    before = attend.num_threads()
    try:
        results = []
        for count in (1, 2, 5):
            attend.set_num_threads(count)
            results.append(run(q, k, v, causal=True).out.tobytes())
    finally:
        attend.set_num_threads(before)
    assert results.count(results[0]) == 3


def test_real_activations(run):
    """Inputs and float64 outputs of a sentence encoder; keep hides the padding."""
    path = pathlib.Path(__file__).parents[2] / "tests/data/minilm_attention.safetensors"
    if not path.exists():
        pytest.skip(f"{path} is not here")
    raw = path.read_bytes()
    (size,) = struct.unpack_from("<Q", raw)
    table = json.loads(raw[8 : 8 + size])
    load = lambda name: np.frombuffer(raw[8 + size :][slice(*table[name]["data_offsets"])], {"F32": "f4", "BOOL": "?"}[table[name]["dtype"]]).reshape(table[name]["shape"])
    keep = load("keep")[:, None, None, :]
    for layer in ("layer0", "layer5"):
        q, k, v = (load(f"{layer}.{part}") for part in ("query", "key", "value"))
        result = run(q, k, v, keep=keep)
        judge(result, q, k, v, keep=keep)
        tokens = load("keep")
        np.testing.assert_allclose(result.out[tokens], load(f"{layer}.output")[tokens], atol=2e-6, rtol=1e-5)
