"""Control flow of AMD code objects: branches, loops, calls, several waves, grids."""

from __future__ import annotations

import unittest

import numpy as np

from gcn_probe import Device, each_architecture

SOURCE = """
KERNEL(64) collatz(i32* o, const i32* a) {  // every lane leaves the loop on its own
  int n = a[TID], steps = 0;
  while (n != 1) { n = n % 2 ? 3 * n + 1 : n / 2; ++steps; if (steps > 500) break; }
  o[TID] = steps;
}
KERNEL(64) cases(i32* o, const i32* a) {
  int x = a[TID], r = 0;
  switch (x & 7) {
    case 0: r = x * 3; break;
    case 1: r = x ^ 77;  // and on
    case 2: r += 5; break;
    case 3: for (int i = 0; i < (x >> 3 & 7); ++i) r += i * x; break;
    case 6: if (x & 64) { r = -x; break; } return;
    default: r = x >> 2;
  }
  o[TID] = r;
}
KERNEL(64) uniform_cases(i32* o, int n) {
  int r = 1;
  for (int i = 0; i < n; ++i)
    switch (i % 6) { case 0: r += i; break; case 1: r *= 3; break; case 2: r ^= 0x55; break;
                     case 3: r -= 100; break; case 4: r = r << 1; break;
                     case 5: r = r >> 1; break; }
  o[TID] = r + TID;
}
DEVICE __attribute__((noinline)) int inner(int x, int n) {
  int a[24];
  for (int i = 0; i < 24; ++i) a[i] = x * i + n;
  for (int i = 0; i < n; ++i) a[(i * 5 + x) % 24] += a[i % 24];
  return a[n % 24] + a[(n + 3) % 24];
}
DEVICE __attribute__((noinline)) int outer(int x, int n) {
  if (x % 2) return inner(x, n) + 1;
  return inner(x + 1, n + 1) * 2 + inner(x, 3);
}
KERNEL(64) calls(i32* o, const i32* a, int n) { o[TID] = outer(a[TID] & 15, n); }
KERNEL(256) waves(i32* o, const i32* a, int n) {  // a sum by halves, through all waves
  auto* s = (i32*)shared_bytes; int t = TID;
  s[t] = a[t];
  for (int round = 0; round < n; ++round) {
    for (int half = 128; half; half /= 2) {
      __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup"); __builtin_amdgcn_s_barrier();
      __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
      int sum = t < half ? s[t] + s[t + half] : s[t];
      __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup"); __builtin_amdgcn_s_barrier();
      __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
      s[t] = sum;
    }
  }
  o[t] = s[t];
}
KERNEL(128) grids(i32* o, int width, int height) {
  int x = __builtin_amdgcn_workgroup_id_x(), y = __builtin_amdgcn_workgroup_id_y(),
      z = __builtin_amdgcn_workgroup_id_z();
  o[((z * height + y) * width + x) * 128 + TID] = x * 1000000 + y * 10000 + z * 1000 + TID;
}
KERNEL(64) static_and_dynamic(i32* o) {
  __attribute__((shared)) static i32 fixed[64];
  auto* dynamic = (i32*)shared_bytes;
  fixed[TID] = TID; dynamic[TID] = 100 * TID;
  __builtin_amdgcn_fence(__ATOMIC_RELEASE, "workgroup"); __builtin_amdgcn_s_barrier();
  __builtin_amdgcn_fence(__ATOMIC_ACQUIRE, "workgroup");
  o[TID] = fixed[63 - TID] + dynamic[TID ^ 1];
}
KERNEL(128) handover(i32* o) {  // one wave waits, without a barrier, for what the other writes
  auto* s = (i32*)shared_bytes; int t = TID;
  if (t < 64) {
    while (__hip_atomic_load(s, __ATOMIC_ACQUIRE, __HIP_MEMORY_SCOPE_WORKGROUP) != 5) {}
    o[t] = s[1 + t];
  } else {
    s[t - 63] = t * 2;
    __hip_atomic_store(s, 5, __ATOMIC_RELEASE, __HIP_MEMORY_SCOPE_WORKGROUP);
  }
}
"""


