"""Refusals: the built-in exception that stands for each, the words of the message, and outputs left alone."""

import ast
import inspect
import os
import pathlib
import re
import subprocess
import sys

import ml_dtypes
import numpy as np
import pytest
from dlpack_fake import Producer

import attend


@pytest.fixture
def qkv(make):
    return make(2, 3, 5, 4, 2, 8)


X = np.zeros((2, 3, 4, 8), "f4")
REFUSED = [
    (ValueError, "flash: q rank is 3, expected 4", dict(q=X[0])),
    (ValueError, "flash: q rank is 0, expected 4", dict(q=np.float32(1) + np.zeros((), "f4"))),
    (ValueError, "flash: q rank is 6, expected at most 5", dict(q=np.zeros((1,) * 6, "f4"))),
    (ValueError, r"flash: k dim 3 is 7, expected 8 \(head_dim of q\)", dict(k=np.zeros((2, 5, 2, 7), "f4"))),
    (ValueError, "flash: v dim 1 is 6, expected 5", dict(v=np.zeros((2, 6, 2, 8), "f4"))),
    (ValueError, "flash: q heads is 4, expected a multiple of kv_heads of k, 3", dict(k=np.zeros((2, 5, 3, 8), "f4"), v=np.zeros((2, 5, 3, 8), "f4"))),
    (ValueError, "flash: q dtype is float64, expected float32", dict(q=X.astype("f8"))),
    (ValueError, "flash: q dtype is object, expected float32", dict(q=X.astype(object))),
    (ValueError, "flash: q dtype is complex64, expected float32", dict(q=X.astype("c8"))),
    (ValueError, "flash: q dtype is uint8, expected float32", dict(q=X.astype("u1"))),
    (ValueError, "flash: q dtype is float8_e4m3b11fnuz, expected float32", dict(q=X.astype(ml_dtypes.float8_e4m3b11fnuz))),
    (ValueError, "flash: q dtype is >f4, expected this machine's byte order", dict(q=X.astype(">f4"))),
    (ValueError, "flash: q dtype is void", dict(q=np.zeros((2, 3, 4, 8), [("x", "f4"), ("y", "i1")]))),
    (ValueError, "flash: q stride 3 is 5 bytes, expected a multiple of 4", dict(q=np.zeros((2, 3, 4, 8), [("x", "f4"), ("y", "i1")])["x"])),
    (ValueError, "flash: k dtype is f16, expected f32 like q", dict(k=np.zeros((2, 5, 2, 8), "f2"))),
    (ValueError, "flash: q is a masked array", dict(q=np.ma.array(X, mask=X > 0))),
    (ValueError, "flash: seqused_k dtype is f32, expected i32 or i64", dict(seqused_k=np.ones(2, "f4"))),
    (ValueError, "flash: seqused_k dim 0 is 3, expected 2", dict(seqused_k=[1, 2, 3])),
    (IndexError, r"flash: seqused_k\[1\] is 6, expected 0 to 5", dict(seqused_k=[1, 6])),
    (IndexError, r"flash: q_start\[0\] is \d+, expected 64 bits", dict(q_start=[2**64, 0])),
    (ValueError, "flash: keep dtype is i64, expected bool", dict(keep=np.ones((3, 5), "i8"))),
    (ValueError, "flash: keep dim 1 is 4, expected 1 or 5", dict(keep=np.ones((3, 4), bool))),
    (ValueError, "keep and bias are both given", dict(keep=np.ones((3, 5), bool), bias=np.ones((3, 5), "f4"))),
    (ValueError, "mask_with_bias is 'or', expected 'both', 'bias_only'", dict(mask_with_bias="or")),
    (ValueError, "diagonal is 'left', expected 'bottom_right', 'top_left'", dict(diagonal="left")),
    (ValueError, "softmax_scale is nan, expected a finite number", dict(softmax_scale=float("nan"))),
    (ValueError, "softcap is -1, expected 0", dict(softcap=-1)),
    (ValueError, "window_left is -2, expected -1", dict(window_left=-2)),
    (ValueError, "window is given with window_left or window_right", dict(window=(1, 1), window_left=1)),
    (ValueError, r"window is \(1, 2, 3\), expected \(left, right\)", dict(window=(1, 2, 3))),
    (ValueError, "window_left is 4294967296, expected an int of 32 bits", dict(window_left=2**32)),
    (ValueError, "causal is set and block_size is 4", dict(causal=True, block_size=4)),
    (ValueError, "block_causal is True and block_size is absent", dict(block_causal=True)),
    (ValueError, "dropout_seed is -1, expected an int of 64 bits, 0 or more", dict(dropout_seed=-1)),
    (ValueError, "dropout_seed is absent", dict(dropout_p=0.5, deterministic=False)),
    (ValueError, "out_dtype is 'float64', expected float32", dict(out_dtype="float64")),
    (ValueError, "out dtype is f16, expected f32", dict(out_dtype="float16")),
    (ValueError, "out_dtype is bf16 and out is f32", dict(out_dtype="bfloat16", out=X.copy())),
    (ValueError, "out dim 1 is 4, expected 3", dict(out=np.zeros((2, 4, 4, 8), "f4"))),
    (ValueError, "out dtype is float64, expected float32", dict(out=X.astype("f8"))),
    (ValueError, "out strides put two elements at one address", dict(out=np.lib.stride_tricks.as_strided(np.zeros(99, "f4"), X.shape, (0, 32, 8, 4)))),
    (ValueError, "weights_dtype is given, expected return_weights=True", dict(weights_dtype="float32")),
    (ValueError, "return_scores is 'raw', expected 'scaled', 'capped', 'masked'", dict(return_scores="raw")),
    (ValueError, "cu_seqlens_k is absent", dict(cu_seqlens_q=[0, 1])),
    (ValueError, "device is 'gpu', expected 'native', 'cuda' or 'rocm'", dict(device="gpu")),
    (ValueError, "kernel is 'flash/native/none', expected one of .*flash/native/portable", dict(kernel="flash/native/none")),
    (NotImplementedError, "flash: weights are asked for", dict(return_weights=True)),
    (NotImplementedError, "flash: scores are asked for", dict(return_scores="masked")),
    (NotImplementedError, "flash: dropout_p is set", dict(dropout_p=0.5, deterministic=False, dropout_seed=1)),
    (NotImplementedError, "flash: block_table is given, expected it only with paged", dict(block_table=np.zeros((2, 1), "i4"))),
    (NotImplementedError, "flash: k_new is given", dict(k_new=X)),
    (NotImplementedError, "bf16: q dtype is not bf16", dict(kernel="flash/native/avx512_bf16")),
    (RuntimeError, "no cuda backend is loaded", dict(device="cuda")),
    (RuntimeError, "no rocm backend is loaded", dict(device="rocm")),
    (RuntimeError, "no cuda backend is loaded", dict(q=Producer(X, device=(2, 0)))),
    (ValueError, "flash: k is on cuda:0, expected native:0", dict(k=Producer(X, device=(2, 0)))),
    (ValueError, "flash: q device type is 8, expected 1", dict(q=Producer(X, device=(8, 0)))),
    (ValueError, "flash: q dtype is float64, expected float32", dict(q=Producer(X.astype("f8"), bits=64))),
    (ValueError, "flash: q dtype is uint32, expected float32", dict(q=Producer(X, code=1))),
    (ValueError, "flash: q dtype is float32x4, expected float32", dict(q=Producer(X, lanes=4))),
    (ValueError, "flash: q comes with DLPack version 2", dict(q=Producer(X, major=2))),
    (TypeError, "flash: q is of type list, expected a NumPy array", dict(q=X.tolist())),
    (TypeError, "flash: k is of type NoneType", dict(k=None)),
    (TypeError, "flash: bias is of type float", dict(bias=1.5)),
    (TypeError, r"flash: seqused_k\[1\] is 2.0, expected an int", dict(seqused_k=[1, 2.0])),
    (TypeError, "flash: causal is 'no', expected True or False", dict(causal="no")),
    (TypeError, "flash: causal is 1, expected True or False", dict(causal=1)),
    (TypeError, "flash: softcap is '1', expected a number", dict(softcap="1")),
    (TypeError, "flash: window_left is 1.0, expected an int", dict(window_left=1.0)),
    (TypeError, r"flash: window is 3, expected \(left, right\)", dict(window=3)),
    (TypeError, "flash: init_bias is 3, expected a callable", dict(init_bias=3)),
    (TypeError, "flash: kernel is 3, expected a str", dict(kernel=3)),
    (TypeError, r"flash\(\) got an unexpected keyword argument 'is_causal'", dict(is_causal=True)),
]


