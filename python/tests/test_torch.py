"""PyTorch tensors, and its scaled_dot_product_attention as the other implementation."""

from types import SimpleNamespace

import ml_dtypes
import numpy as np
import pytest
from reference import judge

import attend

torch = pytest.importorskip("torch")
sdpa = torch.nn.functional.scaled_dot_product_attention


@pytest.fixture
def tensors(rng):
    def make(*shapes, dtype=torch.float32):
        return [torch.from_numpy(rng.standard_normal(shape).astype("f4")).to(dtype) for shape in shapes]

    return make


def by_torch(q, k, v, **words):
    """As attend has it; PyTorch wants heads first."""
    q, k, v = (x.transpose(1, 2) for x in (q, k, v))
    return sdpa(q, k, v, enable_gqa=q.shape[1] != k.shape[1], **words).transpose(1, 2)


def assert_near(out, q, k, v, scale=None, attn_mask=None, **words):
    """The error rule of the contract, with PyTorch in float64 as gold and in the inputs' dtype as the plain computation."""
    mask = attn_mask if attn_mask is None or attn_mask.dtype == torch.bool else attn_mask.double()
    gold = by_torch(q.double(), k.double(), v.double(), scale=scale, attn_mask=mask, **words)
    mask = attn_mask if mask is None or mask.dtype == torch.bool else mask.to(q.dtype)
    plain = by_torch(q, k, v, scale=scale, attn_mask=mask, **words)
    size = torch.einsum("bihd,bjhd->bhij", q.double().abs(), k.double().abs().repeat_interleave(q.shape[2] // k.shape[2], 2))
    C = size.max() * (scale or q.shape[-1] ** -0.5) + (mask.double().abs().max() if mask is not None and mask.dtype != torch.bool else 0)
    u = torch.finfo(out.dtype).eps / 2
    allowed = 2 * (plain.double() - gold).abs().max() + 2 * u * gold.abs().max() + 2 * 2**-24 * C * v.double().abs().max()
    assert (out.double() - gold).abs().max() <= allowed


SHAPES = [((2, 33, 4, 64), (2, 33, 4, 64)), ((1, 70, 6, 80), (1, 131, 2, 80)), ((3, 1, 8, 128), (3, 57, 1, 128))]


@pytest.mark.parametrize("op", [attend.flash, attend.vanilla])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("shapes", SHAPES, ids=str)
def test_sdpa(op, tensors, shapes, dtype):
    q, k, v = tensors(shapes[0], shapes[1], shapes[1], dtype=dtype)
    seqlen_q, seqlen_k = q.shape[1], k.shape[1]
    mask = torch.rand(2 if q.shape[0] == 2 else 1, 1, seqlen_q, seqlen_k, generator=torch.Generator().manual_seed(0)) < 0.7
    bias = torch.linspace(-2, 2, seqlen_q * seqlen_k).reshape(seqlen_q, seqlen_k)
    for ours, theirs in (
        (dict(), dict()),
        (dict(causal=True, diagonal="top_left"), dict(is_causal=True)),
        (dict(softmax_scale=0.3), dict(scale=0.3)),
        (dict(keep=mask), dict(attn_mask=mask)),
        (dict(bias=bias), dict(attn_mask=bias)),
    ):
        out = op(q, k, v, **ours)
        assert type(out) is torch.Tensor and out.dtype == dtype and out.shape == q.shape and not out.requires_grad
        assert_near(out, q, k, v, **theirs)


@pytest.mark.parametrize("op", [attend.flash, attend.vanilla])
def test_layouts(op, tensors):
    q, k, v = tensors((2, 4, 33, 64), (2, 4, 33, 64), (2, 4, 33, 64))  # heads first, as views
    views = [x.transpose(1, 2) for x in (q, k, v)]
    assert_near(op(*views), *views)
    fused = torch.cat(views, -1)
    assert_near(op(*fused.split(64, -1)), *views)
    expanded = k[:, :1].transpose(1, 2).expand(2, 33, 4, 64)
    assert_near(op(views[0], expanded, expanded), views[0], expanded, expanded)
    out = torch.zeros(2, 4, 33, 64)
    pointer = out.data_ptr()
    view = out.transpose(1, 2)
    assert op(*views, out=view) is view and out.data_ptr() == pointer
    assert_near(out.transpose(1, 2), *views)


def test_ragged_lse_and_kinds(tensors):
    q, k, v = tensors((9, 4, 32), (14, 2, 32), (14, 2, 32), dtype=torch.bfloat16)
    cu_q, cu_k = torch.tensor([0, 4, 9], dtype=torch.int32), torch.tensor([0, 6, 14])
    result = attend.flash(q, k, v, cu_seqlens_q=cu_q, cu_seqlens_k=cu_k, causal=True, return_lse=True, out_dtype=torch.float32)
    assert result.out.dtype == result.lse.dtype == torch.float32 and result.lse.shape == (4, 9)
    assert repr(result).startswith("Result(out=float32[9, 4, 32], lse=float32[4, 9]")
    for a, b, c, d in ((0, 4, 0, 6), (4, 9, 6, 14)):
        one = [x[None].view(torch.int16).numpy().view(ml_dtypes.bfloat16) for x in (q[a:b], k[c:d], v[c:d])]
        judge(SimpleNamespace(out=result.out[None, a:b].numpy(), lse=result.lse[None, :, a:b].numpy()), *one, causal=True)
    weights = attend.vanilla(q[None], k[None], v[None], return_weights=True, weights_dtype=torch.bfloat16).weights
    assert weights.dtype == torch.bfloat16 and weights.shape == (1, 4, 9, 14)


def test_mixed_callers(tensors):
    """q decides the kind of the results; the others may come from elsewhere."""
    q, k, v = tensors((1, 3, 2, 8), (1, 5, 2, 8), (1, 5, 2, 8))
    want = attend.flash(q, k, v)
    assert type(attend.flash(q, k.numpy(), v)) is torch.Tensor
    out = attend.flash(q.numpy(), k, v, keep=torch.ones(3, 5, dtype=torch.bool))
    assert type(out) is np.ndarray
    np.testing.assert_array_equal(out, want)
    into = torch.zeros(1, 3, 2, 8)
    assert attend.flash(q.numpy(), k, v, out=into) is into
    torch.testing.assert_close(into, want, rtol=0, atol=0)


def test_refusals(tensors):
    q, k, v = tensors((1, 3, 2, 8), (1, 5, 2, 8), (1, 5, 2, 8))
    complex_tensor = torch.randn(1, 5, 2, 8, dtype=torch.complex64)
    for bad, message in (
        (k.clone().requires_grad_(), r"flash: k requires_grad is True, expected False.*say .detach\(\)"),
        (torch.nn.Parameter(k), "flash: k requires_grad is True"),
        (k.to_sparse(), "flash: k layout is torch.sparse_coo, expected torch.strided"),
        (complex_tensor.conj(), "flash: k is a conjugated view"),
        (torch._neg_view(k), "flash: k is a negated view"),
        (complex_tensor, "flash: k dtype is complex64, expected float32"),
        (k.double(), "flash: k dtype is float64, expected float32"),
        (k.to("meta"), "flash: k "),
    ):
        with pytest.raises(ValueError, match=message):
            attend.flash(q, bad, v)
    with pytest.raises(ValueError, match="flash: out requires_grad is True"):
        attend.flash(q, k, v, out=torch.zeros(1, 3, 2, 8, requires_grad=True))
    attend.flash(q, k.requires_grad_().detach(), v)


def test_float8_comes_in(tensors):
    q, k, v = tensors((1, 3, 2, 8), (1, 5, 2, 8), (1, 5, 2, 8))
    with pytest.raises(ValueError, match="flash: k dtype is f8_e4m3, expected f32 like q"):
        attend.flash(q, k.to(torch.float8_e4m3fn), v)


def test_default_device_and_inference_mode(tensors):
    q, k, v = tensors((1, 3, 2, 8), (1, 5, 2, 8), (1, 5, 2, 8))
    want = attend.flash(q, k, v)
    with torch.device("meta"):
        assert attend.flash(q, k, v).device.type == "cpu"
    with torch.inference_mode():
        torch.testing.assert_close(attend.flash(q, k, v), want, rtol=0, atol=0)


def test_sdpa_is_torchs(tensors):
    """Defaults of the two agree: causal from the top left, a mask of either kind, GQA."""
    q, k, v = tensors((2, 33, 4, 64), (2, 50, 2, 64), (2, 50, 2, 64))
    mask = torch.rand(2, 1, 33, 50, generator=torch.Generator().manual_seed(0)) < 0.7
    bias = torch.linspace(-2, 2, 33 * 50).reshape(33, 50)
    for ours, theirs in ((dict(causal=True), dict(is_causal=True)), (dict(keep=mask), dict(attn_mask=mask)), (dict(bias=bias), dict(attn_mask=bias)), (dict(), dict())):
        assert_near(attend.sdpa(q, k, v, **ours), q, k, v, **theirs)


@pytest.mark.parametrize("dtype", ["float8_e4m3fn", "float8_e5m2", "bfloat16", "float32"])
def test_append_and_paged(tensors, dtype):
    """Rows stored in a tensor's own memory, found again behind a page table; 8-bit floats by whatever way they export."""
    kind = getattr(torch, dtype)
    q, rows = tensors((1, 3, 4, 16), (10, 2, 16))
    k, v = (torch.zeros(6, 4, 2, 16).to(kind) for _ in range(2))
    slots = torch.tensor([20, 21, 22, 23, 4, 5, 6, 7, 13, 12])
    pointer = k.data_ptr()
    assert attend.append(k, v, rows, rows * 2, slots) is None
    assert k.data_ptr() == pointer
    want = rows.to(kind)
    flat = k.float().reshape(24, 2, 16)
    torch.testing.assert_close(flat[slots], want.float(), rtol=0, atol=0)
    assert flat.count_nonzero() == want.float().count_nonzero()
    table = torch.tensor([[5, 1, 3]], dtype=torch.int32)
    attend.append(k, v, rows[8:], rows[8:] * 2, [12, 13])  # as the table has them
    out = attend.paged(q, k, v, block_table=table, seqused_k=torch.tensor([10]), causal=True)
    assert type(out) is torch.Tensor and out.dtype == torch.float32
    k1, v1 = (x.reshape(24, 2, 16)[[20, 21, 22, 23, 4, 5, 6, 7, 12, 13]][None].to(torch.float32) for x in (k, v))
    torch.testing.assert_close(out, attend.flash(q, k1, v1, causal=True), rtol=1e-5, atol=1e-5)
    if kind.itemsize == 1:
        told = attend.paged(q, k.view(torch.uint8), v.view(torch.uint8), kv_dtype=kind, block_table=table, seqused_k=[10], causal=True)
        torch.testing.assert_close(told, out, rtol=0, atol=0)


def test_append_refuses_what_it_cannot_write(tensors):
    (rows,) = tensors((1, 2, 16))
    k = torch.zeros(6, 4, 2, 16)
    with pytest.raises(ValueError, match="append: v requires_grad is True"):
        attend.append(k, torch.zeros(6, 4, 2, 16, requires_grad=True), rows, rows, [0])
    with pytest.raises(ValueError, match="append: k strides put two elements at one address|append: k memory overlaps"):
        attend.append(torch.zeros(1, 4, 2, 16).expand(6, 4, 2, 16), k, rows, rows, [0])
    assert not k.any()


def test_gdn_and_merge(tensors):
    q, k, v = tensors((2, 20, 2, 16), (2, 20, 2, 16), (2, 20, 4, 8), dtype=torch.bfloat16)
    g, beta = -torch.rand(2, 20, 4), torch.rand(2, 20, 4)
    state = torch.zeros(2, 4, 8, 16)
    out, final = attend.gdn(q, k, v, g=g, beta=beta, state=state, normalize_qk=True)
    assert out.dtype == torch.bfloat16 and out.shape == (2, 20, 4, 8) and type(final) is torch.Tensor and not state.any()
    again, same = attend.gdn(q, k, v, g=g, beta=beta, state=state, in_place=True, normalize_qk=True)
    assert same is state
    torch.testing.assert_close(state, final, rtol=0, atol=0)
    torch.testing.assert_close(again, out, rtol=0, atol=0)
    S, want = torch.zeros(2, 4, 8, 16, dtype=torch.float64), []
    unit = lambda x: x.double().repeat_interleave(2, 2) / (x.double().repeat_interleave(2, 2).norm(dim=-1, keepdim=True) + 1e-6)
    for t in range(20):
        S = S * g[:, t].double().exp()[..., None, None]
        error = beta[:, t, :, None].double() * (v[:, t].double() - torch.einsum("bhvk,bhk->bhv", S, unit(k)[:, t]))
        S = S + error[..., None] * unit(k)[:, t, :, None]
        want.append(torch.einsum("bhvk,bhk->bhv", S, unit(q)[:, t]) * 16**-0.5)
    torch.testing.assert_close(final.double(), S, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(out.double(), torch.stack(want, 1), rtol=2e-2, atol=2e-3)

    q, k, v = tensors((2, 5, 4, 16), (2, 30, 4, 16), (2, 30, 4, 16))
    parts = [attend.flash(q, k[:, s], v[:, s], return_lse=True)[:2] for s in (slice(0, 11), slice(11, 30))]
    out, lse = attend.merge(*parts[0], *parts[1])
    whole = attend.flash(q, k, v, return_lse=True)
    torch.testing.assert_close(out, whole.out, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(lse, whole.lse, rtol=1e-6, atol=1e-6)


def test_decode_of_a_static_cache(tensors):
    """A cache of int8 and scales of its heads, as engines keep them."""
    q, k, v = tensors((3, 1, 4, 16), (3, 40, 2, 16), (3, 40, 2, 16))
    scale = k.abs().amax((1, 3)) / 127
    stored = (k / scale[:, None, :, None]).round().to(torch.int8)
    used = torch.tensor([40, 1, 17], dtype=torch.int32)
    out = attend.decode(q, stored, v, k_descale=scale, seqused_k=used)
    for b, n in enumerate(used.tolist()):
        one = stored[b : b + 1, :n].float() * scale[b, None, :, None]
        torch.testing.assert_close(out[b : b + 1], attend.flash(q[b : b + 1], one, v[b : b + 1, :n]), rtol=1e-5, atol=1e-5)
