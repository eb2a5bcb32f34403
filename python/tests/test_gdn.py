"""The gated delta rule and the layer around it: chunks, steps, states in place and apart, pools, refusals."""

import numpy as np
import pytest
from conftest import DTYPES, rows_of
from gdn_reference import layer, rule

import attend

# relative RMS of output and state (contract 8)
BOUNDS = {"float32": (1e-5, 1e-5), "float16": (2e-3, 2e-3), "bfloat16": (8e-3, 5e-3)}


@pytest.fixture(params=rows_of("gdn"))
def gdn(request):
    """gdn(...) by every row that this machine can run; skipped with the row's own reason where it refuses."""

    def call(*tensors, **words):
        answer = next(a for a in attend.explain("gdn", *tensors, **words) if a.kernel == request.param)
        if not answer.ok:
            pytest.skip(f"{request.param}: {answer.reason}")
        result = attend.gdn(*tensors, kernel=request.param, **words)
        assert result.kernel == request.param
        return result

    return call


def near(got, want, bound):
    got, want = np.asarray(got).astype("f8"), np.asarray(want)
    assert got.shape == want.shape and np.isfinite(got).all()
    if want.size:
        error = np.sqrt(np.mean((got - want) ** 2))
        assert error <= bound * np.sqrt(np.mean(want**2)) + 1e-37, error


def inputs(rng, batch, seqlen, k_heads, v_heads, k_dim, v_dim, dtype="float32", decay=(0.5, 1.0), channels=False):
    """q, k, v and g, beta; rows of q and k of length about 1."""
    heads = max(k_heads, v_heads)
    q, k = ((rng.standard_normal((batch, seqlen, k_heads, k_dim)) / np.sqrt(k_dim)).astype(DTYPES[dtype]) for _ in range(2))
    v = rng.standard_normal((batch, seqlen, v_heads, v_dim)).astype(DTYPES[dtype])
    g = np.log(rng.uniform(*decay, (batch, seqlen, heads, k_dim) if channels else (batch, seqlen, heads))).astype("f4")
    return q, k, v, g, rng.uniform(0, 1.2, (batch, seqlen, heads)).astype("f4")


def check(result, q, k, v, g, beta, state=None, dtype="float32", **words):
    out, final = result
    for b in range(len(q)):
        want, want_state = rule(q[b], k[b], v[b], np.exp(g[b].astype("f8")), beta[b], None if state is None else state[b], **words)
        near(out[b], want, BOUNDS[dtype][0])
        near(final[b], want_state, BOUNDS[dtype][1])


SHAPES = [(2, 1, 2, 4, 16, 24), (1, 63, 2, 2, 64, 64), (1, 64, 1, 3, 32, 8), (2, 65, 4, 2, 20, 33), (1, 200, 1, 2, 128, 128), (3, 17, 2, 2, 1, 1), (1, 33, 1, 1, 256, 256)]


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_shapes(gdn, rng, shape, dtype):
    tensors = inputs(rng, *shape, dtype)
    state = rng.standard_normal((shape[0], max(shape[2:4]), shape[5], shape[4])).astype("f4")
    before = state.copy()
    q, k, v, g, beta = tensors
    result = gdn(q, k, v, g=g, beta=beta, state=state)
    assert result.out.dtype == q.dtype and result.final_state.dtype == np.float32
    check(result, *tensors, state, dtype)
    np.testing.assert_array_equal(state, before)  # apart from its argument, which stays


@pytest.mark.parametrize("chunk_size", [1, 2, 7, 16, 64, 128])
@pytest.mark.parametrize("decay", [(0.01, 0.05), (0.5, 0.9), (0.97, 0.999), (1.0, 1.0), (1e-20, 1e-10)], ids=str)
@pytest.mark.parametrize("channels", [False, True])
def test_chunks_and_decays(gdn, rng, chunk_size, decay, channels):
    """A partial last chunk, decays that underflow in a chunk and decays that do not decay."""
    tensors = q, k, v, g, beta = inputs(rng, 1, 83, 1, 2, 24, 16, decay=decay, channels=channels)
    state = rng.standard_normal((1, 2, 16, 24)).astype("f4")
    check(gdn(q, k, v, g=g, beta=beta, state=state, chunk_size=chunk_size), *tensors, state)


