"""llama.cpp through llama-cpp-python's bindings of its C interface. The checkpoint is written anew
as GGUF with the same numbers, by the package gguf. Keys and values are f32 beside f32 weights, else
f16, llama.cpp's own choice, which has as many bytes."""

from __future__ import annotations

import ctypes
import json
import pathlib
import tempfile

import gguf
import llama_cpp
import numpy as np

VERSION = f"llama-cpp-python {llama_cpp.__version__}"
KINDS = {"qwen2": gguf.MODEL_ARCH.QWEN2, "qwen3": gguf.MODEL_ARCH.QWEN3}
NUMPY = {"F32": np.float32, "BF16": np.uint16}


def to_f32(x: np.ndarray) -> np.ndarray:
    return (x.astype(np.uint32) << 16).view(np.float32) if x.dtype == np.uint16 else x


def to_bf16(x: np.ndarray) -> np.ndarray:
    if x.dtype == np.uint16:
        return x
    bits = np.ascontiguousarray(x).view(np.uint32)
    return ((bits + 0x7FFF + (bits >> 16 & 1)) >> 16).astype(np.uint16)


def tensors(path: pathlib.Path) -> dict[str, np.ndarray]:
    """Of a file of the safetensors format; bf16 as its bits."""
    with open(path, "rb") as file:
        size = int.from_bytes(file.read(8), "little")
        header = json.loads(file.read(size))
    data, found = np.memmap(path, np.uint8, "r", 8 + size), {}
    for name, about in header.items():
        if name != "__metadata__":
            if about["dtype"] not in NUMPY:
                raise RuntimeError(f"{name} is {about['dtype']}, expected F32 or BF16")
            begin, end = about["data_offsets"]
            found[name] = data[begin:end].view(NUMPY[about["dtype"]]).reshape(about["shape"])
    return found


def convert(folder: pathlib.Path, dtype: str, path: pathlib.Path) -> None:
    """Writes the checkpoint as GGUF; matrices in `dtype`, the rest in f32, as llama.cpp has it."""
    config = json.loads((folder / "config.json").read_text())
    if config["model_type"] not in KINDS:
        raise RuntimeError(f"model_type is {config['model_type']}, expected {' or '.join(KINDS)}")
    arch, layers = KINDS[config["model_type"]], config["num_hidden_layers"]
    writer = gguf.GGUFWriter(path, gguf.MODEL_ARCH_NAMES[arch])
    heads = config["num_attention_heads"]
    head_dim = config.get("head_dim", config["hidden_size"] // heads)
    rope = config.get("rope_parameters") or config
    writer.add_vocab_size(config["vocab_size"])
    writer.add_context_length(config["max_position_embeddings"])
    writer.add_embedding_length(config["hidden_size"])
    writer.add_block_count(layers)
    writer.add_feed_forward_length(config["intermediate_size"])
    writer.add_head_count(heads)
    writer.add_head_count_kv(config["num_key_value_heads"])
    writer.add_key_length(head_dim)
    writer.add_value_length(head_dim)
    writer.add_layer_norm_rms_eps(config["rms_norm_eps"])
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_tokenizer_model("none")
    names = gguf.get_tensor_name_map(arch, layers)
    for file in sorted(folder.glob("*.safetensors")):
        for name, x in tensors(file).items():
            new_name = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if new_name is None:
                raise RuntimeError(f"{name} has no name in GGUF")
            if x.ndim == 1 or dtype == "f32":
                writer.add_tensor(new_name, to_f32(x))
            else:
                writer.add_tensor(new_name, to_bf16(x).view(np.uint8),
                                  raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


class Model:
    def __init__(self, folder: str, dtype: str, threads: int, batch: int, longest: int) -> None:
        llama_cpp.llama_backend_init()
        options = llama_cpp.llama_model_default_params()
        options.load_mode = llama_cpp.LLAMA_LOAD_MODE_NONE  # read whole: the file goes away
        with tempfile.TemporaryDirectory() as place:
            path = pathlib.Path(place) / "model.gguf"
            convert(pathlib.Path(folder), dtype, path)
            self.model = llama_cpp.llama_model_load_from_file(str(path).encode(), options)
        if not self.model:
            raise RuntimeError("llama.cpp did not load the converted checkpoint")
        options = llama_cpp.llama_context_default_params()
        options.n_threads = options.n_threads_batch = threads
        options.n_seq_max, options.n_batch = batch, batch * longest
        options.n_ctx = batch * 256 * -(-longest // 256)  # a request's share is whole blocks
        kv = llama_cpp.GGML_TYPE_F32 if dtype == "f32" else llama_cpp.GGML_TYPE_F16
        options.type_k = options.type_v = kv
        self.context = llama_cpp.llama_init_from_model(self.model, options)
        if not self.context:
            raise RuntimeError("llama.cpp made no context")
        self.vocab = llama_cpp.llama_vocab_n_tokens(llama_cpp.llama_model_get_vocab(self.model))
        self.batch = llama_cpp.llama_batch_init(batch * longest, 0, 1)

    def prefill(self, prompts: list[list[int]]) -> list[int]:
        llama_cpp.llama_memory_clear(llama_cpp.llama_get_memory(self.context), False)
        self.stored = 0
        return self.forward(prompts)

    def step(self, tokens: list[int]) -> list[int]:
        return self.forward([[token] for token in tokens])

    def ids(self, tokens: list[int]) -> list[int]:
        return tokens

    def forward(self, rows: list[list[int]]) -> list[int]:
        last, n = [], 0
        for sequence, tokens in enumerate(rows):
            for i, token in enumerate(tokens):
                self.batch.token[n], self.batch.pos[n] = token, self.stored + i
                self.batch.n_seq_id[n], self.batch.seq_id[n][0] = 1, sequence
                self.batch.logits[n] = i + 1 == len(tokens)
                n += 1
            last.append(n - 1)
        self.batch.n_tokens = n
        if status := llama_cpp.llama_decode(self.context, self.batch):
            raise RuntimeError(f"llama_decode returned {status}")
        self.stored += len(rows[0])
        return [self.likeliest(i) for i in last]

    def likeliest(self, i: int) -> int:
        logits = llama_cpp.llama_get_logits_ith(self.context, i)
        values = ctypes.cast(logits, ctypes.POINTER(ctypes.c_float * self.vocab)).contents
        return int(np.frombuffer(values, np.float32).argmax())
