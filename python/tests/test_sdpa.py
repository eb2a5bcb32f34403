"""The frameworks' scaled dot product attention: PyTorch's definition and ONNX's operator tests, both in NumPy here.

The frameworks put heads first; attend takes the same memory as views.
"""

import numpy as np
import pytest
from conftest import DTYPES, rows_of
from reference import judge

import attend


@pytest.fixture(params=rows_of("sdpa"))
def kernel(request):
    """Every row of sdpa that this machine can run."""
    return request.param


@pytest.fixture
def run(kernel):
    def call(q, k, v, **words):
        answer = next(a for a in attend.explain("sdpa", q, k, v, **words) if a.kernel == kernel)
        if not answer.ok:
            pytest.skip(f"{kernel}: {answer.reason}")
        return attend.sdpa(q, k, v, kernel=kernel, return_kernel=True, **words).out

    return call


def by_definition(query, key, value, attn_mask=None, is_causal=False, scale=None):
    """torch.nn.functional.scaled_dot_product_attention as its documentation writes it, with GQA, in float64;
    heads first. A row without a visible key gives 0."""
    query, key, value = (x.astype("f8") for x in (query, key, value))
    L, S = query.shape[-2], key.shape[-2]
    scale = query.shape[-1] ** -0.5 if scale is None else scale
    bias = np.zeros((L, S))
    if is_causal:
        bias = np.where(np.tril(np.ones((L, S), bool)), bias, -np.inf)
    if attn_mask is not None:
        bias = bias + (np.where(attn_mask, 0, -np.inf) if attn_mask.dtype == bool else attn_mask.astype("f8"))
    groups = query.shape[-3] // key.shape[-3]
    key, value = key.repeat(groups, -3), value.repeat(groups, -3)
    weight = query @ key.swapaxes(-2, -1) * scale + bias
    top = weight.max(-1, keepdims=True, initial=-np.inf)
    weight = np.exp(weight - np.where(np.isneginf(top), 0, top))
    total = weight.sum(-1, keepdims=True)
    return np.where(total > 0, weight / np.where(total > 0, total, 1), 0) @ value


def first_heads(*tensors):
    return [x.swapaxes(1, 2) for x in tensors]


def draw(rng, *shapes, dtype="float32"):
    return [rng.random(shape).astype(DTYPES[dtype]) for shape in shapes]


def assert_near(out, want, dtype):
    bound = {"float32": 2e-6, "float16": 2e-3, "bfloat16": 1.6e-2}[dtype]  # values lie in 0 to 1
    np.testing.assert_allclose(out.swapaxes(1, 2).astype("f8"), want, atol=bound, rtol=0)


# The cases of ONNX's Attention operator tests: name, heads-first shapes, words of the operator.
Q, KV, GQA = (2, 3, 4, 8), (2, 3, 6, 8), (2, 9, 4, 8)
ONNX = {
    "attention_4d": (Q, KV, KV, {}),
    "attention_4d_gqa": (GQA, KV, KV, {}),
    "attention_4d_diff_heads_sizes": (Q, KV, (2, 3, 6, 10), {}),
    "attention_4d_scaled": (Q, KV, KV, dict(scale=1e-2)),
    "attention_4d_gqa_scaled": (GQA, KV, KV, dict(scale=1e-2)),
    "attention_4d_causal": (Q, KV, KV, dict(is_causal=True)),
    "attention_4d_gqa_causal": (GQA, KV, KV, dict(is_causal=True)),
    "attention_4d_diff_heads_sizes_causal": (Q, KV, (2, 3, 6, 10), dict(is_causal=True)),
    "attention_4d_attn_mask": (Q, KV, KV, dict(mask=(4, 6))),
    "attention_4d_attn_mask_3d": (Q, KV, KV, dict(mask=(1, 4, 6))),
    "attention_4d_attn_mask_4d": (Q, KV, KV, dict(mask=(2, 3, 4, 6))),
    "attention_4d_attn_mask_3d_causal": (Q, KV, KV, dict(mask=(1, 4, 6), is_causal=True)),
    "attention_4d_attn_mask_4d_causal": (Q, KV, KV, dict(mask=(2, 3, 4, 6), is_causal=True)),
    "attention_4d_attn_mask_bool": (Q, KV, KV, dict(mask=(4, 6), boolean=True)),
    "attention_4d_attn_mask_bool_4d": (Q, KV, KV, dict(mask=(2, 3, 4, 6), boolean=True)),
    "attention_4d_gqa_attn_mask": (GQA, KV, KV, dict(mask=(4, 6))),
    "attention_4d_diff_heads_sizes_attn_mask": (Q, KV, (2, 3, 6, 10), dict(mask=(4, 6))),
    "attention_4d_with_past_and_present": (Q, (2, 3, 18, 8), (2, 3, 18, 8), dict(mask=(4, 18))),
    "attention_4d_gqa_with_past_and_present": (GQA, (2, 3, 18, 8), (2, 3, 18, 8), dict(mask=(4, 18))),
}


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("name", ONNX)
def test_onnx_attention(run, rng, name, dtype):
    *shapes, words = ONNX[name]
    q, k, v = draw(rng, *shapes, dtype=dtype)
    ours, theirs = {}, {key: words[key] for key in ("is_causal", "scale") if key in words}
    if "mask" in words:
        mask = rng.random(words["mask"]) < 0.6 if words.get("boolean") else rng.random(words["mask"]).astype("f4")
        theirs["attn_mask"] = mask
        ours["keep" if mask.dtype == bool else "bias"] = mask
    if "scale" in words:
        ours["softmax_scale"] = words["scale"]
    out = run(*first_heads(q, k, v), causal=words.get("is_causal", False), **ours)
    assert_near(out, by_definition(q, k, v, **theirs), dtype)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("shapes", [((2, 8, 128, 64), (2, 8, 128, 64)), ((1, 6, 70, 80), (1, 2, 131, 80)), ((3, 8, 1, 128), (3, 1, 57, 128)), ((1, 4, 65, 16), (1, 4, 33, 16))], ids=str)