@pytest.mark.parametrize("which", ["scale", "zero scale", "normalize", "l2_eps", "beta 2", "beta 0", "alpha", "alpha channels"])
def test_words(gdn, rng, which):
    q, k, v, g, beta = inputs(rng, 2, 37, 2, 4, 16, 24, channels=which == "alpha channels")
    said, words = dict(g=g, beta=beta), {}
    if "scale" in which:
        words["softmax_scale"] = 0.0 if which == "zero scale" else -1.7
    elif which in ("normalize", "l2_eps"):
        q, k = q * 30, k * 5
        q[0, 3], k[1, 7] = 0, 0
        words = dict(normalize_qk=True, **(dict(l2_eps=0.25) if which == "l2_eps" else {}))
    elif which.startswith("beta"):
        beta[:] = float(which[-1])
    elif which.startswith("alpha"):
        said = dict(alpha=np.exp(g), beta=beta)
        g = np.log(np.exp(g).astype("f8"))
    said["beta"] = beta
    check(gdn(q, k, v, **said, **words), q, k, v, g, beta, **words)


@pytest.mark.parametrize("dtype", DTYPES)
def test_ragged(gdn, rng, dtype):
    """Sequences of any length, none included, which hands its state on bit for bit."""
    lengths = [5, 0, 130, 1, 64]
    cu = np.cumsum([0] + lengths)
    q, k, v, g, beta = (x[0] for x in inputs(rng, 1, cu[-1] + 3, 2, 4, 32, 16, dtype))
    state = rng.standard_normal((5, 4, 16, 32)).astype("f4")
    state[1, 0, 0, :3] = [np.nan, -0.0, 1e-42]
    out, final = gdn(q, k, v, g=g, beta=beta, state=state, cu_seqlens=cu)
    for b in range(5):
        part = slice(cu[b], cu[b + 1])
        want, want_state = rule(q[part], k[part], v[part], np.exp(g[part].astype("f8")), beta[part], state[b])
        near(out[part], want, BOUNDS[dtype][0])
        if lengths[b]:
            near(final[b], want_state, BOUNDS[dtype][1])
    assert final[1].tobytes() == state[1].tobytes()
    assert not out[cu[-1] :].any()  # rows past the last sequence are zero in a new array


def test_prefill_then_steps_is_one_prefill(gdn, rng):
    tensors = q, k, v, g, beta = inputs(rng, 2, 70, 2, 4, 32, 16)
    whole = gdn(q, k, v, g=g, beta=beta)
    check(whole, *tensors)
    state, outs = None, []
    for part in (slice(0, 40), slice(40, 41), *(slice(i, i + 1) for i in range(41, 70))):
        out, state = gdn(q[:, part], k[:, part], v[:, part], g=g[:, part], beta=beta[:, part], state=state)
        outs.append(out)
    near(np.concatenate(outs, 1), whole.out.astype("f8"), 1e-5)
    near(state, whole.final_state.astype("f8"), 1e-5)


def test_state_in_place(gdn, rng):
    tensors = q, k, v, g, beta = inputs(rng, 3, 9, 1, 2, 8, 16)
    start = rng.standard_normal((3, 2, 16, 8)).astype("f4")
    want = gdn(q, k, v, g=g, beta=beta, state=start)
    check(want, *tensors, start)
    state = start.copy()
    out, final = gdn(q, k, v, g=g, beta=beta, state=state, in_place=True)
    assert final is state
    np.testing.assert_array_equal(out, want.out)
    np.testing.assert_array_equal(state, want.final_state)
    into, result = np.full_like(start, 7), np.full((3, 9, 2, 16), 7, "f4")
    out, final = gdn(q, k, v, g=g, beta=beta, state=start, final_state=into, out=result)
    assert final is into and out is result
    np.testing.assert_array_equal(into, want.final_state)
    np.testing.assert_array_equal(result, want.out)
    # the [k, v] order of other systems is a view
    other = np.ascontiguousarray(start.swapaxes(2, 3))
    gdn(q, k, v, g=g, beta=beta, state=other.swapaxes(2, 3), in_place=True)
    np.testing.assert_array_equal(other.swapaxes(2, 3), want.final_state)


