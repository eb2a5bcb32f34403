#!/usr/bin/env python3
"""Compares the engine's tokenizer with the tokenizers package of PyPI.

    against_tokenizers.py DRIVER [--texts N] [--only NAME] [--file tokenizer.json]...

Small tokenizers of many configurations are trained on the spot. Both sides encode thousands of
texts made for the purpose (scripts, runs of blanks, digits, contractions, emoji, special tokens,
bytes that are no UTF-8), decode ids, sensible ones and any, and stream them. DRIVER is the program
tokenizer_driver of this folder. Ends with 1 when anything differs.
"""

import argparse
import json
import random
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Callable, Iterator
from pathlib import Path

from tokenizers import (
    AddedToken,
    Regex,
    Tokenizer,
    decoders,
    models,
    normalizers,
    pre_tokenizers,
    processors,
    trainers,
)

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
LLAMA3 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|"
    r"\s*[\r\n]+|\s+(?!\S)|\s+"
)
QWEN2 = LLAMA3.replace("{1,3}", "")
O200K = (
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?|"
    r"\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
DEEPSEEK3 = [
    r"\p{N}{1,3}",
    "[一-龥぀-ゟ゠-ヿ]+",
    r"""[!"#$%&'()*+,\-./:;<=>?@\[\\\]^_`{|}~][A-Za-z]+|[^\r\n\p{L}\p{P}\p{S}]?[\p{L}\p{M}]+|"""
    r""" ?[\p{P}\p{S}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+""",
]
DEEPSEEK_CODER = ["[\r\n]", r"\s?\p{L}+", r"\s?\p{P}+", "[一-龥ࠀ-一가-퟿]+"]
BEHAVIORS = ["removed", "isolated", "merged_with_previous", "merged_with_next", "contiguous"]

WORDS = """
the of and a to in is you that it he was for on are as with his they I at be this have from or one
had by word don't we'll I'm they've she'd it's THE Don'T HE'LL naïve café Straße ſong K1 ﬁne ﬀ ½ ²
x² 10 1234567 3.14 1e-9 0x1F ١٢٣ ४५६ Ⅷ привет мир Привет 你好世界 こんにちは カタカナ 안녕하세요 שלום مرحبا สวัสดี
नमस्ते ελληνικά Việt Nam e\u0301 a\u0308\u0323 \u1100\u1161\u11a8 👍 👩‍👩‍👧‍👦 🇩🇪 🏳️‍🌈 ☃️ © ™ € $ %
&& || == != <= >= -> => // /* */ # @user http://a.b/c?d=e&f=g snake_case CamelCase kebab-case
__init__ {"k": [1, 2]} \\n \\ ` ~ ^ ' " '' "" ... … — – « » “ ” ▁ ▁▁ Ġ Ċ <0x41> <unk> <s> </s>
\ufffd \u200d \u180e \u0301
""".split()
BLANKS = [
    " ",
    "  ",
    "   ",
    "       ",
    "\n",
    "\n\n",
    "\r\n",
    "\r",
    "\t",
    "\t\t",
    " \n",
    "\n ",
    " \t ",
    "\u00a0",
    "\u3000",
    "\u2028",
    "\u0085",
    "\x0b",
    "\x0c",
    "\u2003",
    "\u202f",
]
# Where Unicode has changed since the oldest of the libraries that both sides use.
ASSIGNED = [
    c
    for c in map(chr, range(0x110000))
    if unicodedata.category(c) not in ("Cn", "Cs", "Co")
    and unicodedata.ucd_3_2_0.category(c) != "Cn"
]


def texts(count: int, specials: list[str], seed: int) -> Iterator[bytes]:
    rng = random.Random(seed)
    yield from (
        b"",
        b" ",
        b"a",
        b"\n",
        "é".encode(),
        b"\xff",
        b"a\xc3",
        b" x " * 300,
        b"a" * 3000,
        "字".encode() * 1500,
    )
    yield from (special.encode() for special in specials)
    for _ in range(count):
        out = ""
        for _ in range(rng.choice([1, 2, 3, 5, 8, 20, 60])):
            kind = rng.random()
            if kind < 0.5:
                out += rng.choice(WORDS)
            elif kind < 0.8:
                out += rng.choice(BLANKS) if rng.random() < 0.4 else " "
            elif kind < 0.86 and specials:
                out += rng.choice(specials)
            elif kind < 0.92:
                out += "".join(rng.choice(ASSIGNED) for _ in range(rng.randint(1, 4)))
            elif kind < 0.96:
                out += str(rng.randrange(10 ** rng.randint(1, 12)))
            else:
                out += chr(rng.randrange(32, 127)) * rng.randint(1, 40)
        data = out.encode()
        if rng.random() < 0.1:  # bytes that are no UTF-8
            data = bytes(rng.randrange(256) if rng.random() < 0.2 else byte for byte in data)
        yield data


def corpus() -> list[str]:
    rng = random.Random(0)
    return [
        "".join(rng.choice(WORDS) + rng.choice([" ", " ", " ", "", *BLANKS]) for _ in range(60))
        for _ in range(300)
    ]


def trained(
    tokenizer: Tokenizer, size: int = 700, alphabet: bool = True, specials: list[str] | None = None
) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=size,
        show_progress=False,
        special_tokens=specials or [],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet() if alphabet else [],
    )
    tokenizer.train_from_iterator(corpus(), trainer)
    return tokenizer


