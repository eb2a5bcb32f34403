"""Random checkpoints of every family through the whole engine: each greedy token is the likeliest of a dense forward in
NumPy float64, whatever the scheduler does."""

import pathlib
import sys

import numpy as np
import pytest

import attend

sys.path.append(str(pathlib.Path(__file__).parents[2] / "tests/engine/models"))
from checkpoints import config, random_weights, write_checkpoint
from decoder_reference import Reference

FAMILIES = {
    "llama": config("llama", rope_scaling={"rope_type": "llama3", "factor": 4.0, "low_freq_factor": 1.0, "high_freq_factor": 3.0,
                                           "original_max_position_embeddings": 24}),
    "qwen2": config("qwen2", tie_word_embeddings=True),
    "qwen2_sliding": config("qwen2", use_sliding_window=True, sliding_window=5, max_window_layers=1),
    "qwen3": config("qwen3"),
    "qwen3_next": config("qwen3_next", num_hidden_layers=4),
}
# Name: the engine's words; whether the pool is so small that requests are preempted.
SHAPES = {
    "batched": ({}, False),
    "one_at_a_time": ({"max_num_reqs": 1}, False),
    "chunked": ({"max_num_reqs": 3, "max_num_batched_tokens": 4, "page_size": 1}, False),
    "preempted": ({"page_size": 3, "num_pages": 17, "max_num_batched_tokens": 20, "max_num_reqs": 6}, True),
    "preempted_without_sharing": ({"page_size": 4, "num_pages": 12, "max_num_reqs": 6, "prefix_caching": False}, True),
    "batch_invariant": ({"page_size": 4, "num_pages": 14, "max_num_reqs": 6, "batch_invariant": True, "chunk": 6}, True),
}
TOKENS = 10


def some_prompts(seed):
    """One of them begins like another, one says more of the same."""
    rng = np.random.default_rng(seed)
    prompts = [rng.integers(0, 53, n).tolist() for n in (9, 1, 31, 5, 17)]
    return [*prompts, prompts[2][:20] + [52, 0], prompts[4] * 2]


@pytest.fixture(scope="module", params=FAMILIES)
def family(request, tmp_path_factory):
    """A folder, and what greedy decoding is to yield: the reference reads every response once, behind its prompt."""
    c = FAMILIES[request.param]
    folder = tmp_path_factory.mktemp(request.param)
    reference = Reference(c, write_checkpoint(folder, c, random_weights(c, seed=4)))

    likeliest = {}

    def check(prompt, response):
        text = (*prompt, *response)
        if text not in likeliest:
            likeliest[text] = reference.logits(text).argmax(-1).tolist()
        assert response == likeliest[text][len(prompt) - 1 : -1], f"behind {prompt}"

    return request.param, folder, check


@pytest.mark.parametrize("shape", SHAPES)
def test_greedy_is_the_likeliest_of_a_dense_forward(family, shape):
    name, folder, check = family
    words, preempts = SHAPES[shape]
    engine = attend.Engine(folder, dtype="float32", **words)
    for _ in range(2):  # the second time, beginnings are found in the cache
        done = engine.generate(some_prompts(1), max_tokens=TOKENS, temperature=0, ignore_eos=True)
        for completion in done:
            assert (len(completion.token_ids), completion.finish_reason) == (TOKENS, "length")
            check(completion.prompt_ids, completion.token_ids)
    stats = engine.stats
    assert (stats["preemptions"] > 0) == preempts
    assert (stats["shared_tokens"] > 0) == (words.get("prefix_caching", True) and name != "qwen3_next")


@pytest.mark.parametrize("seed", range(4))
def test_in_bf16_company_changes_no_token_of_a_batch_invariant_engine(tmp_path, seed):
    c = config("qwen3", dtype="bfloat16", hidden_size=192, num_attention_heads=4, head_dim=64, intermediate_size=320, vocab_size=211)
    write_checkpoint(tmp_path, c, random_weights(c, seed=seed), dtype="BF16")
    words = {"dtype": "bfloat16", "batch_invariant": True, "chunk": 16, "page_size": 2}
    ask = {"max_tokens": 24, "temperature": 0, "ignore_eos": True, "logprobs": 0}
    crowded = attend.Engine(tmp_path, num_pages=48, max_num_reqs=6, max_num_batched_tokens=40, **words)
    prompts = some_prompts(seed)
    first = crowded.generate(prompts, **ask)
    prompts += [d.prompt_ids + d.token_ids[:20] for d in first[:5]]  # whose keys may be there, computed one by one
    together = crowded.generate(prompts, **ask)
    assert crowded.stats["preemptions"] > 0 and crowded.stats["shared_tokens"] > 0
    for prompt, got in zip(prompts, together, strict=True):
        alone = attend.Engine(tmp_path, num_pages=48, **words).generate(prompt, **ask)
        assert got.token_ids == alone.token_ids
        assert got.logprobs == alone.logprobs  # to the last bit