@pytest.mark.parametrize("which", ["plain", "causal", "bool", "float", "float16 mask", "key padding", "empty rows"])
def test_torch_definition(run, rng, shapes, which, dtype):
    q, k, v = draw(rng, shapes[0], shapes[1], shapes[1], dtype=dtype)
    rows, keys = q.shape[2], k.shape[2]
    mask = {
        "bool": lambda: rng.random((1, 1, rows, keys)) < 0.7,
        "float": lambda: rng.standard_normal((rows, keys)).astype("f4"),
        "float16 mask": lambda: rng.standard_normal((q.shape[0], q.shape[1], rows, keys)).astype("f2"),
        "key padding": lambda: np.arange(keys) < rng.integers(1, keys, (q.shape[0], 1, 1, 1)),
        "empty rows": lambda: np.broadcast_to((np.arange(rows) % 3 > 0)[:, None], (rows, keys)),
    }.get(which, lambda: None)()
    ours = {} if mask is None else {"keep" if mask.dtype == bool else "bias": mask}
    theirs = {} if mask is None else dict(attn_mask=mask)
    out = run(*first_heads(q, k, v), causal=which == "causal", **ours)
    assert_near(out, by_definition(q, k, v, is_causal=which == "causal", **theirs), dtype)


def test_defaults_are_the_frameworks(run, make, rng):
    """Causal from the top left, and a mask beside a bias without a word about the two."""
    q, k, v = make(2, 9, 14, 4, 2, 32)
    keep, bias = rng.random((9, 14)) < 0.7, rng.standard_normal((9, 14)).astype("f4")
    for said, meant in (
        (dict(causal=True), dict(causal=True, diagonal="top_left")),
        (dict(causal=True, diagonal="bottom_right"), dict(causal=True)),
        (dict(keep=keep, bias=bias), dict(keep=keep, bias=bias, mask_with_bias="both")),
        (dict(keep=keep, bias=bias, mask_with_bias="bias_only"), dict(bias=bias)),
        (dict(keep=keep, bias=bias, causal=True), dict(keep=keep, bias=bias, causal=True, diagonal="top_left", mask_with_bias="both")),
    ):
        judge(type("R", (), dict(out=run(q, k, v, **said)))(), q, k, v, **meant)


def test_oracles(run):
    """O1, O2 and O3 of the operator study."""
    fill = lambda shape, phase: np.sin(0.7 * np.arange(np.prod(shape)) + phase).reshape(shape).astype("f4")
    q, k, v = fill((1, 2, 1, 2), 0.1), fill((1, 3, 1, 2), 0.5), fill((1, 3, 1, 2), 0.9)
    near = lambda out, *want: np.testing.assert_allclose(out.ravel(), want, atol=2e-6)
    near(run(q, k, v), 0.531609, 0.326137, 0.629273, 0.394704)
    keep, bias = np.array([[1, 0, 1], [0, 1, 1]], bool), np.array([[0, 1, -1], [2, 0, 0.5]], "f4")
    near(run(q, k, v, keep=keep), 0.404199, 0.436243, 0.514170, -0.057230)
    near(run(q, k, v, keep=keep, bias=bias), 0.612717, 0.746071, 0.404185, -0.151452)
    near(run(q, k, v, keep=keep, bias=bias, mask_with_bias="bias_only"), 0.701060, 0.344205, 0.719490, 0.805772)
    k, v = fill((1, 4, 1, 2), 0.5), fill((1, 4, 1, 2), 0.9)
    near(run(q, k, v, causal=True), 0.783327, 0.999574, 0.763659, 0.550794)
    near(run(q, k, v, causal=True, diagonal="bottom_right"), 0.531609, 0.326137, 0.545637, 0.348489)
    q, k, v = fill((1, 4, 1, 2), 0.1), k[:, :2], v[:, :2]
    near(run(q, k, v, causal=True), 0.783327, 0.999574, 0.763659, 0.550794, 0.762554, 0.525587, 0.764704, 0.574642)
    near(run(q, k, v, causal=True, diagonal="bottom_right"), 0, 0, 0, 0, 0.783327, 0.999574, 0.764704, 0.574642)


def test_lse_and_refusals(make):
    q, k, v = make(1, 5, 7, 2, 2, 16)
    judge(attend.sdpa(q, k, v, causal=True, return_lse=True), q, k, v, causal=True, diagonal="top_left")
    for kind, message, said in (
        (NotImplementedError, "sdpa: return_weights is given, expected it only with vanilla", dict(return_weights=True)),
        (NotImplementedError, "sdpa: dropout_p is set", dict(dropout_p=0.1, dropout_seed=1, deterministic=False)),
        (NotImplementedError, "sdpa: k_new is given", dict(k_new=k)),
        (NotImplementedError, "sdpa: ring_placement is zigzag", dict(ring_placement="zigzag")),
        (TypeError, r"sdpa\(\) got an unexpected keyword argument 'attn_mask'", dict(attn_mask=None)),
        (TypeError, r"sdpa\(\) got an unexpected keyword argument 'is_causal'", dict(is_causal=True)),
    ):
        with pytest.raises(kind, match=message):
            attend.sdpa(q, k, v, **said)