def test_pools(gdn, rng):
    """Slots of a pool are read and written where they lie; others, and the padding slot, stay."""
    q, k, v, g, beta = inputs(rng, 4, 6, 1, 2, 8, 16)
    pool = rng.standard_normal((7, 2, 16, 8)).astype("f4")
    slots = [5, 0, 2, 0]
    start = pool.copy()
    q[[1, 3]] = np.nan  # rows of padding are not read
    out, final = gdn(q, k, v, g=g, beta=beta, state=pool, state_indices=slots, padding_slot=0, in_place=True)
    assert final is pool
    for b in (0, 2):
        want, state = rule(q[b], k[b], v[b], np.exp(g[b].astype("f8")), beta[b], start[slots[b]])
        near(out[b], want, 1e-5)
        near(pool[slots[b]], state, 1e-5)
    assert not out[[1, 3]].any()
    np.testing.assert_array_equal(pool[[0, 1, 3, 4, 6]], start[[0, 1, 3, 4, 6]])
    apart = np.full_like(pool, 7)
    gdn(q, k, v, g=g, beta=beta, state=start, state_indices=np.array(slots, "i4"), padding_slot=0, final_state=apart)
    np.testing.assert_array_equal(apart[[5, 2]], pool[[5, 2]])
    assert (apart[[1, 3, 4, 6]] == 7).all()


def test_strides(gdn, rng):
    tensors = q, k, v, g, beta = inputs(rng, 2, 20, 2, 2, 12, 10)
    want = gdn(q, k, v, g=g, beta=beta)
    backward = [np.ascontiguousarray(x[::-1, ::-1, ::-1])[::-1, ::-1, ::-1] for x in tensors]
    fused = np.concatenate([q, k], -1)
    frozen = np.asfortranarray(v)
    frozen.flags.writeable = False
    for q1, k1, v1, g1, b1 in (backward, (fused[..., :12], fused[..., 12:], frozen, np.asfortranarray(g), np.asfortranarray(beta))):
        out, state = gdn(q1, k1, v1, g=g1, beta=b1, out=np.full((2, 2, 20, 10), 7, "f4").swapaxes(1, 2))
        np.testing.assert_array_equal(out, want.out)
        np.testing.assert_array_equal(state, want.final_state)


def test_empty(gdn, rng):
    q, k, v, g, beta = inputs(rng, 2, 0, 1, 2, 8, 16)
    state = rng.standard_normal((2, 2, 16, 8)).astype("f4")
    out, final = gdn(q, k, v, g=g, beta=beta, state=state)
    assert out.shape == (2, 0, 2, 16) and final.tobytes() == state.tobytes()
    assert not gdn(q, k, v, g=g, beta=beta).final_state.any()
    out, final = gdn(q[:0], k[:0], v[:0], g=g[:0], beta=beta[:0])
    assert out.shape == (0, 0, 2, 16) and final.shape == (0, 2, 16, 8)


def test_out_dtype(gdn, rng):
    tensors = q, k, v, g, beta = inputs(rng, 1, 12, 1, 1, 16, 16, "bfloat16")
    result = gdn(q, k, v, g=g, beta=beta, out_dtype="float32")
    assert result.out.dtype == np.float32
    check(result, *tensors)


def test_same_bits_for_any_batch_and_threads(gdn, rng):
    q, k, v, g, beta = inputs(rng, 3, 150, 2, 4, 64, 32)
    whole, before = gdn(q, k, v, g=g, beta=beta), attend.num_threads()
    try:
        for threads in (1, 3):
            attend.set_num_threads(threads)
            for b in range(3):
                one = slice(b, b + 1)
                out, state = gdn(q[one], k[one], v[one], g=g[one], beta=beta[one])
                assert out.tobytes() == whole.out[b].tobytes() and state.tobytes() == whole.final_state[b].tobytes()
    finally:
        attend.set_num_threads(before)


def fill(shape, phase):
    return np.sin(0.7 * np.arange(np.prod(shape)) + phase).reshape(shape)


@pytest.mark.parametrize("chunk_size", [1, 2, 3, 4, 64])
def test_oracle_of_the_rule(gdn, chunk_size):
    """O14 and O18 of the operator study."""
    unit = lambda x: x / np.linalg.norm(x, axis=-1, keepdims=True)
    q, k, v = (x.reshape(1, 4, 1, 2).astype("f4") for x in (unit(fill((4, 2), 0.1)), unit(fill((4, 2), 0.5)), fill((4, 2), 0.9)))
    state = fill((1, 1, 2, 2), 1.6).astype("f4")
    column = lambda *x: np.array(x, "f4").reshape(1, 4, 1)
    for g, beta, want, want_state in (
        (column(-0.1, -0.5, -1.0, -0.05), column(0.9, 0.5, 0.25, 1.0),
         [0.422328, 0.498049, 0.462043, 0.255320, -0.056727, -0.146031, -0.650339, -0.341098], [0.714842, 0.589043, 0.273583, 0.405776]),
        (column(*[-1.0] * 4), column(*[0.5] * 4),
         [0.351827, 0.252009, 0.344986, 0.109744, -0.123835, -0.256212, -0.370943, -0.225607], [0.386632, 0.356144, 0.174179, 0.274857]),
        (column(*[-30.0] * 4), column(*[0.5] * 4),
         [0.261387, 0.333546, 0.259276, 0.049066, -0.143137, -0.257079, -0.323637, -0.162411], [0.366274, 0.283065, 0.183808, 0.142051]),
    ):  # fmt: skip
        out, final = gdn(q, k, v, g=g, beta=beta, state=state, chunk_size=chunk_size)
        np.testing.assert_allclose(out.ravel(), want, atol=2e-6)
        np.testing.assert_allclose(final.ravel(), want_state, atol=2e-6)


