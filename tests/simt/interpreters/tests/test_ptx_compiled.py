"""Kernels that nvcc compiled: what it emits for ordinary code, run and compared with numpy.

Left out where there is no nvcc (ATTEND_NVCC names another than the PATH's).
"""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import tempfile
import unittest
from pathlib import Path

import numpy as np

from ptx_probe import Arena, engine

NVCC = os.environ.get("ATTEND_NVCC") or shutil.which("nvcc") or "/usr/local/cuda/bin/nvcc"
COUNT = 256
SOURCE = r"""
#include <cstdint>
__constant__ int kTable[8] = {3, 1, 4, 1, 5, 9, 2, 6};

__device__ __noinline__ int64_t collatz(int64_t n) {
  int64_t steps = 0;
  while (n > 1) { n = n % 2 ? 3 * n + 1 : n / 2; ++steps; }
  return steps;
}

extern "C" __global__ void integers(const int64_t* a, const int64_t* b, int64_t* out) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const int64_t x = a[i], y = b[i];
  int64_t r = x / y + x % y * 7;
  r ^= (int64_t)__umul64hi((uint64_t)x, (uint64_t)y) + __popcll(x) - __clzll(y);
  switch ((int)(x & 7)) {
    case 0: r += 11; break;
    case 1: r *= 3; break;
    case 2: r -= y; break;
    case 3: r ^= 0x5555; break;
    case 4: r = ~r; break;
    case 5: r <<= 2; break;
    case 6: r >>= 3; break;
    default: r = -r;
  }
  int local[16];
  for (int k = 0; k < 16; ++k) local[(k * 5 + (int)(x & 15)) & 15] = k * k;
  out[i] = r + local[y & 15] + kTable[y & 7] + collatz((x & 1023) + 1);
}

// Philox4x32-10, as the library draws its dropout masks.
extern "C" __global__ void philox(uint32_t* out, uint32_t key0, uint32_t key1) {
  const uint32_t i = blockIdx.x * blockDim.x + threadIdx.x;
  uint32_t c[4] = {i, 7, 9, 11};
  for (int round = 0; round < 10; ++round) {
    const uint64_t p = (uint64_t)0xD2511F53u * c[0], q = (uint64_t)0xCD9E8D57u * c[2];
    const uint32_t next[4] = {(uint32_t)(q >> 32) ^ c[1] ^ key0, (uint32_t)q,
                              (uint32_t)(p >> 32) ^ c[3] ^ key1, (uint32_t)p};
    for (int k = 0; k < 4; ++k) c[k] = next[k];
    key0 += 0x9E3779B9u; key1 += 0xBB67AE85u;
  }
  for (int k = 0; k < 4; ++k) out[4 * i + k] = c[k];
}

// Softmax of a row by a block: libdevice's exp, shuffles, shared memory and a grid-wide sum.
extern "C" __global__ void softmax(const float* in, float* out, float* total, int n) {
  __shared__ float part[8];
  const int row = blockIdx.x, lane = threadIdx.x % 32, warp = threadIdx.x / 32;
  float top = -__builtin_huge_valf();
  for (int i = threadIdx.x; i < n; i += blockDim.x) top = fmaxf(top, in[row * n + i]);
  for (int d = 16; d; d /= 2) top = fmaxf(top, __shfl_xor_sync(~0u, top, d));
  if (lane == 0) part[warp] = top;
  __syncthreads();
  for (int w = 0; w < blockDim.x / 32; ++w) top = fmaxf(top, part[w]);
  __syncthreads();
  float sum = 0;
  for (int i = threadIdx.x; i < n; i += blockDim.x) sum += expf(in[row * n + i] - top);
  for (int d = 16; d; d /= 2) sum += __shfl_down_sync(~0u, sum, d);
  if (lane == 0) part[warp] = sum;
  __syncthreads();
  sum = 0;
  for (int w = 0; w < blockDim.x / 32; ++w) sum += part[w];
  for (int i = threadIdx.x; i < n; i += blockDim.x) out[row * n + i] = expf(in[row * n + i] - top) / sum;
  if (threadIdx.x == 0) atomicAdd(total, logf(sum) + top);
}

extern "C" __global__ void functions(const float* in, float* out) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  const float x = in[i];
  const float found[8] = {tanhf(x), sqrtf(fabsf(x)), sinf(x), exp2f(x),
                          log1pf(fabsf(x)), rintf(x * 3), powf(fabsf(x), 1.5f), erff(x)};
  for (int k = 0; k < 8; ++k) out[8 * i + k] = found[k];
}
"""


def available() -> bool:
    return Path(NVCC).exists() or shutil.which(NVCC) is not None