@pytest.mark.parametrize("kind, message, said", REFUSED, ids=[f"{i}-{m[:40]}" for i, (_, m, _) in enumerate(REFUSED)])
def test_refusals(qkv, kind, message, said):
    q, k, v = (said.get(name, x) for name, x in zip("qkv", qkv))
    said = {name: value for name, value in said.items() if name not in ("q", "k", "v")}
    if said.get("kernel") == "flash/native/avx512_bf16" and not next(row.available for row in attend.kernels() if row.name == said["kernel"]):
        pytest.skip("this machine cannot run " + said["kernel"])
    out = said.setdefault("out", np.full(X.shape, 7, "f4")) if not {"out_dtype"} & said.keys() else None
    before = None if out is None else out.tobytes()
    with pytest.raises(kind, match=message) as caught:
        attend.flash(q, k, v, **said)
    if kind is TypeError:
        assert type(caught.value) is TypeError
    else:
        assert isinstance(caught.value, attend.Error) and caught.value.code
    if out is not None:
        assert out.tobytes() == before


def test_overlapping_out(qkv):
    q, k, v = qkv
    memory = np.zeros(2 * q.size, "f4")
    inside = memory[: q.size].reshape(q.shape)
    inside[:] = q
    for out in (inside, memory[8 : 8 + q.size].reshape(q.shape)):
        with pytest.raises(ValueError, match="flash: out memory overlaps q, expected memory of its own"):
            attend.flash(inside, k, v, out=out)
    np.testing.assert_array_equal(inside, q)


