from collections.abc import Callable, Sequence
from os import PathLike
from typing import Any, Literal, NamedTuple, Protocol, TypedDict

from typing_extensions import Unpack

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
    return_kernel: bool
    weights_dtype: Any
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

# The result is out, of the type of q, or a Result if any return_ word is said.
def run(op: str, q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_Words]) -> Any: ...
def flash(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_Words]) -> Any: ...
def flash_attn2(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_Words]) -> Any: ...
def vanilla(q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_Words]) -> Any: ...
def explain(op: str, q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_Words]) -> list[Answer]: ...
def supports(op: str, q: _Tensor, k: _Tensor, v: _Tensor, **words: Unpack[_Words]) -> Support: ...
def kernels() -> list[Kernel]: ...
def backends() -> list[Backend]: ...
def load_backend(path: str | PathLike[str]) -> None: ...
def load_failures() -> list[tuple[str, str]]: ...
def native_isa() -> str: ...
def num_threads() -> int: ...
def set_num_threads(count: int) -> None: ...