@unittest.skipUnless(available(), "no nvcc")
class Compiled(unittest.TestCase):
    texts: dict[str, str] = {}

    @classmethod
    def setUpClass(cls):
        with tempfile.TemporaryDirectory() as folder:
            source = Path(folder) / "probe.cu"
            source.write_text(SOURCE)
            for arch in ("80", "90a"):
                out = source.with_suffix(".ptx")
                code = f"arch=compute_{arch},code=compute_{arch}"
                command = [NVCC, "-std=c++20", "-O3", "-ptx", "-gencode", code, str(source)]
                subprocess.run([*command, "-o", str(out)], check=True, capture_output=True)
                cls.texts[f"sm_{arch}"] = out.read_text()

    def run_all(self, kernel, grid, block, arrays, outputs, extra=b""):
        """Yields the outputs of each architecture."""
        for arch, text in self.texts.items():
            arena = Arena()
            where = [arena.put(array) for array in (*arrays, *outputs)]
            params = struct.pack(f"<{len(where)}Q", *where) + extra
            made = engine(text, arch, legal=False)
            made.launch(kernel, (grid, 1, 1), block, 0, params, arena.memory())
            yield [
                arena.get(at, array.dtype, array.size).reshape(array.shape)
                for at, array in zip(where[len(arrays) :], outputs)
            ]

    def test_integers(self):
        rng = np.random.default_rng(1)
        a = rng.integers(-(1 << 62), 1 << 62, COUNT)
        b = rng.integers(1, 1 << 40, COUNT) * rng.choice([-1, 1], COUNT)
        a[:64] >>= 40

        def wrap(x):
            x &= (1 << 64) - 1
            return x - (1 << 64) if x >> 63 else x

        def expected(x, y):
            low = (1 << 64) - 1
            quotient = abs(x) // abs(y) * (1 if (x < 0) == (y < 0) else -1)
            high = (x & low) * (y & low) >> 64
            r = wrap(quotient + (x - quotient * y) * 7)
            r ^= wrap(high + bin(x & low).count("1") - (64 - (y & low).bit_length()))
            r = [
                lambda: r + 11, lambda: r * 3, lambda: r - y, lambda: r ^ 0x5555,
                lambda: ~r, lambda: r << 2, lambda: r >> 3, lambda: -r,
            ][x & 7]()  # fmt: skip
            local = {(k * 5 + (x & 15)) & 15: k * k for k in range(16)}
            n, steps = (x & 1023) + 1, 0
            while n > 1:
                n, steps = (3 * n + 1 if n % 2 else n // 2), steps + 1
            return wrap(wrap(r) + local[y & 15] + [3, 1, 4, 1, 5, 9, 2, 6][y & 7] + steps)

        want = [expected(int(x), int(y)) for x, y in zip(a, b)]
        for (found,) in self.run_all("integers", 4, 64, [a, b], [np.zeros(COUNT, np.int64)]):
            np.testing.assert_array_equal(found, want)

    def test_philox(self):
        def draw(i, key):
            c, k = [i, 7, 9, 11], list(key)
            for _ in range(10):
                p, q = 0xD2511F53 * c[0], 0xCD9E8D57 * c[2]
                low = 0xFFFFFFFF
                c = [q >> 32 ^ c[1] ^ k[0], q & low, p >> 32 ^ c[3] ^ k[1], p & low]
                k = [(k[0] + 0x9E3779B9) & low, (k[1] + 0xBB67AE85) & low]
            return c

        key = (0xDEADBEEF, 0x12345678)
        want = np.array([draw(i, key) for i in range(COUNT)], np.uint32)
        extra = struct.pack("<2I", *key)
        for (found,) in self.run_all(
            "philox", 2, 128, [], [np.zeros((COUNT, 4), np.uint32)], extra
        ):
            np.testing.assert_array_equal(found, want)

    def test_softmax(self):
        rng = np.random.default_rng(2)
        rows = (rng.standard_normal((10, 77)) * 4).astype(np.float32)
        outputs = [np.full(rows.shape, np.nan, np.float32), np.zeros(1, np.float32)]
        wide = rows.astype(np.float64)
        weights = np.exp(wide - wide.max(1, keepdims=True))
        lse = np.log(weights.sum(1)) + wide.max(1)
        extra = struct.pack("<i", 77)
        for found, total in self.run_all("softmax", 10, 64, [rows], outputs, extra):
            np.testing.assert_allclose(found, weights / weights.sum(1, keepdims=True), 1e-5)
            np.testing.assert_allclose(total[0], lse.sum(), 1e-5)

    def test_functions(self):
        from math import erf

        x = np.linspace(-9, 9, COUNT).astype(np.float32)
        wide = x.astype(np.float64)
        want = np.stack(
            [
                np.tanh(wide), np.sqrt(np.abs(wide)), np.sin(wide), np.exp2(wide),
                np.log1p(np.abs(wide)), np.rint(x * np.float32(3)).astype(np.float64),
                np.abs(wide) ** 1.5, [erf(v) for v in wide],
            ],
            axis=1,
        )  # fmt: skip
        for (found,) in self.run_all("functions", 2, 128, [x], [np.zeros((COUNT, 8), np.float32)]):
            np.testing.assert_allclose(found, want, 3e-6, 1e-6)


if __name__ == "__main__":
    unittest.main()
