"""Calls run without the interpreter's lock, beside one another, and leave signals alone."""

import concurrent.futures
import os
import signal
import threading
import time

import numpy as np
import pytest

import attend


@pytest.fixture
def one_thread():
    before = attend.num_threads()
    attend.set_num_threads(1)
    yield
    attend.set_num_threads(before)


@pytest.fixture
def call_of(make, one_thread):
    """call_of(heads): vanilla on 512 rows and keys; some milliseconds for each head."""
    q, k, v = make(1, 512, 512, 1, 1, 64)
    return lambda heads: attend.vanilla(*(np.broadcast_to(x, (1, 512, heads, 64)) for x in (q, k, v)))


def test_other_python_threads_run_meanwhile(call_of):
    """A thread that wakes every millisecond does so well inside of one call; with the lock held it never could."""
    ticks, stop = [], threading.Event()

    def tick():
        while not stop.is_set():
            ticks.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    try:
        took, heads = 0.0, 16
        while took < 5.0:  # longer calls on faster machines, and where others take the processor
            begin = time.perf_counter()
            call_of(heads)
            end = time.perf_counter()
            if sum(begin + 0.05 < t < end - 0.05 for t in ticks) >= 3:
                return
            took, heads = end - begin, 2 * heads
    finally:
        stop.set()
        thread.join()
    pytest.fail(f"no other thread ran inside of a call of {took:.1f} s")


def test_calls_of_many_threads(make):
    calls = []
    for i in range(12):
        q, k, v = make(2, 33 + i, 70, 4, 2, 64)
        op = (attend.flash, attend.vanilla)[i % 2]
        calls.append((op, (q, k, v), op(q, k, v, causal=True)))
    repeat = lambda call: [np.array_equal(call[0](*call[1], causal=True), call[2]) for _ in range(20)]
    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        for same in pool.map(repeat, calls):
            assert all(same)


def test_every_operator_beside_the_others(rng):
    """Threads that each call another operator, some of them in place on arrays of their own."""
    x = lambda *shape: rng.standard_normal(shape).astype("f4")
    q, k, v = x(2, 33, 4, 32), x(2, 70, 2, 32), x(2, 70, 2, 32)
    pool = x(40, 4, 2, 32)
    a, b = attend.flash(q, k, v, return_lse=True)[:2], attend.flash(q, v, k, return_lse=True)[:2]
    g, start = -abs(x(2, 33, 4)), x(2, 4, 32, 32)

    def gdn():
        state = start.copy()
        out, final = attend.gdn(q, q, q, g=g, beta=np.ones_like(g), state=state, in_place=True, normalize_qk=True)
        assert final is state
        return out, state

    def append():
        pages = np.zeros((20, 4, 2, 32), "f4"), np.zeros((20, 4, 2, 32), "f4")
        attend.append(*pages, k[0], v[0], range(70))
        return pages

    calls = [
        lambda: [attend.flash(q, k, v, causal=True)],
        lambda: [attend.splash(q, k, v, causal=True)],
        lambda: [attend.sdpa(q, k, v)],
        lambda: [attend.ring(q, k, v)],
        lambda: [attend.decode(q[:, :1], k, v)],
        lambda: [attend.paged(q, pool, pool, block_table=[range(17), range(17, 34)], seqused_k=[65, 68], causal=True)],
        lambda: list(attend.merge(*a, *b)),
        gdn,
        append,
    ]
    wanted = [call() for call in calls]
    same = lambda i: all(np.array_equal(x, y) for _ in range(10) for x, y in zip(calls[i % len(calls)](), wanted[i % len(calls)]))
    with concurrent.futures.ThreadPoolExecutor(6) as workers:
        assert all(workers.map(same, range(3 * len(calls))))


def test_refusals_of_many_threads(make):
    q, k, v = make(1, 3, 5, 2, 2, 8)

    def refuse(i):
        for _ in range(50):
            with pytest.raises(IndexError, match=rf"seqused_k\[0\] is {100 + i}"):
                attend.flash(q, k, v, seqused_k=[100 + i])

    with concurrent.futures.ThreadPoolExecutor(6) as pool:
        list(pool.map(refuse, range(12)))


def test_signals_are_pythons(call_of):
    """An interrupt sent during a call arrives at Python's own handler, when the call is done."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGSEGV, signal.SIGFPE)}
    timer = threading.Timer(0.1, os.kill, (os.getpid(), signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        call_of(128)
        time.sleep(5)
    timer.join()
    assert handlers == {number: signal.getsignal(number) for number in handlers}


def test_after_fork(make):
    q, k, v = make(2, 65, 70, 4, 2, 64)
    want = attend.flash(q, k, v)
    child = os.fork()
    if child == 0:
        os._exit(0 if np.array_equal(attend.flash(q, k, v), want) else 1)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0
