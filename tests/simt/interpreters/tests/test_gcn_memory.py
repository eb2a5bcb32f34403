"""Loads, stores and atomics of AMD code objects: global, flat, scalar, shared, private memory."""

from __future__ import annotations

import unittest

import numpy as np

from gcn_probe import Device, each_architecture

GLOBAL = """
template <int n> struct Words { u32 w[n]; };
template <int n>
DEVICE inline void copy(Words<n>* o, const Words<n>* a, int by) { o[TID] = a[TID + by]; }
KERNEL(64) copy1(Words<1>* o, const Words<1>* a) { copy(o, a, 3); }
KERNEL(64) copy2(Words<2>* o, const Words<2>* a) { copy(o, a + 15, -10); }
KERNEL(64) copy3(Words<3>* o, const Words<3>* a) { copy(o, a, 1); }
KERNEL(64) copy4(Words<4>* o, const Words<4>* a) { copy(o, a, 2); }
KERNEL(64) narrow(i32* o, const u8* a, const i8* b, const u16* c, const i16* d) {
  int t = TID; o[t] = a[t] * 1000 + b[t]; o[t + 64] = c[t] * 100 + d[t];
}
KERNEL(64) narrow_stores(u8* a, u16* b, const u32* x) {
  int t = TID; a[t] = x[t]; a[t + 64] = x[t] >> 16; b[t] = x[t]; b[t + 64] = x[t] >> 16;
}
KERNEL(64) halves_in(u32* o, const u16* a, const u8* b) {
  u32 d = 0xabcd1234;
  asm volatile("global_load_short_d16_hi %0, %1, off\\ns_waitcnt vmcnt(0)"
               : "+v"(d) : "v"(a + TID));
  o[TID] = d; d = 0xabcd1234;
  asm volatile("global_load_short_d16 %0, %1, off\\ns_waitcnt vmcnt(0)" : "+v"(d) : "v"(a + TID));
  o[TID + 64] = d; d = 0xabcd1234;
  asm volatile("global_load_sbyte_d16_hi %0, %1, off\\ns_waitcnt vmcnt(0)"
               : "+v"(d) : "v"(b + TID));
  o[TID + 128] = d; d = 0xabcd1234;
  asm volatile("global_load_ubyte_d16 %0, %1, off\\ns_waitcnt vmcnt(0)" : "+v"(d) : "v"(b + TID));
  o[TID + 192] = d;
}
struct Big { const u32* first; u32 many[900]; i64 last; };
KERNEL(64) arguments(u32* o, Big big) {
  auto* raw = (const u32*)__builtin_amdgcn_kernarg_segment_ptr();
  int t = TID; o[t] = big.first[t] + big.many[3] + big.many[899] + (u32)big.last;
  o[t + 64] = raw[t * 13];  // as memory, by the lane
}
DEVICE u32 counter[2] = {7, 9};
DEVICE const u32 table[32] = {1, 4, 9, 16, 25, 36, 49, 64, 81, 100, 121, 144, 169, 196, 225, 256};
KERNEL(64) tables(u32* o, const u32* a) {
  o[TID] = table[a[TID] & 31];
  if (TID == 5) counter[1] += 3;
  o[TID + 64] = *(volatile u32*)&counter[1];
}
extern DEVICE u32* const parts[4];
DEVICE u32 first_part[4] = {3, 5, 7, 11}, second_part[3] = {13, 17, 19};
DEVICE u32* const parts[4] = {first_part, second_part, first_part + 2, second_part + 1};
KERNEL(64) relocated(u32* o, const u32* a) { o[TID] = parts[a[TID] & 3][a[TID] >> 2 & 1]; }
KERNEL(64) flat(u32* o, u32 which) {
  auto* here = (u32*)shared_bytes; int t = TID;
  u32 mine[64];
  for (int i = 0; i < 64; ++i) mine[i] = i * 100 + t;
  u32* at = which == 0 ? o : which == 1 ? here : mine;
  at[t] = t * 3 + 1;
  __builtin_amdgcn_fence(__ATOMIC_SEQ_CST, "workgroup");
  o[64 + t] = at[which == 2 ? t : t ^ 1] + mine[(t + 1) % 64];
}
KERNEL(64) uniform(u32* o, const u32* a, int n) {
  u32 sum = 0;
  for (int i = 0; i < n; ++i) sum = sum * 3 + a[i];
  o[TID] = sum;
}
KERNEL(64) buffer(u32* o, u32* a) {
  auto r = __builtin_amdgcn_make_buffer_rsrc(a, 0, 100, 0x27000);
  o[TID] = __builtin_amdgcn_raw_buffer_load_b32(r, TID * 4, 8, 0);
}
"""