def edited(tokenizer: Tokenizer, change: Callable[[dict], None]) -> Tokenizer:
    data = json.loads(tokenizer.to_str())
    change(data)
    return Tokenizer.from_str(json.dumps(data))


def byte_level(
    *steps: pre_tokenizers.PreTokenizer,
    normalizer: normalizers.Normalizer | None = None,
    prefix: bool = False,
    regex: bool = False,
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    if normalizer is not None:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [*steps, pre_tokenizers.ByteLevel(add_prefix_space=prefix, use_regex=regex)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, specials=["<|endoftext|>"])


def isolated(pattern: str) -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Split(Regex(pattern), "isolated")


def llama2(
    pre: pre_tokenizers.PreTokenizer | None,
    decoder: decoders.Decoder,
    byte_fallback: bool = True,
    fuse: bool = True,
) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE(unk_token="<unk>", fuse_unk=fuse, byte_fallback=byte_fallback))
    mark = normalizers.Sequence([normalizers.Prepend("▁"), normalizers.Replace(" ", "▁")])
    if pre is None:
        tokenizer.normalizer = mark
    else:
        tokenizer.pre_tokenizer = pre
    tokenizer.decoder = decoder
    specials = ["<unk>", "<s>", "</s>"] + (
        [f"<0x{byte:02X}>" for byte in range(256)] if byte_fallback else []
    )
    trainer = trainers.BpeTrainer(
        vocab_size=900, show_progress=False, special_tokens=specials, limit_alphabet=80
    )
    tokenizer.train_from_iterator([text[:200] for text in corpus()], trainer)

    def forget_bytes(data: dict) -> None:  # they are tokens of the vocabulary alone, as in Llama 2
        data["added_tokens"] = [
            t for t in data["added_tokens"] if not t["content"].startswith("<0x")
        ]

    return edited(tokenizer, forget_bytes)


