"""The tokenizer, trained on the text, and the stream of ids that training cuts its rows from."""

from collections.abc import Iterable

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers

END, MASK = 0, 1  # <|endoftext|>, put before every story and prompt too; <|mask|>
SPECIAL = ["<|endoftext|>", "<|mask|>"]


def train_tokenizer(texts: Iterable[str], vocab: int) -> Tokenizer:
    """Byte-level BPE with GPT-2's pre-tokenizer; the same texts give the same tokenizer."""
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer, tokenizer.decoder = pre_tokenizers.ByteLevel(add_prefix_space=False), decoders.ByteLevel()
    tokenizer.train_from_iterator(texts, trainers.BpeTrainer(
        vocab_size=vocab, special_tokens=SPECIAL, show_progress=False, initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet())))
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{SPECIAL[END]} $A", special_tokens=[(SPECIAL[END], END)])
    return tokenizer


def pack(tokenizer: Tokenizer, texts: list[str]) -> torch.Tensor:
    """i32: the stories as one stream, each after END, and END at last."""
    return torch.tensor([i for coded in tokenizer.encode_batch(texts) for i in coded.ids] + [END], dtype=torch.int32)