SHARED = """
#define GROUP __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_WORKGROUP
KERNEL(64) reverse(u64* o, const u64* a) {
  auto* s = (u64*)shared_bytes; s[TID] = a[TID]; __builtin_amdgcn_s_barrier(); o[TID] = s[63 - TID];
}
struct alignas(16) Quad { u32 w[4]; };
KERNEL(64) quads(Quad* o, const Quad* a) {
  auto* s = (Quad*)shared_bytes; s[TID] = a[TID]; __builtin_amdgcn_s_barrier();
  o[TID] = s[TID ^ 21];
}
KERNEL(64) narrow(i32* o, const u16* a) {
  auto* h = (u16*)shared_bytes; auto* b = (i8*)(shared_bytes + 128);
  h[TID] = a[TID]; b[TID] = a[TID] >> 4; __builtin_amdgcn_s_barrier();
  o[TID] = h[(TID * 7) % 64] * 1000 + b[(TID * 5) % 64];
}
KERNEL(64) pairs(u32* o, const u32* a) {
  u32 at = TID * 4, x = a[TID], y = a[TID + 64];
  asm volatile("ds_write2st64_b32 %0, %1, %2 offset0:1 offset1:2"
               :: "v"(at), "v"(x), "v"(y) : "memory");
  u64 both;
  asm volatile("s_waitcnt lgkmcnt(0)\\nds_read2_b32 %0, %1 offset0:64 offset1:129\\n"
               "s_waitcnt lgkmcnt(0)" : "=v"(both) : "v"(at) : "memory");
  o[TID] = both; o[TID + 64] = both >> 32;
}
KERNEL(64) halves(u32* o, const u32* a) {
  u32 at = TID * 4, x = a[TID], d = 0x11112222, e = 0x33334444;
  asm volatile("ds_write_b16_d16_hi %0, %1 offset:2\\nds_write_b8_d16_hi %0, %1"
               :: "v"(at), "v"(x) : "memory");
  asm volatile("s_waitcnt lgkmcnt(0)\\nds_read_u16_d16_hi %0, %2 offset:2\\n"
               "ds_read_i8_d16 %1, %2\\ns_waitcnt lgkmcnt(0)"
               : "+v"(d), "+v"(e) : "v"(at) : "memory");
  o[TID] = d; o[TID + 64] = e;
}
KERNEL(64) atomics(u32* o, const u32* a) {
  auto* s = (u32*)shared_bytes; auto* f = (float*)(shared_bytes + 64);
  auto* l = (u64*)(shared_bytes + 96);
  if (TID < 16) s[TID] = 0, f[TID] = 0;
  if (TID < 4) l[TID] = 0;
  __builtin_amdgcn_s_barrier();
  u32 found = __hip_atomic_fetch_add(&s[a[TID] % 4], a[TID], GROUP);
  __hip_atomic_fetch_max(&s[4], a[TID], GROUP);
  __hip_atomic_fetch_xor(&s[5], a[TID], GROUP);
  __hip_atomic_fetch_min((i32*)&s[6], (i32)a[TID], GROUP);
  __hip_atomic_fetch_add(&l[0], (u64)a[TID] << 20, GROUP);
  u32 expected = 0;
  __hip_atomic_compare_exchange_strong(&s[7], &expected, TID + 1, __ATOMIC_RELAXED, GROUP);
  float half = 0.5f;
  asm volatile("ds_add_f32 %0, %1 offset:64\\ns_waitcnt lgkmcnt(0)"
               :: "v"(0), "v"(half) : "memory");
  __builtin_amdgcn_s_barrier();
  o[TID] = found;
  if (TID < 8) o[64 + TID] = s[TID];
  if (TID == 8) o[72] = l[0] >> 20;
  if (TID == 9) o[73] = f[0];
  if (TID < 4) o[80 + TID] = __hip_atomic_exchange(&s[TID], 5u, GROUP);
  o[128 + TID] = expected;
}
"""