def test_vanilla_names_itself(qkv):
    with pytest.raises(ValueError, match="^vanilla: k dim 3"):
        attend.vanilla(qkv[0], qkv[1][..., :3], qkv[2])


def test_unknown_operators(qkv):
    with pytest.raises(ValueError, match="name is 'fast', expected one of vanilla, flash"):
        attend.run("fast", *qkv)
    with pytest.raises(ValueError, match="gdn: g is absent"):
        attend.run("gated_delta_net", *qkv)
    with pytest.raises(TypeError):
        attend.flash(*qkv[:2])
    for ask in (attend.run, attend.explain, attend.supports):
        with pytest.raises(TypeError, match=r"flash\(\) is missing the argument 'v'"):
            ask("flash", *qkv[:2])
        with pytest.raises(TypeError, match=r"flash\(\) got multiple values for argument 'k'"):
            ask("flash", *qkv[:2], k=qkv[1])
        with pytest.raises(TypeError, match=r"flash\(\) takes 3 tensors by position, 4 were given"):
            ask("flash", *qkv, qkv[0])
    np.testing.assert_array_equal(attend.run("flash", qkv[0], v=qkv[2], k=qkv[1]), attend.flash(*qkv))


def test_aliases():
    for alias, name in (
        ("flash_attn2", "flash"), ("paged_attention", "paged"), ("autoregressive_decode", "decode"),
        ("cudnn", "sdpa"), ("cuda_flash_attn2", "sdpa"), ("gated_delta_net", "gdn"),
    ):  # fmt: skip
        assert getattr(attend, alias) is getattr(attend, name)


def test_bad_cu_seqlens(make):
    q, k, v = (x[0] for x in make(1, 6, 6, 2, 2, 8))
    for kind, message, cu in (
        (ValueError, r"cu_seqlens_q\[0\] is 1, expected 0", [1, 6]),
        (ValueError, r"cu_seqlens_q\[2\] is 3, expected at least 4", [0, 4, 3]),
        (IndexError, r"cu_seqlens_q\[1\] is 7, expected at most 6", [0, 7]),
    ):
        for words in ({}, {"return_weights": True, "return_scores": "masked"}):
            with pytest.raises(kind, match=message):
                attend.vanilla(q, k, v, cu_seqlens_q=cu, cu_seqlens_k=cu, **words)