# ---------------------------------------------------------------------------------------------------- layer


def layer_inputs(rng, tokens, k_heads, v_heads, k_dim, v_dim, taps, dtype="float32", batch=None):
    heads, channels = max(k_heads, v_heads), 2 * k_heads * k_dim + v_heads * v_dim
    x = lambda *shape: rng.standard_normal(shape).astype(DTYPES[dtype])
    rows = (tokens,) if batch is None else (batch, tokens)
    return dict(
        mixed_qkv=x(*rows, channels), conv_weight=x(channels, taps), a=x(*rows, heads), b=x(*rows, heads),
        a_log=rng.uniform(-1, 1, heads).astype("f4"), dt_bias=rng.standard_normal(heads).astype("f4"), z=x(*rows, heads, v_dim), norm_weight=x(v_dim),
        normalize_qk=True,
    )  # fmt: skip


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("taps", [1, 2, 4])
@pytest.mark.parametrize("heads", [(1, 2), (2, 2), (4, 2)], ids=str)
def test_layer(gdn, rng, taps, heads, dtype):
    """Sequences shorter than the taps, states of both kinds in pools, read and written."""
    k_heads, v_heads, k_dim, v_dim = *heads, 16, 24
    lengths, slots = [5, 1, 0, 33], [3, 1, 0, 4]
    cu, n = np.cumsum([0] + lengths), max(heads)
    said = layer_inputs(rng, cu[-1], k_heads, v_heads, k_dim, v_dim, taps, dtype)
    channels = said["mixed_qkv"].shape[-1]
    state = rng.standard_normal((5, n, v_dim, k_dim)).astype("f4")
    conv_state = rng.standard_normal((5, channels, taps - 1)).astype(DTYPES[dtype])
    start, conv_start = state.copy(), conv_state.copy()
    bias = rng.standard_normal(channels).astype(DTYPES[dtype]) if taps == 2 else None
    words = dict(conv_bias=bias, conv_silu=taps != 2, k_heads=k_heads, v_heads=v_heads)
    out, final = gdn(**said, **words, state=state, conv_state=conv_state, state_indices=slots, cu_seqlens=cu, in_place=True)
    assert final is state and out.dtype == DTYPES[dtype] and out.shape == (cu[-1], n, v_dim)
    for b, slot in enumerate(slots):
        part = slice(cu[b], cu[b + 1])
        want, want_state, history = layer(
            said["mixed_qkv"][part], said["conv_weight"], n, k_heads, v_heads, k_dim, v_dim, bias=bias, history=conv_start[slot], silu=taps != 2,
            a=said["a"][part], b=said["b"][part], a_log=said["a_log"], dt_bias=said["dt_bias"], z=said["z"][part], norm_weight=said["norm_weight"],
            state=start[slot], normalize_qk=True,
        )  # fmt: skip
        near(out[part], want, 4 * BOUNDS[dtype][0])  # the norm divides by what is small
        near(state[slot], want_state, 4 * BOUNDS[dtype][1])
        np.testing.assert_array_equal(conv_state[slot].astype("f8"), history)
    assert state[2].tobytes() == start[2].tobytes() and conv_state[2].tobytes() == conv_start[2].tobytes()