ATOMICS = """
#define AGENT __ATOMIC_RELAXED, __HIP_MEMORY_SCOPE_AGENT
KERNEL(64) atomics(u32* o, const u32* a, u32* s, u64* l, float* f) {
  u32 x = a[TID];
  o[TID] = __hip_atomic_fetch_add(&s[x % 4], x, AGENT);
  __hip_atomic_fetch_max(&s[4], x, AGENT);
  __hip_atomic_fetch_min((i32*)&s[5], (i32)x, AGENT);
  __hip_atomic_fetch_or(&s[6], x, AGENT);
  __hip_atomic_fetch_and(&s[7], x | 0xff, AGENT);
  u32 expected = 0;
  __hip_atomic_compare_exchange_strong(&s[8], &expected, TID + 1, __ATOMIC_RELAXED, AGENT);
  o[64 + TID] = expected;
  __hip_atomic_fetch_add(&l[0], (u64)x << 20, AGENT);
  u64 zero = 0;
  __hip_atomic_compare_exchange_strong(&l[1], &zero, (u64)TID + 100, __ATOMIC_RELAXED, AGENT);
  __hip_atomic_fetch_add(f, 0.25f, AGENT);
  if (TID == 0) o[128] = __hip_atomic_exchange(&s[9], 77u, AGENT);
}
"""


def any_words(count: int, seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 1 << 32, count).astype(np.uint32)


def signed_byte(x: int) -> int:
    return (x & 255) - 256 if x & 128 else x & 255


