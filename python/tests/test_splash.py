"""Block-sparse attention: block masks, tiles that nothing sees, empty rows, and calls handed to vanilla."""

from types import SimpleNamespace

import numpy as np
import pytest
from conftest import DTYPES, rows_of
from reference import judge, of_request, ragged

import attend


@pytest.fixture(params=rows_of("splash"))
def kernel(request):
    """Every row of splash that this machine can run."""
    return request.param


@pytest.fixture
def run(kernel):
    def call(q, k, v, **words):
        answer = next(a for a in attend.explain("splash", q, k, v, **words) if a.kernel == kernel)
        if not answer.ok:
            pytest.skip(f"{kernel}: {answer.reason}")
        return attend.splash(q, k, v, kernel=kernel, return_lse=True, **words)

    return call


def as_keep(block_mask, tile_q, tile_k, batch, heads, rows, keys):
    """The element mask that a block mask stands for."""
    tiles = (batch, heads, -(-rows // tile_q), -(-keys // tile_k))
    wide = np.broadcast_to(np.asarray(block_mask), tiles)
    return wide.repeat(tile_q, 2)[:, :, :rows].repeat(tile_k, 3)[..., :keys]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("tiles", [(1, 1), (8, 16), (64, 64), (100, 7), (33, 200)], ids=str)
@pytest.mark.parametrize("dims", [0, 1, 2, 3], ids=["tiles", "heads", "batch", "all"])
def test_block_masks(run, make, rng, dtype, tiles, dims):
    batch, heads, rows, keys = 2, 4, 70, 150
    q, k, v = make(batch, rows, keys, heads, 2, 32, 24, dtype=dtype)
    q_tiles, k_tiles = -(-rows // tiles[0]), -(-keys // tiles[1])
    shape = [(q_tiles, k_tiles), (heads, q_tiles, k_tiles), (batch, 1, q_tiles, k_tiles), (batch, heads, q_tiles, k_tiles)][dims]
    block_mask = rng.random(shape) < 0.4
    block_mask[..., 0, :] = False  # a row of tiles that sees nothing
    said = dict(causal=dims % 2 == 1, softcap=3.0 if dims == 2 else 0.0)
    result = run(q, k, v, block_mask=block_mask, block_mask_q=tiles[0], block_mask_k=tiles[1], **said)
    judge(result, q, k, v, keep=as_keep(block_mask, *tiles, batch, heads, rows, keys), **said)
    assert np.isneginf(result.lse[:, :, 0]).all()


def test_broadcast_block_masks(run, make):
    q, k, v = make(2, 20, 40, 2, 1, 16)
    for shape in ((1, 1), (1, 3), (2, 1), (2, 1, 1, 1), (1, 2, 1, 3)):
        mask = np.ones(shape, bool)
        mask.flat[0] = mask.size == 1
        result = run(q, k, v, block_mask=mask, block_mask_q=10, block_mask_k=16)
        judge(result, q, k, v, keep=as_keep(mask, 10, 16, 2, 2, 20, 40))
    read_only = np.broadcast_to(np.array([True, False, True])[::-1], (2, 3))
    judge(run(q, k, v, block_mask=read_only, block_mask_q=10, block_mask_k=16), q, k, v, keep=as_keep(read_only, 10, 16, 2, 2, 20, 40))


def test_nothing_hidden_is_read(run, make):
    """NaN and Inf behind tiles that are skipped, in keys and values."""
    q, k, v = make(1, 64, 256, 2, 2, 32)
    k[:, 128:192], v[:, 128:192] = np.nan, np.inf
    mask = np.ones((1, 4), bool)
    mask[0, 2] = False
    judge(run(q, k, v, block_mask=mask, block_mask_q=64, block_mask_k=64), q, k, v, keep=as_keep(mask, 64, 64, 1, 2, 64, 256))


@pytest.mark.parametrize("seed", range(24))
def test_random_ragged(run, seed):
    rng = np.random.default_rng(1000 + seed)
    batch, heads = 4, int(rng.choice([2, 4]))
    cu_q, cu_k = (np.cumsum([0, 17, *rng.choice([0, 1, 17, 64, 90], batch - 1)]) for _ in range(2))
    longest_q, longest_k = np.diff(cu_q).max(), np.diff(cu_k).max()
    dtype = DTYPES[str(rng.choice(list(DTYPES)))]
    q = rng.standard_normal((cu_q[-1], heads, 48)).astype(dtype)
    k, v = (rng.standard_normal((cu_k[-1], 2, dim)).astype(dtype) for dim in (48, 32))
    words = {}
    if rng.random() < 0.5:
        words["causal"] = True
    elif rng.random() < 0.5:
        words["block_size"] = int(rng.integers(1, 9))
    if rng.random() < 0.3:
        words["window_left"] = int(rng.integers(0, 60))
    if rng.random() < 0.5:
        words["q_segment_ids"], words["kv_segment_ids"] = (np.sort(rng.integers(-1, 3, cu[-1])) for cu in (cu_q, cu_k))
    if rng.random() < 0.3:
        words["keep"] = rng.random((batch, 1, longest_q, longest_k)) < 0.7
    mask = None
    if not words or rng.random() < 0.5:
        tiles = [int(n) for n in rng.choice([5, 16, 32], 2)]
        mask = rng.random((batch, heads, -(-longest_q // tiles[0]), -(-longest_k // tiles[1]))) < 0.6
        words |= dict(block_mask=mask, block_mask_q=tiles[0], block_mask_k=tiles[1])
    result = run(q, k, v, cu_seqlens_q=cu_q, cu_seqlens_k=cu_k, **words)
    for b, (rows, keys, (q1, k1, v1), _) in enumerate(ragged(q, k, v, cu_q, cu_k)):
        n, m = q1.shape[1], k1.shape[1]
        said = of_request({x: y for x, y in words.items() if not x.startswith(("block_mask", "kv_seg"))}, b, n, m, rows.start)
        if "kv_segment_ids" in words:
            said["kv_segment_ids"] = words["kv_segment_ids"][None, keys]
        if mask is not None:
            wide = as_keep(mask[b : b + 1], *tiles, 1, heads, longest_q, longest_k)[:, :, :n, :m]
            said["keep"] = wide & said["keep"] if "keep" in said else wide
        judge(SimpleNamespace(out=result.out[None, rows], lse=result.lse[None, :, rows]), q1, k1, v1, **said)


def test_calls_handed_to_vanilla(make):
    q, k, v = make(2, 1, 9, 4, 2, 16)
    for words in (dict(causal=True), dict(keep=np.ones((2, 1, 1, 9), bool), window_left=3)):
        result = attend.splash(q, k, v, return_lse=True, **words)
        assert result.kernel.startswith("vanilla/native/") and "one query row" in result.note
        assert result.note in repr(result)
        judge(result, q, k, v, **words)
        assert attend.supports("splash", q, k, v, **words).kernel == result.kernel
    q = np.repeat(q, 3, 1)
    result = attend.splash(q, k, v, return_lse=True, softcap=2.0)
    assert result.kernel.startswith("vanilla/") and "neither causal nor sparse" in result.note
    judge(result, q, k, v, softcap=2.0)
    own = attend.splash(q, k, v, causal=True, return_kernel=True)
    assert own.kernel.startswith("splash/native/") and own.note == ""


X, MASK = np.zeros((2, 20, 4, 8), "f4"), np.ones((2, 3), bool)
REFUSED = [
    (ValueError, "splash: block_mask dim 1 is 3, expected 1 or 2 .k_tiles", dict(block_mask=MASK, block_mask_q=10, block_mask_k=10)),
    (ValueError, "block_mask dim 0 is 2, expected 1 or 4 .q_tiles", dict(block_mask=MASK, block_mask_q=5, block_mask_k=8)),
    (ValueError, "block_mask dtype is i8, expected bool", dict(block_mask=MASK.astype("i1"), block_mask_q=10, block_mask_k=8)),
    (ValueError, "block_mask_q is 0, expected 1 or more", dict(block_mask=MASK, block_mask_k=8)),
    (ValueError, "block_mask_k is -8, expected 1 or more", dict(block_mask=MASK, block_mask_q=10, block_mask_k=-8)),
    (ValueError, "block_mask is absent", dict(block_mask_q=10, block_mask_k=8)),
    (NotImplementedError, "splash: return_weights is given, expected it only with vanilla", dict(return_weights=True)),
    (NotImplementedError, "splash: dropout_p is set", dict(dropout_p=0.5, dropout_seed=1, deterministic=False)),
    (NotImplementedError, "splash: end is given, expected it only with decode", dict(end=[1, 1])),
    (NotImplementedError, "head_dim is 300", dict(q=np.zeros((2, 20, 4, 300), "f4"), k=np.zeros((2, 20, 4, 300), "f4"))),
    (TypeError, r"splash\(\) got an unexpected keyword argument 'mask'", dict(mask=MASK)),
]


@pytest.mark.parametrize("kind, message, said", REFUSED, ids=[f"{i}-{m[:40]}" for i, (_, m, _) in enumerate(REFUSED)])
def test_refusals(kind, message, said):
    words = {"q": X, "k": X, "v": X, "causal": True, **said}
    with pytest.raises(kind, match=message):
        attend.splash(**words)