def test_out_of_memory(make):
    q, k, v = make(1, 1, 1, 1, 1, 8)
    with pytest.raises(MemoryError):
        attend.vanilla(np.broadcast_to(q, (1, 2**22, 1, 8)), *(np.broadcast_to(x, (1, 2**36, 1, 8)) for x in (k, v)), return_weights=True)


def test_exceptions_of_callables_pass(qkv):
    def broken():
        raise KeyError("mine")

    with pytest.raises(KeyError, match="mine"):
        attend.flash(*qkv, init_bias=broken)
    with pytest.raises(ValueError, match="bias dtype is float64"):
        attend.flash(*qkv, init_bias=lambda: np.zeros((3, 5)))


def test_classes():
    for kind, builtin in (
        (attend.InvalidArgumentError, ValueError), (attend.UnsupportedError, NotImplementedError), (attend.OutOfRangeError, IndexError),
        (attend.OutOfMemoryError, MemoryError), (attend.BackendUnavailableError, RuntimeError), (attend.DeviceError, RuntimeError), (attend.NoMetadataError, RuntimeError),
    ):
        assert issubclass(kind, builtin) and issubclass(kind, attend.Error)
        assert kind.__module__ == "attend" and kind("words").code in ("invalid_argument", "unsupported", "out_of_range", "out_of_memory", "backend_unavailable", "device_error", "no_metadata")


def test_explain_and_supports(qkv):
    answers = attend.explain("flash_attn2", *qkv, causal=True)
    assert [a.kernel for a in answers] == [row.name for row in attend.kernels() if row.op == "flash" and row.device == "native"]
    first = next(a for a in answers if a.ok)
    support = attend.supports("flash", *qkv, causal=True)
    assert support and support.kernel == first.kernel == attend.flash(*qkv, causal=True, return_kernel=True).kernel
    assert all(a.reason for a in answers if not a.ok)
    refused = attend.supports("flash", *qkv, return_weights=True)
    assert not refused and "weights are asked for" in refused.reason
    assert not attend.supports("flash", *qkv, device="cuda")
    assert "no cuda backend is loaded" in attend.supports("flash", *qkv, device="cuda").reason
    with pytest.raises(NotImplementedError, match="weights are asked for"):
        attend.explain("flash", *qkv, return_weights=True)
    assert [a.kernel for a in attend.explain("vanilla", *qkv, kernel="vanilla/native/eigen")] == ["vanilla/native/eigen"]


def test_registry():
    rows = attend.kernels()
    assert {"vanilla/native/eigen", "flash/native/portable"} <= {row.name for row in rows}
    for row in rows:
        assert row.name.startswith(f"{row.op}/{row.device}/") and row.summary and row.available == (row.reason == "")
    native = attend.backends()[0]
    assert (native.name, native.device, native.device_count, native.status, native.path) == ("native", "native", 1, "ok", "")
    assert attend.load_failures() == []
    for path in ("/nowhere/libattend_cuda.so", pathlib.Path("/nowhere/libattend_cuda.so")):
        with pytest.raises(RuntimeError, match="load_backend: /nowhere/libattend_cuda.so cannot be opened"):
            attend.load_backend(path)


def test_threads_setting():
    before = attend.num_threads()
    attend.set_num_threads(before + 1)
    assert attend.num_threads() == before + 1
    attend.set_num_threads(before)
    with pytest.raises(ValueError, match="count is 0, expected 1 or more"):
        attend.set_num_threads(0)


def test_environment():
    code = "import numpy as np, attend; x = np.ones((1, 2, 1, 4), 'f4'); print(attend.flash(x, x, x, return_kernel=True).kernel, attend.native_isa(), attend.num_threads())"
    run = lambda **words: subprocess.run([sys.executable, "-c", code], env={**os.environ, **words}, capture_output=True, text=True)
    assert run(ATTEND_ISA="baseline", ATTEND_NUM_THREADS="3").stdout.split() == ["flash/native/portable", "portable", "3"]
    assert "BackendUnavailableError: no cuda backend is loaded" in run(ATTEND_DEVICE="cuda").stderr
    assert "ATTEND_DEVICE is 'tpu', expected native, cuda or rocm" in run(ATTEND_DEVICE="tpu").stderr