class GlobalMemory(unittest.TestCase):
    @each_architecture
    def test_widths(self, architecture: str) -> None:
        device = Device(GLOBAL, architecture)
        for words, by in ((1, 3), (2, 5), (3, 1), (4, 2)):
            a, out = any_words(words * 80, words), np.zeros(words * 64, np.uint32)
            device.run(f"copy{words}", out, a)
            np.testing.assert_array_equal(out, a[by * words : (by + 64) * words])

    @each_architecture
    def test_narrow(self, architecture: str) -> None:
        device = Device(GLOBAL, architecture)
        rng = np.random.default_rng(2)
        a, b, c, d = (
            rng.integers(np.iinfo(t).min, np.iinfo(t).max, 64, endpoint=True).astype(t)
            for t in (np.uint8, np.int8, np.uint16, np.int16)
        )
        out = np.zeros(128, np.int32)
        device.run("narrow", out, a, b, c, d)
        for i in range(64):
            self.assertEqual(out[i], int(a[i]) * 1000 + int(b[i]))
            self.assertEqual(out[64 + i], int(c[i]) * 100 + int(d[i]))
        x, bytes_, halves = any_words(64, 3), np.zeros(128, np.uint8), np.zeros(128, np.uint16)
        device.run("narrow_stores", bytes_, halves, x)
        for i, word in enumerate(x.tolist()):
            got = [bytes_[i], bytes_[64 + i], halves[i], halves[64 + i]]
            self.assertEqual(got, [word & 255, word >> 16 & 255, word & 0xFFFF, word >> 16])

    @each_architecture
    def test_halves_of_registers(self, architecture: str) -> None:
        a = any_words(32, 4).view(np.uint16)
        b = any_words(16, 5).view(np.uint8)
        out = np.zeros(256, np.uint32)
        Device(GLOBAL, architecture).run("halves_in", out, a, b)
        for i in range(64):
            signed = signed_byte(int(b[i])) & 0xFFFF
            self.assertEqual(out[i], int(a[i]) << 16 | 0x1234)
            self.assertEqual(out[64 + i], 0xABCD0000 | int(a[i]))
            self.assertEqual(out[128 + i], signed << 16 | 0x1234)
            self.assertEqual(out[192 + i], 0xABCD0000 | int(b[i]))

    @each_architecture
    def test_large_arguments(self, architecture: str) -> None:
        """3616 bytes of them, read by scalar loads and, as memory, by vector loads."""
        first, many, out = any_words(64, 6), any_words(900, 7), np.zeros(128, np.uint32)
        tail = many.tobytes() + np.int64(-5).tobytes()  # of the structure, behind `first`
        Device(GLOBAL, architecture).run("arguments", out, first, tail)
        for i in range(64):
            want = int(first[i]) + int(many[3]) + int(many[899]) - 5
            self.assertEqual(out[i], want & 0xFFFFFFFF)
            if i * 13 >= 4:  # behind the two pointers
                self.assertEqual(out[64 + i], many[i * 13 - 4])

    @each_architecture
    def test_image_data(self, architecture: str) -> None:
        device = Device(GLOBAL, architecture)
        a, out = any_words(64, 8), np.zeros(128, np.uint32)
        device.run("tables", out, a)
        squares = [(i + 1) ** 2 if i < 16 else 0 for i in range(32)]
        self.assertEqual(out[:64].tolist(), [squares[x & 31] for x in a.tolist()])
        self.assertEqual(set(out[64:].tolist()), {12})

    @each_architecture
    def test_relocations(self, architecture: str) -> None:
        a, out = any_words(64, 17), np.zeros(64, np.uint32)
        Device(GLOBAL, architecture).run("relocated", out, a)
        parts = ((3, 5), (13, 17), (7, 11), (17, 19))
        self.assertEqual(out.tolist(), [parts[x & 3][x >> 2 & 1] for x in a.tolist()])

    @each_architecture
    def test_flat(self, architecture: str) -> None:
        device = Device(GLOBAL, architecture)
        lane = np.arange(64)
        for which in range(3):
            out = np.zeros(128, np.uint32)
            device.run("flat", out, np.uint32(which), shared=256)
            mine = (lane + 1) % 64 * 100 + lane
            read = lane if which == 2 else lane ^ 1
            np.testing.assert_array_equal(out[64:], read * 3 + 1 + mine)

    @each_architecture
    def test_uniform(self, architecture: str) -> None:
        a, out, want = any_words(37, 9), np.zeros(64, np.uint32), 0
        for x in a.tolist():
            want = (want * 3 + x) & 0xFFFFFFFF
        Device(GLOBAL, architecture).run("uniform", out, a, np.int32(37))
        self.assertEqual(set(out.tolist()), {want})

    @each_architecture
    def test_buffer(self, architecture: str) -> None:
        """Beyond the 100 bytes of the descriptor a load gives 0."""
        a, out = any_words(40, 10), np.ones(64, np.uint32)
        Device(GLOBAL, architecture).run("buffer", out, a)
        want = [int(a[i + 2]) if i * 4 + 4 <= 100 else 0 for i in range(64)]
        self.assertEqual(out.tolist(), want)

    @each_architecture
    def test_atomics(self, architecture: str) -> None:
        a, out = any_words(64, 11), np.zeros(160, np.uint32)
        s, sums, total = np.zeros(10, np.uint32), np.zeros(2, np.uint64), np.zeros(1, np.float32)
        s[7], s[9] = 0xFFFFFFFF, 5
        Device(ATOMICS, architecture).run("atomics", out, a, s, sums, total)
        values = a.tolist()
        for bin_ in range(4):
            mine = [x for x in values if x % 4 == bin_]
            self.assertEqual(s[bin_], sum(mine) & 0xFFFFFFFF)
            # What each found is the sum of those before it, in some order.
            found = sorted(int(out[i]) for i, x in enumerate(values) if x % 4 == bin_)
            running, chain = 0, []
            for x in mine:
                chain.append(running)
                running = (running + x) & 0xFFFFFFFF
            self.assertEqual(found, sorted(chain))
        signed = a.view(np.int32).tolist()
        self.assertEqual(s[4], max(values))
        self.assertEqual(s[5].view(np.int32), min(0, *signed))
        self.assertEqual(s[6], np.bitwise_or.reduce(a))
        self.assertEqual(s[7], np.bitwise_and.reduce(a | np.uint32(255)))
        winners = [i for i in range(64) if out[64 + i] == 0]
        self.assertEqual([s[8]], [i + 1 for i in winners])
        self.assertEqual(sums[0], sum(x << 20 for x in values))
        self.assertIn(int(sums[1]), range(100, 164))
        self.assertEqual(total[0], 16.0)
        self.assertEqual((out[128], s[9]), (5, 77))


