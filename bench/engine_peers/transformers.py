"""transformers' models with PyTorch's attention and a cache that grows; the loop around them is
bare, without what generate() adds."""

from __future__ import annotations

import torch
import transformers

VERSION = f"transformers {transformers.__version__}, torch {torch.__version__} " + (
    torch.backends.cpu.get_cpu_capability()
)
torch.set_grad_enabled(False)


class Model:
    def __init__(self, folder: str, dtype: str, threads: int, batch: int, longest: int) -> None:
        torch.set_num_threads(threads)
        self.model = transformers.AutoModelForCausalLM.from_pretrained(
            folder,
            dtype={"f32": torch.float32, "bf16": torch.bfloat16}[dtype],
            attn_implementation="sdpa",
            local_files_only=True,
        ).eval()

    def prefill(self, prompts: list[list[int]]) -> torch.Tensor:
        self.cache = None
        return self.forward(torch.tensor(prompts))

    def step(self, tokens: torch.Tensor) -> torch.Tensor:
        return self.forward(tokens[:, None])

    def ids(self, tokens: torch.Tensor) -> list[int]:
        return tokens.tolist()

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        out = self.model(rows, past_key_values=self.cache, use_cache=True, logits_to_keep=1)
        self.cache = out.past_key_values
        return out.logits[:, -1].argmax(-1)
