from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Literal, NamedTuple, Protocol, TypedDict

from typing_extensions import Unpack

from ._engine import Completion as Completion
from ._engine import Engine as Engine
from ._engine import Progress as Progress
from ._engine import strategies as strategies

class _DLPack(Protocol):
    def __dlpack__(self, *args: Any, **kwargs: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[Any, int]: ...

class _ArrayInterface(Protocol):
    @property
    def __array_interface__(self) -> dict[str, Any]: ...

_Tensor = _DLPack | _ArrayInterface  # NumPy arrays, PyTorch tensors, whatever has __dlpack__
_Index = _Tensor | Sequence[int]  # int32 or int64 tensor, or ints

class _Words(TypedDict, total=False):
    causal: bool
    diagonal: Literal["bottom_right", "top_left"] | None
    window_left: int
    window_right: int
    window: tuple[int, int] | None
    block_size: int
    block_causal: bool
    block_origin: _Index | None
    q_start: _Index | None
    prefix_lens: _Index | None
    hole_starts: _Index | None
    hole_ends: _Index | None
    q_segment_ids: _Index | None
    kv_segment_ids: _Index | None
    keep: _Tensor | None
    softmax_scale: float | None
    softcap: float
    bias: _Tensor | None
    alibi_slopes: _Tensor | None
    sinks: _Tensor | None
    mask_with_bias: Literal["both", "bias_only"] | None
    init_bias: Callable[[], _Tensor] | None
    allow_tf32: bool
    deterministic: bool
    dropout_p: float
    dropout_seed: int | None
    dropout_offset: int
    cu_seqlens_q: _Index | None
    cu_seqlens_k: _Index | None
    seqused_q: _Index | None
    seqused_k: _Index | None
    max_seqlen_q: int
    max_seqlen_k: int
    out: Any
    out_dtype: Any
    return_lse: bool
    return_weights: bool
    return_scores: Literal["scaled", "capped", "masked"] | bool | None
    weights_dtype: Any
    return_kernel: bool
    kernel: str | None
    device: Literal["native", "cuda", "rocm"] | None
    stream: Any
    check_indices: bool

class _PagedWords(TypedDict, total=False):
    causal: bool
    diagonal: Literal["bottom_right", "top_left"] | None
    window_left: int
    window_right: int
    window: tuple[int, int] | None
    block_size: int
    block_causal: bool
    block_origin: _Index | None
    q_start: _Index | None
    prefix_lens: _Index | None
    hole_starts: _Index | None
    hole_ends: _Index | None
    q_segment_ids: _Index | None
    kv_segment_ids: _Index | None
    keep: _Tensor | None
    softmax_scale: float | None
    softcap: float
    bias: _Tensor | None
    alibi_slopes: _Tensor | None
    sinks: _Tensor | None
    mask_with_bias: Literal["both", "bias_only"] | None
    init_bias: Callable[[], _Tensor] | None
    allow_tf32: bool
    deterministic: bool
    dropout_p: float
    dropout_seed: int | None
    dropout_offset: int
    cu_seqlens_q: _Index | None
    cu_seqlens_k: _Index | None
    seqused_q: _Index | None
    seqused_k: _Index | None
    max_seqlen_q: int
    max_seqlen_k: int
    block_table: _Index | Sequence[Sequence[int]] | None
    kv_indptr: _Index | None
    kv_indices: _Index | None
    kv_last_page_len: _Index | None
    context_lens: _Index | None
    k_new: _Tensor | None
    v_new: _Tensor | None
    slot_mapping: _Index | None
    k_descale: _Tensor | float | None
    v_descale: _Tensor | float | None
    kv_dtype: Any
    out: Any
    out_dtype: Any
    return_lse: bool
    return_kernel: bool
    kernel: str | None
    device: Literal["native", "cuda", "rocm"] | None
    stream: Any
    check_indices: bool

class _SplashWords(TypedDict, total=False):
    causal: bool
    diagonal: Literal["bottom_right", "top_left"] | None
    window_left: int
    window_right: int
    window: tuple[int, int] | None
    block_size: int
    block_causal: bool
    block_origin: _Index | None
    q_start: _Index | None
    prefix_lens: _Index | None
    hole_starts: _Index | None
    hole_ends: _Index | None
    q_segment_ids: _Index | None
    kv_segment_ids: _Index | None
    keep: _Tensor | None
    softmax_scale: float | None
    softcap: float
    bias: _Tensor | None
    alibi_slopes: _Tensor | None
    sinks: _Tensor | None
    mask_with_bias: Literal["both", "bias_only"] | None
    init_bias: Callable[[], _Tensor] | None
    allow_tf32: bool
    deterministic: bool
    dropout_p: float
    dropout_seed: int | None
    dropout_offset: int
    cu_seqlens_q: _Index | None
    cu_seqlens_k: _Index | None
    seqused_q: _Index | None
    seqused_k: _Index | None
    max_seqlen_q: int
    max_seqlen_k: int
    block_mask: _Tensor | None
    block_mask_q: int
    block_mask_k: int
    out: Any
    out_dtype: Any
    return_lse: bool
    return_kernel: bool
    kernel: str | None
    device: Literal["native", "cuda", "rocm"] | None
    stream: Any
    check_indices: bool

class _DecodeWords(TypedDict, total=False):
    causal: bool
    diagonal: Literal["bottom_right", "top_left"] | None
    window_left: int
    window_right: int
    window: tuple[int, int] | None
    block_size: int
    block_causal: bool
    block_origin: _Index | None
    q_start: _Index | None
    prefix_lens: _Index | None
    hole_starts: _Index | None
    hole_ends: _Index | None
    q_segment_ids: _Index | None
    kv_segment_ids: _Index | None
    keep: _Tensor | None
    start: _Index | None
    end: _Index | None
    softmax_scale: float | None
    softcap: float
    bias: _Tensor | None
    alibi_slopes: _Tensor | None
    sinks: _Tensor | None
    mask_with_bias: Literal["both", "bias_only"] | None
    init_bias: Callable[[], _Tensor] | None
    allow_tf32: bool
    deterministic: bool
    dropout_p: float
    dropout_seed: int | None
    dropout_offset: int
    seqused_q: _Index | None
    seqused_k: _Index | None
    max_seqlen_q: int
    max_seqlen_k: int
    k_descale: _Tensor | float | None
    v_descale: _Tensor | float | None
    kv_dtype: Any
    out: Any
    out_dtype: Any
    return_lse: bool
    return_kernel: bool
    kernel: str | None
    device: Literal["native", "cuda", "rocm"] | None
    stream: Any
    check_indices: bool

class _SdpaWords(TypedDict, total=False):
    causal: bool
    diagonal: Literal["bottom_right", "top_left"] | None
    window_left: int
    window_right: int
    window: tuple[int, int] | None
    block_size: int
    block_causal: bool
    block_origin: _Index | None
    q_start: _Index | None
    prefix_lens: _Index | None
    hole_starts: _Index | None
    hole_ends: _Index | None
    q_segment_ids: _Index | None
    kv_segment_ids: _Index | None
    keep: _Tensor | None
    softmax_scale: float | None
    softcap: float
    bias: _Tensor | None
    alibi_slopes: _Tensor | None
    sinks: _Tensor | None
    mask_with_bias: Literal["both", "bias_only"] | None
    init_bias: Callable[[], _Tensor] | None
    allow_tf32: bool
    deterministic: bool
    dropout_p: float
    dropout_seed: int | None
    dropout_offset: int
    cu_seqlens_q: _Index | None
    cu_seqlens_k: _Index | None
    seqused_q: _Index | None
    seqused_k: _Index | None
    max_seqlen_q: int
    max_seqlen_k: int
    out: Any
    out_dtype: Any
    return_lse: bool
    return_kernel: bool
    kernel: str | None
    device: Literal["native", "cuda", "rocm"] | None
    stream: Any
    check_indices: bool

class _RingWords(TypedDict, total=False):
    causal: bool
    diagonal: Literal["bottom_right", "top_left"] | None
    window_left: int
    window_right: int
    window: tuple[int, int] | None
    block_size: int
    block_causal: bool
    block_origin: _Index | None
    q_start: _Index | None
    prefix_lens: _Index | None
    hole_starts: _Index | None
    hole_ends: _Index | None
    q_segment_ids: _Index | None
    kv_segment_ids: _Index | None
    keep: _Tensor | None
    softmax_scale: float | None
    softcap: float
    bias: _Tensor | None
    alibi_slopes: _Tensor | None
    sinks: _Tensor | None
    mask_with_bias: Literal["both", "bias_only"] | None
    init_bias: Callable[[], _Tensor] | None
    allow_tf32: bool
    deterministic: bool
    dropout_p: float
    dropout_seed: int | None
    dropout_offset: int
    cu_seqlens_q: _Index | None
    cu_seqlens_k: _Index | None
    seqused_q: _Index | None
    seqused_k: _Index | None
    max_seqlen_q: int
    max_seqlen_k: int
    ring_transport: RingTransport | None
    ring_placement: Literal["contiguous", "zigzag"]
    out: Any
    out_dtype: Any
    return_lse: bool
    return_kernel: bool
    kernel: str | None
    device: Literal["native", "cuda", "rocm"] | None
    stream: Any
    check_indices: bool

class _GdnWords(TypedDict, total=False):
    g: _Tensor | None
    beta: _Tensor | None
    alpha: _Tensor | None
    softmax_scale: float | None
    normalize_qk: bool
    l2_eps: float
    chunk_size: int
    cu_seqlens: _Index | None
    state: _Tensor | None
    in_place: bool
    final_state: Any
    state_indices: _Index | None
    padding_slot: int
    mixed_qkv: _Tensor | None
    conv_weight: _Tensor | None
    conv_bias: _Tensor | None
    conv_state: _Tensor | None
    k_heads: int
    v_heads: int
    conv_silu: bool
    a: _Tensor | None
    b: _Tensor | None
    a_log: _Tensor | None
    dt_bias: _Tensor | None
    z: _Tensor | None
    norm_weight: _Tensor | None
    norm_eps: float
    out: Any
    out_dtype: Any
    return_kernel: bool
    kernel: str | None
    device: Literal["native", "cuda", "rocm"] | None
    stream: Any
    check_indices: bool

class _MergeWords(TypedDict, total=False):
    out: Any
    lse: Any
    out_dtype: Any
    return_kernel: bool
    kernel: str | None
    device: Literal["native", "cuda", "rocm"] | None
    stream: Any
    check_indices: bool

class _AppendWords(TypedDict, total=False):
    k_descale: _Tensor | float | None
    v_descale: _Tensor | float | None
    kv_dtype: Any
    return_kernel: bool
    kernel: str | None
    device: Literal["native", "cuda", "rocm"] | None
    stream: Any
    check_indices: bool

class Result(NamedTuple):
    out: Any
    lse: Any
    weights: Any
    scores: Any
    kernel: str
    note: str

class GdnResult(tuple[Any, Any]):
    out: Any
    final_state: Any
    kernel: str

class MergeResult(tuple[Any, Any]):
    out: Any
    lse: Any
    kernel: str

class Answer(NamedTuple):
    kernel: str
    ok: bool
    reason: str

class Support(NamedTuple):
    ok: bool
    kernel: str
    reason: str
    def __bool__(self) -> bool: ...

class Kernel(NamedTuple):
    op: str
    device: str
    name: str
    summary: str
    priority: int
    available: bool
    reason: str

class Backend(NamedTuple):
    name: str
    device: str
    device_count: int
    status: str
    path: str

class Tensor:
    def __dlpack__(self, **kwargs: Any) -> Any: ...
    def __dlpack_device__(self) -> tuple[int, int]: ...
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> str: ...
    @property
    def device(self) -> str: ...
    def to(self, device: str) -> Tensor: ...
    def numpy(self) -> Any: ...

class RingTransport:
    @property
    def rank(self) -> int: ...
    @property
    def size(self) -> int: ...

class InProcessRing:
    def __init__(self, ranks: int) -> None: ...
    @property
    def size(self) -> int: ...
    def transport(self, rank: int) -> RingTransport: ...
    def abort(self, why: str) -> None: ...
    def reset(self) -> None: ...

class Error(Exception):
    code: str

class InvalidArgumentError(Error, ValueError): ...
class UnsupportedError(Error, NotImplementedError): ...
class BackendUnavailableError(Error, RuntimeError): ...
class DeviceError(Error, RuntimeError): ...
class NoMetadataError(Error, RuntimeError): ...
class OutOfRangeError(Error, IndexError): ...
class OutOfMemoryError(Error, MemoryError): ...

__version__: str

# The result is out, of the type of q, or a Result if any return_ word is said; gdn's and merge's are pairs. run,
# explain and supports take an operator's tensors by position and all of its words.
def run(op: str, /, *tensors: _Tensor, **words: Any) -> Any: ...
def explain(op: str, /, *tensors: _Tensor, **words: Any) -> list[Answer]: ...
def supports(op: str, /, *tensors: _Tensor, **words: Any) -> Support: ...
def vanilla(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_Words]) -> Any: ...
def flash(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_Words]) -> Any: ...
def flash_attn2(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_Words]) -> Any: ...
def paged(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_PagedWords]) -> Any: ...
def paged_attention(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_PagedWords]) -> Any: ...
def splash(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_SplashWords]) -> Any: ...
def decode(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_DecodeWords]) -> Any: ...
def autoregressive_decode(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_DecodeWords]) -> Any: ...
def sdpa(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_SdpaWords]) -> Any: ...
def cudnn(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_SdpaWords]) -> Any: ...
def cuda_flash_attn2(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_SdpaWords]) -> Any: ...
def ring(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_RingWords]) -> Any: ...
def gdn(q: _Tensor | None = None, k: _Tensor | None = None, v: _Tensor | None = None, **words: Unpack[_GdnWords]) -> GdnResult: ...
def gated_delta_net(q: _Tensor | None = None, k: _Tensor | None = None, v: _Tensor | None = None, **words: Unpack[_GdnWords]) -> GdnResult: ...
def merge(out_a: _Tensor, lse_a: _Tensor, out_b: _Tensor, lse_b: _Tensor, **words: Unpack[_MergeWords]) -> MergeResult: ...
def append(k: _Tensor, v: _Tensor, k_new: _Tensor, v_new: _Tensor, slot_mapping: _Index, **words: Unpack[_AppendWords]) -> str | None: ...
def kernels() -> list[Kernel]: ...
def backends() -> list[Backend]: ...
def load_backend(path: str | PathLike[str]) -> None: ...
def empty(shape: Sequence[int], dtype: str = "float32", device: str = "native", pinned: bool = False) -> Tensor: ...
def to_device(tensor: _Tensor, device: str) -> Tensor: ...
def ring_cut(placement: str, length: int, rank: int, ranks: int) -> tuple[tuple[int, int], ...]: ...
def load_failures() -> list[tuple[str, str]]: ...
def native_isa() -> str: ...
def num_threads() -> int: ...
def set_num_threads(count: int) -> None: ...