class SharedMemory(unittest.TestCase):
    @each_architecture
    def test_wide(self, architecture: str) -> None:
        device = Device(SHARED, architecture)
        a = any_words(256, 12)
        out = np.zeros(64, np.uint64)
        device.run("reverse", out, a.view(np.uint64)[:64], shared=512)
        np.testing.assert_array_equal(out, a.view(np.uint64)[:64][::-1])
        quads = np.zeros((64, 4), np.uint32)
        device.run("quads", quads, a, shared=1024)
        np.testing.assert_array_equal(quads, a.reshape(64, 4)[np.arange(64) ^ 21])

    @each_architecture
    def test_narrow(self, architecture: str) -> None:
        a, out = any_words(32, 13).view(np.uint16), np.zeros(64, np.int32)
        Device(SHARED, architecture).run("narrow", out, a, shared=192)
        for i in range(64):
            want = int(a[i * 7 % 64]) * 1000 + signed_byte(int(a[i * 5 % 64]) >> 4)
            self.assertEqual(out[i], want)

    @each_architecture
    def test_pairs(self, architecture: str) -> None:
        a, out = any_words(128, 14), np.zeros(128, np.uint32)
        Device(SHARED, architecture).run("pairs", out, a, shared=1024)
        np.testing.assert_array_equal(out[:64], a[:64])
        np.testing.assert_array_equal(out[64:127], a[65:128])

    @each_architecture
    def test_halves(self, architecture: str) -> None:
        a, out = any_words(64, 15), np.zeros(128, np.uint32)
        Device(SHARED, architecture).run("halves", out, a, shared=256)
        for i, x in enumerate(a.tolist()):
            self.assertEqual(out[i], x & 0xFFFF0000 | 0x2222)
            self.assertEqual(out[64 + i], 0x33330000 | signed_byte(x >> 16) & 0xFFFF)

    @each_architecture
    def test_atomics(self, architecture: str) -> None:
        a, out = any_words(64, 16), np.full(192, 0xEE, np.uint32)
        Device(SHARED, architecture).run("atomics", out, a, shared=128)
        values = a.tolist()
        sums = [sum(x for x in values if x % 4 == i) & 0xFFFFFFFF for i in range(4)]
        self.assertEqual(out[64:68].tolist(), sums)
        self.assertEqual(out[68], max(values))
        self.assertEqual(out[69], np.bitwise_xor.reduce(a))
        self.assertEqual(out[70].view(np.int32), min(0, *a.view(np.int32).tolist()))
        winners = [i + 1 for i in range(64) if out[128 + i] == 0]
        self.assertEqual([out[71]], winners)
        self.assertEqual(out[72], sum(values) & 0xFFFFFFFF)
        self.assertEqual(out[73], 32)
        self.assertEqual(out[80:84].tolist(), sums)


if __name__ == "__main__":
    unittest.main()
