"""Paged caches for tests: pages in a shuffled order, poison wherever no live key is."""

import ml_dtypes
import numpy as np

F8 = {"f8_e4m3": np.dtype(ml_dtypes.float8_e4m3fn), "f8_e5m2": np.dtype(ml_dtypes.float8_e5m2)}
CACHE_DTYPES = {**F8, "i8": np.dtype("i1"), "float32": np.dtype("f4"), "float16": np.dtype("f2"), "bfloat16": np.dtype(ml_dtypes.bfloat16)}


def poison(shape, dtype):
    """NaN, or where there is none the largest value."""
    return np.full(shape, 127, dtype) if dtype == np.int8 else np.full(shape, np.nan, "f4").astype(dtype)


def random_values(rng, shape, dtype):
    return rng.integers(-100, 101, shape).astype("i1") if dtype == np.int8 else rng.standard_normal(shape).astype(dtype)


class Pages:
    """The keys and values of requests with `lengths` keys, in pages; dead table entries hold anything."""

    def __init__(self, rng, lengths, page_size, kv_heads, head_dim, v_dim=None, dtype=np.float32, v_dtype=None, spare=3):
        self.lengths, self.page_size = list(lengths), page_size
        dtype, v_dtype = np.dtype(dtype), np.dtype(v_dtype or dtype)
        counts = [-(-n // page_size) for n in lengths]
        pages = sum(counts) + spare
        order = rng.permutation(pages)
        self.k = poison((pages, page_size, kv_heads, head_dim), dtype)
        self.v = poison((pages, page_size, kv_heads, v_dim or head_dim), v_dtype)
        self.block_table = rng.choice([-1, -7, pages + 5], (len(counts), max(counts, default=0) + 2)).astype("i4")
        used = 0
        for b, (n, count) in enumerate(zip(lengths, counts)):
            self.block_table[b, :count] = order[used : used + count]
            used += count
            for x in (self.k, self.v):
                slots = self.slots(b, range(n))
                x.reshape(-1, *x.shape[2:])[slots] = random_values(rng, (n, *x.shape[2:]), x.dtype)
        self.indptr = np.cumsum([0] + counts)
        self.indices = order[:used].astype("i4")
        self.last = [0 if c == 0 else n - (c - 1) * page_size for n, c in zip(lengths, counts)]
        self.free = order[used:]

    def slots(self, b, positions):
        return np.array([self.block_table[b, j // self.page_size] * self.page_size + j % self.page_size for j in positions], "i8")

    def csr(self):
        return dict(kv_indptr=self.indptr, kv_indices=self.indices, kv_last_page_len=self.last)

    def gathered(self, b, length=None):
        """[1, length, kv_heads, dim] of k and of v, as they are stored."""
        slots = self.slots(b, range(self.lengths[b] if length is None else length))
        return tuple(x.reshape(-1, *x.shape[2:])[slots][None] for x in (self.k, self.v))


def dequantised(x, descale, b):
    """The values of a stored [1, keys, kv_heads, dim] in float64."""
    d = np.asarray(1.0 if descale is None else descale, np.float64)
    d = d[b] if d.ndim == 2 else d
    return x.astype(np.float64) * (d.reshape(-1, 1) if d.ndim else d)
