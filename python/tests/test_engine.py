import json

import numpy as np
import pytest
import tiny_checkpoint

import attend

PROMPTS = [[5, 6, 7], [200], list(range(40)), [*range(40), 9, 9], [1, 2] * 12]


@pytest.fixture(scope="module")
def tensors():
    return tiny_checkpoint.weights(np.random.default_rng(5))


@pytest.fixture(scope="module")
def folder(tensors, tmp_path_factory):
    return tiny_checkpoint.write(tmp_path_factory.mktemp("tiny"), tensors)


@pytest.fixture(scope="module")
def bare(tensors, tmp_path_factory):
    """Without a tokenizer."""
    return tiny_checkpoint.write(tmp_path_factory.mktemp("bare"), tensors, tokenizer=False)


@pytest.mark.parametrize("words", [{}, {"page_size": 1}, {"max_num_batched_tokens": 4, "max_num_reqs": 3},
                                   {"page_size": 4, "num_pages": 16}, {"prefix_caching": False}, {"batch_invariant": True, "chunk": 16}])
def test_greedy_is_what_a_dense_loop_yields(bare, tensors, words):
    engine = attend.Engine(bare, dtype="float32", **words)
    for _ in range(2):
        done = engine.generate(PROMPTS, max_tokens=12, temperature=0, ignore_eos=True)
        assert [c.token_ids for c in done] == [tiny_checkpoint.greedy(tensors, p, 12) for p in PROMPTS]
        assert {c.finish_reason for c in done} == {"length"}
    assert (engine.stats["shared_tokens"] > 0) == words.get("prefix_caching", True)


def test_the_stop_id_stays_the_last_token(bare, tensors):
    whole = tiny_checkpoint.greedy(tensors, PROMPTS[0], 12)
    stop = whole[6]
    first = whole.index(stop)
    engine = attend.Engine(bare, eos_token_ids=[stop], page_size=8, num_pages=64)
    done = engine.generate(PROMPTS[0], max_tokens=12, temperature=0)
    assert (done.token_ids, done.finish_reason) == (whole[: first + 1], "eos")
    done = engine.generate(PROMPTS[0], max_tokens=12, temperature=0, ignore_eos=True)
    assert (done.token_ids, done.finish_reason) == (whole, "length")
    done = engine.generate(PROMPTS[0], max_tokens=12, temperature=0, ignore_eos=True, stop_token_ids=[stop])
    assert (done.token_ids, done.finish_reason) == (whole[: first + 1], "stop")
    assert engine.config["num_pages"] == 64


def test_text_and_streaming(folder):
    engine = attend.Engine(folder)
    whole = engine.generate("Hé, wörld", max_tokens=30, temperature=0)
    assert whole.prompt_ids == list("Hé, wörld".encode())
    assert whole.text == engine.decode(whole.token_ids)
    news = list(engine.stream("Hé, wörld", max_tokens=30, temperature=0))
    assert [i for n in news for i in n.token_ids] == whole.token_ids
    assert "".join(n.text for n in news) == whole.text
    assert news[-1].finish_reason == whole.finish_reason


def test_stop_strings_are_cut_off(folder):
    engine = attend.Engine(folder)
    whole = engine.generate("x", max_tokens=40, temperature=0).text
    stop = whole[7:9]
    done = engine.generate("x", max_tokens=40, temperature=0, stop=["never said", stop])
    assert done.text == whole[: whole.index(stop)]
    assert done.finish_reason == "stop"


@pytest.mark.parametrize("tail", [1, 2, 5])
def test_text_held_back_for_a_stop_string_comes_out_at_the_end(folder, tail):
    engine = attend.Engine(folder)
    ask = {"max_tokens": 40, "temperature": 0, "ignore_eos": True}
    whole = engine.generate("x", **ask).text
    ask["stop"] = [whole[-tail:] + "never said", whole[-1:] + "nor this"]
    news = list(engine.stream("x", **ask))
    assert "".join(n.text for n in news) == whole
    assert len(news[-1].text) >= tail and news[-1].finish_reason == "length"


def test_an_abort_lets_out_what_was_held_back(folder):
    engine = attend.Engine(folder)
    ask = {"max_tokens": 40, "temperature": 0, "ignore_eos": True}
    whole = engine.generate("x", **ask)
    told = []
    each = engine.add("x", on_progress=told.append, stop=[whole.text + "and more"], **ask)  # all of it is held back
    for _ in range(10):
        engine.step()
    assert not any(n.text for n in told)
    assert engine.abort(each)
    done = engine.take(each)
    assert done.text == "".join(n.text for n in told) == engine.decode(whole.token_ids[:10])
    assert (done.finish_reason, told[-1].finish_reason) == ("aborted", "aborted")


def test_listeners_may_add_abort_and_take(bare):
    engine = attend.Engine(bare)
    ask = {"max_tokens": 4, "temperature": 0, "ignore_eos": True}
    alone = engine.generate([7], **ask).token_ids
    ends, done = [], []

    def listen(news):
        if news.finish_reason is None:
            if news.id != last:
                engine.abort(last)
            return
        ends.append((news.id, news.finish_reason))
        done.append(engine.take(news.id))
        if len(done) == 3:
            engine.add([7], on_progress=listen, **ask)

    last = -1
    others = [engine.add([7], on_progress=listen, **ask) for _ in range(2)]
    last = engine.add([7], on_progress=listen, **ask)
    while engine.step():
        pass
    assert ends == [(last, "aborted"), (others[0], "length"), (others[1], "length"), (last + 1, "length")]
    assert [c.token_ids for c in done] == [alone[:1], alone, alone, alone]