def with_bos(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens(["<|begin|>", "<|end|>"])
    ids = [(name, tokenizer.token_to_id(name)) for name in ("<|begin|>", "<|end|>")]
    template = processors.TemplateProcessing(
        single="<|begin|> $A <|end|>", pair="$A $B", special_tokens=ids
    )
    tokenizer.post_processor = processors.Sequence(
        [processors.ByteLevel(trim_offsets=False), template]
    )
    return tokenizer


def with_added(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens(
        [
            "<|im_start|>",
            "<|im_end|>",
            "<|im_end|>x",
            AddedToken("<mask>", lstrip=True, special=True),
            AddedToken("<r>", rstrip=True, special=True),
            AddedToken("<lr>", lstrip=True, rstrip=True, special=True),
            AddedToken("<norm>", normalized=False, special=True),
        ]
    )
    tokenizer.add_tokens(
        [
            AddedToken("word", single_word=True),
            AddedToken("über", single_word=True, normalized=False),
            AddedToken("    "),
            AddedToken("\n\n", normalized=False),
            AddedToken("e\u0301x"),
            AddedToken("ab cd"),
            AddedToken("ﬁne"),
            AddedToken("the"),
            AddedToken("👍👍", normalized=False),
        ]
    )
    return tokenizer


def configurations() -> Iterator[tuple[str, Callable[[], Tokenizer]]]:
    yield "gpt2", lambda: byte_level(regex=True)
    yield "gpt2_prefix", lambda: byte_level(regex=True, prefix=True)
    yield "bytes", lambda: byte_level()

    def llama3() -> Tokenizer:
        return with_added(with_bos(byte_level(isolated(LLAMA3))))

    yield "llama3", llama3
    yield (
        "llama3_ignore_merges",
        lambda: edited(llama3(), lambda d: d["model"].update(ignore_merges=True)),
    )
    yield (
        "legacy_merges",
        lambda: edited(
            llama3(),
            lambda d: d["model"].update(merges=[" ".join(merge) for merge in d["model"]["merges"]]),
        ),
    )
    yield "qwen2", lambda: with_added(byte_level(isolated(QWEN2), normalizer=normalizers.NFC()))
    yield "o200k", lambda: byte_level(isolated(O200K))
    yield "deepseek3", lambda: with_added(byte_level(*map(isolated, DEEPSEEK3)))
    coder = [*map(isolated, DEEPSEEK_CODER), pre_tokenizers.Digits(individual_digits=True)]
    yield "deepseek_coder", lambda: byte_level(*coder)
    yield "digits", lambda: byte_level(pre_tokenizers.Digits(individual_digits=False), regex=True)
    for form in ("NFC", "NFD", "NFKC", "NFKD"):
        normalizer = getattr(normalizers, form)()
        yield form.lower(), lambda: with_added(byte_level(regex=True, normalizer=normalizer))
    chain = normalizers.Sequence(
        [
            normalizers.Replace(Regex(r"\s{2,}"), " "),
            normalizers.Replace("th", "þ"),
            normalizers.Prepend(">"),
            normalizers.NFKC(),
            normalizers.Replace(Regex("x+"), "-"),
        ]
    )
    yield "replace", lambda: with_added(byte_level(regex=True, normalizer=chain))
    patterns = [
        r"\s+",
        r"\w+",
        r"[\w']+|\W",
        r"\d",
        "",
        r"\S",
        r"[^\S\n]+",
        r"^.|$",
        r"(?<=\p{L})\p{N}{,2}",
    ]
    for at, pattern in enumerate(patterns):
        for behavior in BEHAVIORS:
            for invert in (False, True):
                yield (
                    f"split{at}_{behavior}{'_invert' * invert}",
                    lambda: byte_level(pre_tokenizers.Split(Regex(pattern), behavior, invert)),
                )
    yield (
        "split_text",
        lambda: byte_level(
            pre_tokenizers.Split("e", "merged_with_next"), pre_tokenizers.Split(".*", "removed")
        ),
    )

    usual = decoders.Sequence(
        [
            decoders.Replace("▁", " "),
            decoders.ByteFallback(),
            decoders.Fuse(),
            decoders.Strip(" ", 1, 0),
        ]
    )
    yield "llama2", lambda: with_added(llama2(None, usual))
    yield (
        "gemma",
        lambda: llama2(
            None,
            decoders.Sequence(
                [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse()]
            ),
        ),
    )
    yield "unknown", lambda: llama2(None, usual, byte_fallback=False, fuse=False)
    yield "unknown_fused", lambda: llama2(None, usual, byte_fallback=False)
    yield (
        "strip",
        lambda: llama2(None, decoders.Sequence([decoders.Fuse(), decoders.Strip("▁", 3, 2)])),
    )
    yield "strip_tokens", lambda: llama2(None, decoders.Strip("▁", 1, 0))
    for scheme in ("always", "first", "never"):
        for split in (False, True):
            yield (
                f"metaspace_{scheme}_{split}",
                lambda: with_added(
                    llama2(
                        pre_tokenizers.Metaspace("▁", scheme, split),
                        decoders.Metaspace("▁", scheme),
                    )
                ),
            )
    both = decoders.Sequence([decoders.ByteFallback(), decoders.Metaspace("▁", "always")])
    yield "metaspace_bytes", lambda: llama2(pre_tokenizers.Metaspace("▁", "always", True), both)
    yield "no_decoder", lambda: edited(llama2(None, usual), lambda d: d.update(decoder=None))
    yield (
        "no_unk",
        lambda: edited(
            llama2(None, usual), lambda d: d["model"].update(unk_token=None, byte_fallback=False)
        ),
    )


def unless_it_panics(call: Callable[[], object]) -> object:
    """None where the package does not answer but panics: Strip on short tokens, say."""
    try:
        return call()
    except BaseException as error:
        if type(error).__name__ != "PanicException":
            raise
        return None


class Comparison:
    """One driver, asked about one tokenizer after the other."""

    def __init__(self, driver: str, count: int) -> None:
        self.driver, self.count, self.failed, self.compared = driver, count, 0, 0

    def ask(self, folder: str, questions: list[dict]) -> list[dict]:
        lines = [json.dumps({"folder": folder})] + [json.dumps(question) for question in questions]
        done = subprocess.run(
            [self.driver], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True
        )
        answers = [json.loads(line) for line in done.stdout.splitlines()]
        if "error" in answers[0]:
            raise SystemExit(f"{folder}: {answers[0]['error']}")
        return answers

    def differ(self, name: str, what: str, given: object, got: object, want: object) -> None:
        self.failed += 1
        if self.failed <= 20:
            print(
                f"{name}: {what} of {given!r:.300}\n"
                f"  is       {got!r:.300}\n  expected {want!r:.300}"
            )

    def compare(self, name: str, tokenizer: Tokenizer, seed: int) -> None:
        tokenizer.no_truncation()
        tokenizer.no_padding()
        specials = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
        data = list(texts(self.count, specials, seed))
        rng = random.Random(seed)
        size = max(tokenizer.get_vocab(with_added_tokens=True).values()) + 1
        encoded, questions = [], []
        for text in data:
            special = rng.random() < 0.5
            readable = text.decode(errors="replace")
            encoded.append(
                unless_it_panics(lambda: tokenizer.encode(readable, add_special_tokens=special).ids)
            )
            questions.append({"text": text.hex(), "special": special})
        sequences = [ids or [] for ids in encoded] + [
            [rng.randrange(size + 2) for _ in range(rng.randint(0, 40))] for _ in data
        ]
        skips = [rng.random() < 0.7 for _ in sequences]
        questions += [{"ids": ids, "skip": skip} for ids, skip in zip(sequences, skips)]
        with tempfile.TemporaryDirectory() as folder:
            Path(folder, "tokenizer.json").write_text(tokenizer.to_str())
            size_there, *answers = self.ask(folder, questions)
        if size_there["vocab_size"] != size:
            self.differ(name, "vocab_size", "", size_there, size)
        for text, want, answer in zip(data, encoded, answers):
            if want is not None and answer.get("ids") != want:
                self.differ(name, "encoding", text, answer, want)
        for ids, skip, answer in zip(sequences, skips, answers[len(data) :]):
            want = unless_it_panics(lambda: tokenizer.decode(ids, skip_special_tokens=skip))
            if want is None:
                continue
            pieces = [bytes.fromhex(piece) for piece in answer.get("pieces", [])]
            if bytes.fromhex(answer.get("text", "")) != want.encode():
                self.differ(
                    name,
                    f"decoding (skip {skip})",
                    ids,
                    bytes.fromhex(answer.get("text", "")),
                    want.encode(),
                )
            elif b"".join(pieces) != want.encode():
                self.differ(name, f"stream (skip {skip})", ids, pieces, want.encode())
            elif any(piece.decode(errors="replace").encode() != piece for piece in pieces):
                self.differ(name, "a piece of the stream", ids, pieces, "whole characters")
        self.compared += len(answers)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("driver")
    parser.add_argument(
        "--texts", type=int, default=200, help="random texts for each configuration"
    )
    parser.add_argument("--only", default="", help="configurations whose name contains this")
    parser.add_argument(
        "--file", action="append", default=[], help="a tokenizer.json to compare as well"
    )
    options = parser.parse_args()
    comparison = Comparison(options.driver, options.texts)
    for path in options.file:
        comparison.compare(path, Tokenizer.from_file(path), 1)
    count = 0
    for seed, (name, make) in enumerate(configurations()):
        if options.only in name:
            comparison.compare(name, make(), seed)
            count += 1
            print(f"{name}: {comparison.failed} differ so far", flush=True)
    print(
        f"{count} configurations, {comparison.compared} answers compared, "
        f"{comparison.failed} differ"
    )
    return 1 if comparison.failed or not comparison.compared else 0


if __name__ == "__main__":
    sys.exit(main())