OPERATORS = ["vanilla", "flash", "paged", "splash", "decode", "sdpa", "ring", "gdn", "merge", "append"]


def keywords(function):
    return [p.name for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY]


def test_help_signature_and_stubs_name_every_word():
    """What each operator's help and stub say is what its signature says, and the binding knows all of it."""
    from attend import _attend

    folder = pathlib.Path(attend.__file__).parent
    stub = ast.parse((folder / "__init__.pyi").read_text())
    assert (folder / "py.typed").exists()
    classes = {node.name: [x.target.id for x in node.body if isinstance(x, ast.AnnAssign)] for node in stub.body if isinstance(node, ast.ClassDef)}
    functions = {node.name: node.args for node in stub.body if isinstance(node, ast.FunctionDef)}
    told, taken = set(), set()
    for name in OPERATORS:
        function, args = getattr(attend, name), functions[name]
        assert classes[ast.unparse(args.kwarg.annotation)[len("Unpack[") : -1]] == keywords(function), name
        tensors = [a.arg for a in args.args]
        assert tensors + keywords(function) == list(inspect.signature(function).parameters), name
        assert all(f"    {word}: " in function.__doc__ for word in keywords(function)), name
        known = _attend.known_words(name)
        assert len(known) == len(set(known)) and set(tensors + keywords(function)) <= set(known), name
        told |= set(tensors + keywords(function))
        taken |= set(known)
    assert told == taken
    for function in (attend.run, attend.explain, attend.supports):
        assert all(f"    {word}: " in function.__doc__ for word in keywords(function))
        assert set(keywords(attend.flash)) | set(keywords(attend.paged)) <= set(keywords(function))
    public = {n.name for n in stub.body if isinstance(n, (ast.ClassDef, ast.FunctionDef)) and not n.name.startswith("_")}
    assert public | {"__version__"} == set(attend.__all__) and all(hasattr(attend, name) for name in attend.__all__)
    assert re.fullmatch(r"\d+\.\d+\.\d+", attend.__version__)


@pytest.mark.parametrize("name", OPERATORS)
def test_every_default_may_be_said(rng, name):
    x = lambda *shape: rng.standard_normal(shape).astype("f4")
    tensors, said = {
        "paged": (lambda: (x(2, 3, 4, 8), x(4, 4, 2, 8), x(4, 4, 2, 8)), dict(block_table=[[0], [2]], seqused_k=[4, 1])),
        "decode": (lambda: (x(2, 1, 4, 8), x(2, 5, 2, 8), x(2, 5, 2, 8)), {}),
        "gdn": (lambda: (x(2, 3, 2, 8), x(2, 3, 2, 8), x(2, 3, 4, 8)), dict(g=-abs(x(2, 3, 4)), beta=np.ones((2, 3, 4), "f4"))),
        "merge": (lambda: (x(2, 3, 4, 8), x(2, 4, 3), x(2, 3, 4, 8), x(2, 4, 3)), {}),
        "append": (lambda: (x(3, 4, 2, 8), x(3, 4, 2, 8), x(2, 2, 8), x(2, 2, 8), [1, 9]), {}),
    }.get(name, (lambda: (x(2, 3, 4, 8), x(2, 5, 2, 8), x(2, 5, 2, 8)), {}))
    tensors, function = tensors(), getattr(attend, name)
    defaults = {p.name: p.default for p in inspect.signature(function).parameters.values() if p.kind is p.KEYWORD_ONLY}
    for words in (defaults, dict.fromkeys(defaults)):
        one, other = function(*tensors, **{**words, **said}), function(*tensors, **said)
        for a, b in [(one, other)] if isinstance(one, np.ndarray) or one is None else zip(one, other):
            np.testing.assert_array_equal(a, b)
