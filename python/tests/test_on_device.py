"""Every operator on devices, from NumPy arrays that travel there and back: those of this machine with
ATTEND_BACKENDS=cuda,rocm, and with ATTEND_SIMT=1 those that are stood in for, which test_device.py asks for."""

import gdn_reference
import numpy as np
import pytest
from conftest import DTYPES
from pages import Pages
from reference import judge

import attend

DEVICES = [b.device for b in attend.backends() if b.device != "native" and b.device_count > 0]
pytestmark = pytest.mark.skipif(not DEVICES, reason="no device: " + "; ".join(f"{b.name}: {b.status}" for b in attend.backends()[1:]))


@pytest.fixture(params=DEVICES)
def device(request):
    return request.param


def sent(device, tensors):
    """The tensors on a device; words that are no arrays stay as they are."""
    if isinstance(tensors, dict):
        return {word: sent(device, [x])[0] for word, x in tensors.items()}
    return [attend.to_device(x, device) if isinstance(x, np.ndarray) else x for x in tensors]


def here(result):
    return None if result is None else result.numpy()


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("op", ["vanilla", "flash", "splash", "sdpa", "ring"])
def test_attention(device, op, dtype, make, rng):
    q, k, v = make(2, 19, 37, 4, 2, 24, dtype=dtype)
    words = {"causal": True, "diagonal": "bottom_right", "window_left": 20, "bias": rng.standard_normal((4, 1, 37)).astype("f4")}
    said = sent(device, words)
    takes = attend.supports(op, *sent(device, (q, k, v)), return_lse=True, **said)
    assert takes and takes.kernel.startswith(f"{op}/{device}/"), takes.reason
    result = attend.run(op, *sent(device, (q, k, v)), device=device, return_lse=True, return_kernel=True, **said)
    assert result.kernel == takes.kernel and result.out.device == f"{device}:0" and result.out.dtype == dtype
    judge(result._replace(out=here(result.out), lse=here(result.lse)), q, k, v, **words)


def test_ragged(device, make):
    q, k, v = (x[0] for x in make(1, 11, 23, 4, 2, 16))
    words = {"cu_seqlens_q": np.array([0, 4, 4, 11], "i4"), "cu_seqlens_k": np.array([0, 9, 12, 23], "i4"), "causal": True}
    out = attend.flash(*sent(device, (q, k, v)), **sent(device, words))
    expected = attend.flash(q, k, v, **words)
    np.testing.assert_allclose(out.numpy(), expected, atol=2e-6)


def test_paged_and_append(device, rng):
    pages = Pages(rng, [9, 0, 14], 4, 2, 16)
    q = rng.standard_normal((3, 2, 4, 16)).astype("f4")
    words = {"block_table": pages.block_table, "seqused_k": np.array([9, 0, 14], "i4"), "causal": True}
    out = attend.paged(*sent(device, (q, pages.k, pages.v)), **sent(device, words))
    np.testing.assert_allclose(out.numpy(), attend.paged(q, pages.k, pages.v, **words), atol=2e-6)
    k, v = sent(device, (pages.k, pages.v))
    rows = rng.standard_normal((3, 2, 16)).astype("f4")
    attend.append(k, v, *sent(device, (rows, rows)), [5, -1, 2])  # a list goes where the tensors are
    k, v = k.numpy(), v.numpy()
    for slot, row in ((5, 0), (2, 2)):
        assert (k[slot // 4, slot % 4] == rows[row]).all() and (v[slot // 4, slot % 4] == rows[row]).all()


def test_decode(device, make):
    q, k, v = make(3, 1, 40, 4, 2, 32)
    words = {"start": [0, 3, 5], "end": [40, 17, 5]}
    out = attend.decode(*sent(device, (q, k, v)), **words)
    np.testing.assert_allclose(out.numpy(), attend.decode(q, k, v, **words), atol=2e-6)
    assert not out.numpy()[2].any()


def test_gdn(device, rng):
    q, k, v = (rng.standard_normal((2, 21, 2, 16)).astype("f4") for _ in range(3))
    g, beta = -rng.random((2, 21, 2)).astype("f4"), rng.random((2, 21, 2)).astype("f4")
    state = rng.standard_normal((2, 2, 16, 16)).astype("f4")
    said = sent(device, {"g": g, "beta": beta, "state": state})
    out, final = attend.gdn(*sent(device, (q, k, v)), normalize_qk=True, **said)
    for b in range(2):
        want, kept = gdn_reference.rule(q[b], k[b], v[b], np.exp(g[b]), beta[b], state[b], normalize_qk=True)
        np.testing.assert_allclose(out.numpy()[b], want, atol=1e-4)
        np.testing.assert_allclose(final.numpy()[b], kept, atol=1e-4)
    assert (said["state"].numpy() == state).all()


def test_merge(device, make):
    q, k, v = make(1, 5, 30, 2, 2, 16)
    parts = [attend.flash(*sent(device, (q, k[:, cut], v[:, cut])), return_lse=True) for cut in (slice(0, 13), slice(13, 30))]
    out, lse = attend.merge(parts[0].out, parts[0].lse, parts[1].out, parts[1].lse)
    whole = attend.flash(q, k, v, return_lse=True)
    np.testing.assert_allclose(out.numpy(), whole.out, atol=2e-6)
    np.testing.assert_allclose(lse.numpy(), whole.lse, atol=2e-6)


def test_a_bad_index_is_an_error_here_and_the_next_call_is_right(device, make):
    tensors = sent(device, make(2, 3, 8, 2, 2, 16))
    bad = np.array([8, 1000], "i8")
    with pytest.raises(IndexError, match=r"seqused_k\[1\] is 1000, expected 0 to 8, the rows of its sequence"):
        attend.flash(*tensors, seqused_k=attend.to_device(bad, device))
    out = attend.flash(*tensors, seqused_k=[8, 8])
    assert np.isfinite(out.numpy()).all()


def test_where_tensors_are(device, make):
    q, k, v = make(1, 3, 8, 2, 2, 16)
    on_device = sent(device, (q, k, v))
    with pytest.raises(ValueError, match=f"k is on native:0, expected {device}:0"):
        attend.flash(on_device[0], k, v)
    with pytest.raises(ValueError, match=f"forward_native: q is on {device}, expected native"):
        attend.flash(*on_device, device="native")
    assert [a.kernel.split("/")[1] for a in attend.explain("flash", *on_device)][0] == device
    copy = on_device[0].to("native")
    assert copy.device == "native:0" and (copy.numpy() == q).all()
    assert (attend.to_device(on_device[0], device).numpy() == q).all()
    pinned = attend.empty((2, 3), "float32", device, pinned=True)
    assert pinned.device == "native:0" and pinned.shape == (2, 3)


def test_streams_are_taken_as_ints(device, make):
    tensors = sent(device, make(1, 3, 8, 2, 2, 16))
    assert (attend.flash(*tensors, stream=0).numpy() == attend.flash(*tensors).numpy()).all()