def test_oracle_of_the_layer(gdn):
    """O13: three tokens, one key head, two value heads, three taps; then the same as two and one."""
    f = lambda shape, phase: fill(shape, phase).astype("f4")
    said = dict(
        mixed_qkv=f((1, 3, 8), 0.2), conv_weight=f((8, 3), 0.3), a_log=f((2,), 0.4), dt_bias=f((2,), 0.6), a=f((1, 3, 2), 0.8), b=f((1, 3, 2), 1.0),
        z=f((1, 3, 2, 2), 1.2), norm_weight=f((2,), 1.4), normalize_qk=True,
    )  # fmt: skip
    gated = [0.350359, -0.770824, 0.256520, 0.072865, -0.193134, 0.268176, -0.197207, 0.082200, -0.349528, 0.474003, -0.941403, -0.019526]
    last = [0.016275, -0.091099, -0.012804, 0.063544, 0.013780, -0.079207, -0.000952, -0.004888]
    conv = [-0.464602, 0.215120, 0.793668, 0.998941, 0.734397, 0.124454, -0.544021, -0.956635,
            -0.919329, -0.449647, 0.231510, 0.803784, 0.998027, 0.722881, 0.107754, -0.558052]  # fmt: skip
    state, conv_state = np.zeros((1, 2, 2, 2), "f4"), np.zeros((1, 8, 2), "f4")
    out, final = gdn(**said, state=state, conv_state=conv_state)
    np.testing.assert_allclose(out.ravel(), gated, atol=5e-6)
    np.testing.assert_allclose(final.ravel(), last, atol=2e-6)
    np.testing.assert_allclose(conv_state[0].T.ravel(), conv, atol=2e-6)
    plain = {name: x for name, x in said.items() if name not in ("z", "norm_weight")}
    rows = [0.020250, -0.049894, 0.132338, -0.190610, 0.012893, -0.018367, 0.015640, -0.021938, -0.062850, 0.044294, -0.054530, -0.002800]
    np.testing.assert_allclose(gdn(**plain, state=state).out.ravel(), rows, atol=2e-6)
    conv_state[:], carried, outs = 0, state, []
    for part in (slice(0, 2), slice(2, 3)):
        step = {name: x[:, part] if name in ("mixed_qkv", "a", "b", "z") else x for name, x in said.items()}
        out, carried = gdn(**step, state=carried, conv_state=conv_state)
        outs.append(out)
    np.testing.assert_allclose(np.concatenate(outs, 1).ravel(), gated, atol=5e-6)
    np.testing.assert_allclose(carried.ravel(), last, atol=2e-6)


# ------------------------------------------------------------------------------------------------- refusals