def test_a_closed_stream_frees_its_pages(folder):
    engine = attend.Engine(folder)
    free = engine._engine.free_pages()
    stream = engine.stream("abc", max_tokens=50, temperature=0, ignore_eos=True)
    next(stream)
    assert engine._engine.free_pages() < free
    stream.close()
    assert engine._engine.free_pages() == free
    assert not engine.step()


def test_a_stream_ends_with_its_own_response(folder):
    engine = attend.Engine(folder)
    longer = engine.add("xyz", max_tokens=60, temperature=0, ignore_eos=True)
    news = list(engine.stream("abc", max_tokens=5, temperature=0, ignore_eos=True))
    assert sum(len(n.token_ids) for n in news) == 5
    assert engine.step()
    engine.abort(longer)
    assert engine.take(longer).finish_reason == "aborted"


def test_longest_sequences(tensors, tmp_path):
    bare = tiny_checkpoint.write(tmp_path, tensors, tokenizer=False)
    file = bare / "config.json"
    config = json.loads(file.read_text())
    length = config["max_position_embeddings"]
    for scaling, longest in [(None, length), ({"rope_type": "linear", "factor": 2.5}, int(2.5 * length)), ({"rope_type": "dynamic", "factor": 2.0}, 2 * length),
                             ({"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": length // 2}, 2 * length)]:
        file.write_text(json.dumps(config | {"rope_scaling": scaling}))
        assert attend.Engine(bare).config["max_model_len"] == longest
        assert attend.Engine(bare, max_model_len=longest).config["max_model_len"] == longest
        with pytest.raises(attend.InvalidArgumentError, match=f"max_model_len is {longest + 1}, expected at most {longest} "):
            attend.Engine(bare, max_model_len=longest + 1)


def test_seeds_and_logprobs(bare):
    engine = attend.Engine(bare)
    draw = lambda seed: engine.generate([3, 4], max_tokens=15, temperature=1.5, seed=seed, logprobs=3)
    one, again, other = draw(1), draw(1), draw(2)
    assert one.token_ids == again.token_ids != other.token_ids
    assert [t[0] for t in one.logprobs] == one.token_ids
    for _, logprob, top in one.logprobs:
        assert len(top) == 3 and top[0][1] >= max(logprob, top[1][1])


def test_logprobs_are_those_of_the_model(bare, tensors):
    done = attend.Engine(bare, dtype="float32").generate([3, 4, 5], max_tokens=1, temperature=0, logprobs=2)
    x = tiny_checkpoint.logits(tensors, [3, 4, 5])
    x = x - x.max() - np.log(np.exp(x - x.max()).sum())
    best = np.argsort(-x)[:2]
    assert [i for i, _ in done.logprobs[0][2]] == best.tolist()
    np.testing.assert_allclose([p for _, p in done.logprobs[0][2]], x[best], atol=2e-4)


def test_add_step_abort_take(bare):
    engine = attend.Engine(bare)
    told = []
    kept, dropped = (engine.add([i], max_tokens=6, temperature=0, ignore_eos=True, on_progress=told.append) for i in (1, 2))
    engine.step()
    assert engine.abort(dropped) and not engine.abort(dropped)
    while engine.step():
        pass
    assert engine.take(dropped).finish_reason == "aborted"
    assert [i for n in told if n.id == kept for i in n.token_ids] == engine.take(kept).token_ids
    with pytest.raises(attend.InvalidArgumentError, match="unknown"):
        engine.take(kept)


def test_errors_of_a_listener_reach_the_caller(bare):
    engine = attend.Engine(bare)

    def fail(progress):
        raise RuntimeError("listener")

    engine.add([1], max_tokens=3, temperature=0, on_progress=fail)
    with pytest.raises(RuntimeError, match="listener"):
        while engine.step():
            pass


def test_a_prompt_that_cannot_fit_fails_alone(bare):
    engine = attend.Engine(bare, page_size=4, num_pages=4)
    long, short = engine.generate([[1] * 30, [1] * 3], max_tokens=2, temperature=0)
    assert long.finish_reason == "error" and "30 tokens, expected fewer than 16" in long.error
    assert len(short.token_ids) == 2


@pytest.mark.parametrize("call, error, words", [
    (lambda e: e.generate("text"), attend.InvalidArgumentError, "no tokenizer.json"),
    (lambda e: e.generate([1, 999]), attend.InvalidArgumentError, r"prompt\[1\] is 999"),
    (lambda e: e.generate([1], temprature=1), TypeError, "'temprature'"),
    (lambda e: e.generate([1], top_p=0), attend.InvalidArgumentError, "top_p is 0"),
    (lambda e: e.generate([1], max_tokens="many"), TypeError, "max_tokens is 'many'"),
    (lambda e: e.encode("text"), attend.InvalidArgumentError, "no tokenizer.json"),
])
def test_bad_calls(bare, call, error, words):
    with pytest.raises(error, match=words):
        call(attend.Engine(bare))


@pytest.mark.parametrize("words, error, message", [
    ({"page_siz": 4}, TypeError, "'page_siz'"),
    ({"num_pages": 2**31 - 1}, attend.InvalidArgumentError, "num_pages is 2147483647, expected at most 134217727"),
    ({"page_size": 0}, attend.InvalidArgumentError, "page_size is 0"),
    ({"strategy": "telepathy"}, attend.InvalidArgumentError, "expected one of auto_regressive"),
    ({"dtype": "int8"}, attend.InvalidArgumentError, "dtype is 'int8'"),
])
def test_bad_settings(bare, words, error, message):
    with pytest.raises(error, match=message):
        attend.Engine(bare, **words)


def test_a_folder_that_is_none(tmp_path):
    with pytest.raises(attend.InvalidArgumentError, match="config.json"):
        attend.Engine(tmp_path / "nowhere")


def test_strategies():
    assert "auto_regressive" in attend.strategies()