def collatz(n: int) -> int:
    steps = 0
    while n != 1:
        n, steps = (3 * n + 1 if n % 2 else n // 2), steps + 1
    return steps


def cases(x: int, before: int) -> int:
    low = x & 7
    if low == 0:
        return x * 3
    if low == 1:
        return (x ^ 77) + 5
    if low == 2:
        return 5
    if low == 3:
        return sum(i * x for i in range(x >> 3 & 7))
    if low == 6:
        return -x if x & 64 else before
    return x >> 2


def uniform_cases(n: int) -> int:
    r = 1
    for i in range(n):
        r = [r + i, r * 3, r ^ 0x55, r - 100, r << 1, r >> 1][i % 6]
        r = (r + (1 << 31)) % (1 << 32) - (1 << 31)
    return r


def inner(x: int, n: int) -> int:
    a = [x * i + n for i in range(24)]
    for i in range(n):
        a[(i * 5 + x) % 24] += a[i % 24]
    return a[n % 24] + a[(n + 3) % 24]


def outer(x: int, n: int) -> int:
    return inner(x, n) + 1 if x % 2 else inner(x + 1, n + 1) * 2 + inner(x, 3)


class Control(unittest.TestCase):
    @each_architecture
    def test_lanes_part(self, architecture: str) -> None:
        device = Device(SOURCE, architecture)
        a, out = np.arange(1, 65, dtype=np.int32), np.zeros(64, np.int32)
        device.run("collatz", out, a)
        self.assertEqual(out.tolist(), [collatz(n) for n in range(1, 65)])
        a = np.random.default_rng(1).integers(0, 1 << 20, 64).astype(np.int32)
        out[:] = 123
        device.run("cases", out, a)
        self.assertEqual(out.tolist(), [cases(x, 123) for x in a.tolist()])

    @each_architecture
    def test_uniform(self, architecture: str) -> None:
        out = np.zeros(64, np.int32)
        Device(SOURCE, architecture).run("uniform_cases", out, np.int32(45))
        self.assertEqual(out.tolist(), [uniform_cases(45) + t for t in range(64)])

    @each_architecture
    def test_calls(self, architecture: str) -> None:
        a, out = np.arange(64, dtype=np.int32) * 7, np.zeros(64, np.int32)
        Device(SOURCE, architecture).run("calls", out, a, np.int32(9))
        self.assertEqual(out.tolist(), [outer(x & 15, 9) for x in a.tolist()])

    @each_architecture
    def test_waves(self, architecture: str) -> None:
        a = np.random.default_rng(2).integers(-1000, 1000, 256).astype(np.int32)
        out = np.zeros(256, np.int32)
        Device(SOURCE, architecture).run("waves", out, a, np.int32(3), block=256, shared=1024)
        s = a.tolist()
        for _ in range(3):
            for half in (128, 64, 32, 16, 8, 4, 2, 1):
                s = [s[t] + s[t + half] if t < half else s[t] for t in range(256)]
        self.assertEqual(out.tolist(), s)

    @each_architecture
    def test_grid(self, architecture: str) -> None:
        out = np.zeros((2, 4, 3, 128), np.int32)
        device = Device(SOURCE, architecture)
        device.run("grids", out, np.int32(3), np.int32(4), grid=(3, 4, 2), block=128)
        z, y, x, t = np.indices(out.shape)
        np.testing.assert_array_equal(out, x * 1000000 + y * 10000 + z * 1000 + t)

    @each_architecture
    def test_static_shared_memory(self, architecture: str) -> None:
        out = np.zeros(64, np.int32)
        Device(SOURCE, architecture).run("static_and_dynamic", out, shared=256)
        self.assertEqual(out.tolist(), [63 - t + 100 * (t ^ 1) for t in range(64)])

    @each_architecture
    def test_waiting_without_barrier(self, architecture: str) -> None:
        out = np.zeros(64, np.int32)
        Device(SOURCE, architecture).run("handover", out, block=128, shared=512)
        self.assertEqual(out.tolist(), [(t + 64) * 2 for t in range(64)])


if __name__ == "__main__":
    unittest.main()