Q, V = np.ones((2, 3, 2, 8), "f4"), np.ones((2, 3, 4, 16), "f4")
G, S = np.zeros((2, 3, 4), "f4"), np.zeros((2, 4, 16, 8), "f4")
REFUSED = [
    (ValueError, "gdn: g is absent, expected one of g, alpha", dict(g=None)),
    (ValueError, "gdn: beta is absent", dict(beta=None)),
    (ValueError, "g and alpha are both given", dict(alpha=G + 1)),
    (IndexError, r"g\[1, 2, 3\] is 0.5, expected 0 or less", dict(g=np.where(np.arange(24).reshape(2, 3, 4) == 23, np.float32(0.5), 0))),
    (IndexError, r"g\[0, 0, 0\] is nan", dict(g=G * np.nan)),
    (IndexError, r"beta\[0, 0, 0\] is 2.5, expected 0 to 2", dict(beta=G + 2.5)),
    (IndexError, r"alpha\[0, 0, 0\] is 0, expected a decay above 0", dict(g=None, alpha=G)),
    (ValueError, "g dim 2 is 3, expected 4", dict(g=G[..., :3])),
    (ValueError, "g dtype is f16, expected f32", dict(g=G.astype("f2"))),
    (ValueError, "k dim 3 is 7, expected 8", dict(k=Q[..., :7])),
    (ValueError, "v v_heads is 3, expected a multiple of k_heads 2", dict(v=V[:, :, :3], g=G[..., :3], beta=G[..., :3])),
    (ValueError, "k dtype is bf16, expected f32 like q", dict(k=Q.astype(DTYPES["bfloat16"]))),
    (ValueError, "q rank is 3, expected 4", dict(q=Q[0], k=Q[0], v=V[0])),
    (ValueError, "gdn: q dtype is float64, expected", dict(q=Q.astype("f8"))),
    (ValueError, "out is absent, expected it, state, final_state or z with mixed_qkv", dict(q=None, k=None, v=None, mixed_qkv=Q[:, :, 0], conv_weight=Q[0, 0])),
    (ValueError, "gdn: q rank is 0, expected 4", dict(q=np.float32(1) + np.zeros((), "f4"))),
    (ValueError, "state dim 2 is 8, expected 16", dict(state=S.swapaxes(2, 3))),
    (ValueError, "state dtype is f16, expected f32", dict(state=S.astype("f2"))),
    (ValueError, "state dim 0 is 1, expected 2", dict(state=S[:1])),
    (ValueError, "in_place is True and state is absent", dict(in_place=True)),
    (ValueError, "in_place is True and final_state is given", dict(state=S, in_place=True, final_state=S.copy())),
    (ValueError, "state is read-only", dict(state=np.broadcast_to(np.float32(0), S.shape), in_place=True)),
    (ValueError, "final_state is read-only", dict(final_state=np.broadcast_to(np.float32(0), S.shape))),
    (ValueError, "state_indices is given, expected in_place=True", dict(state=S, state_indices=[0, 1])),
    (IndexError, r"state_indices\[1\] is 2, expected 0 to 1", dict(state=S.copy(), state_indices=[0, 2], in_place=True)),
    (ValueError, r"state_indices\[1\] is 1, expected a slot of its own", dict(state=S.copy(), state_indices=[1, 1], in_place=True)),
    (IndexError, "padding_slot is 2, expected below 2", dict(state=S.copy(), state_indices=[0, 1], in_place=True, padding_slot=2)),
    (ValueError, "padding_slot is 1, expected it only with state_indices", dict(padding_slot=1)),
    (ValueError, "chunk_size is 0, expected 1", dict(chunk_size=0)),
    (ValueError, "l2_eps is 0.5, expected it only with normalize_qk", dict(l2_eps=0.5)),
    (ValueError, "softmax_scale is inf", dict(softmax_scale=float("inf"))),
    (ValueError, "conv_weight is given, expected it only with mixed_qkv", dict(conv_weight=Q[0, 0])),
    (ValueError, "q and mixed_qkv are both given", dict(mixed_qkv=Q[:, :, 0], out=V.copy())),
    (ValueError, "norm_weight is absent, expected it with z", dict(z=V)),
    (ValueError, "out dim 2 is 2, expected 4", dict(out=V[:, :, :2].copy())),
    (ValueError, "out_dtype is f16 and out is f32", dict(out=V.copy(), out_dtype="float16")),
    (ValueError, "out memory overlaps v", dict(v=V, out=V)),
    (ValueError, "kernel is 'gdn/native/none', expected one of gdn/native", dict(kernel="gdn/native/none")),
    (RuntimeError, "no cuda backend is loaded", dict(device="cuda")),
    (NotImplementedError, "gdn: causal is given, expected it only with the attention operators; use that operator", dict(causal=True)),
    (NotImplementedError, "gdn: seqused_k is given", dict(seqused_k=[1, 2])),
    (TypeError, "gdn: v is of type NoneType", dict(v=None)),
    (TypeError, "gdn: in_place is 1, expected True or False", dict(in_place=1)),
    (TypeError, "gdn: chunk_size is 1.5, expected an int", dict(chunk_size=1.5)),
    (TypeError, r"gdn\(\) got an unexpected keyword argument 'initial_state'", dict(initial_state=S)),
]


@pytest.mark.parametrize("kind, message, said", REFUSED, ids=[f"{i}-{m[:40]}" for i, (_, m, _) in enumerate(REFUSED)])
def test_refusals(kind, message, said):
    words = {"q": Q, "k": Q, "v": V, "g": G, "beta": G + 1, **said}
    written = [words[name] for name in ("state", "final_state", "out") if words.get(name) is not None]
    before = [x.tobytes() for x in written]
    with pytest.raises(kind, match=message) as caught:
        attend.gdn(**words)
    assert isinstance(caught.value, attend.Error) == (kind is not TypeError)
    assert [x.tobytes() for x in written] == before


def test_supports_and_explain():
    said = dict(g=G, beta=G + 1)
    assert [a.kernel for a in attend.explain("gated_delta_net", Q, Q, V, **said)] == [r.name for r in attend.kernels() if r.op == "gdn" and r.device == "native"]
    support = attend.supports("gdn", Q, Q, V, **said)
    assert support and support.kernel == attend.gdn(Q, Q, V, **said).kernel
    assert not attend.supports("gdn", Q, Q, V, causal=True, **said)
    assert "causal is given" in attend.supports("gdn", Q, Q, V, causal=True, **said).reason


def test_result():
    result = attend.gdn(Q, Q, V, g=G, beta=G + 1, return_kernel=True)
    out, final_state = result
    assert len(result) == 2 and result.out is out and result.final_state is final_state
    assert repr(result) == f"GdnResult(out=float32[2, 3, 4, 16], final_state=float32[2, 4, 16, 8], kernel='{result.kernel}')"
