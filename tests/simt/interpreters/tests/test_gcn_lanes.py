"""Moves between lanes: DPP, permutes, swizzles, single lanes, counts of lanes below."""

from __future__ import annotations

import unittest
from collections.abc import Callable

import numpy as np

from gcn_probe import Device, assembly_kernel, each_architecture

DPP: dict[str, Callable[[int], int | None]] = {  # control: the lane that a lane reads
    "quad_perm:[2,0,3,1]": lambda i: i - i % 4 + (2, 0, 3, 1)[i % 4],
    "row_shl:3": lambda i: i + 3 if i % 16 < 13 else None,
    "row_shr:1": lambda i: i - 1 if i % 16 else None,
    "row_ror:5": lambda i: i - 5 if i % 16 >= 5 else i + 11,
    "row_mirror": lambda i: i - i % 16 + 15 - i % 16,
    "row_half_mirror": lambda i: i - i % 8 + 7 - i % 8,
    "row_newbcast:6": lambda i: i - i % 16 + 6,
    "wave_shr:1": lambda i: i - 1 if i else None,
    "wave_shl:1": lambda i: i + 1 if i < 63 else None,
    "wave_rol:1": lambda i: (i + 1) % 64,
    "wave_ror:1": lambda i: (i - 1) % 64,
    "row_bcast:15": lambda i: i // 16 * 16 - 1 if i >= 16 else None,
    "row_bcast:31": lambda i: 31 if i >= 32 else None,
}
MASKS = {  # of rows and banks, and whether lanes without a source read 0
    "row_mask:0xf bank_mask:0xf": (15, 15, False),
    "row_mask:0xa bank_mask:0xf": (10, 15, False),
    "row_mask:0x7 bank_mask:0x5 bound_ctrl:0": (7, 5, True),
}
SOMETIMES = 0x0FF0_F0F7_8001_FFFE  # lanes that are active in the second round


class Lanes(unittest.TestCase):
    @each_architecture
    def test_dpp(self, architecture: str) -> None:
        cases = [(control, masks) for control in DPP for masks in MASKS]
        source = ""
        for n, (control, masks) in enumerate(cases):
            move = f"v_add_u32_dpp %0, %1, %2 {control} {masks}"
            source += assembly_kernel(f"all_{n}", move, 1, 2, 1)
            some = (
                f"s_mov_b32 s8, 0x{SOMETIMES & 0xFFFFFFFF:x}\\n"
                f"s_mov_b32 s9, 0x{SOMETIMES >> 32:x}\\n"
                "s_mov_b64 s[10:11], exec\\ns_mov_b64 exec, s[8:9]\\n"
                f"{move}\\ns_mov_b64 exec, s[10:11]"
            )
            source += assembly_kernel(f"some_{n}", some, 1, 2, 1).replace(
                '"vcc"', '"s8", "s9", "s10", "s11"'
            )
        device = Device(source, architecture)
        rng = np.random.default_rng(1)
        a, b = (rng.integers(0, 1 << 31, 64).astype(np.uint32) for _ in range(2))
        for n, (control, masks) in enumerate(cases):
            rows, banks, zero = MASKS[masks]
            for kind, active in (("all", (1 << 64) - 1), ("some", SOMETIMES)):
                out = np.full(64, 999, np.uint32)
                device.run(f"{kind}_{n}", out, a, b)
                for i in range(64):
                    want = 999
                    if active >> i & 1 and rows >> i // 16 & 1 and banks >> i % 16 // 4 & 1:
                        lane = DPP[control](i)
                        if lane is not None and active >> lane & 1:
                            want = int(a[lane]) + int(b[i])
                        elif zero:
                            want = int(b[i])
                    self.assertEqual(out[i], want, f"{kind}: {control} {masks}, lane {i}")

    @each_architecture
    def test_permutes(self, architecture: str) -> None:
        source = """
        KERNEL(64) permutes(u32* o, const u32* a) {
          int t = TID; u32 x = a[t];
          o[t] = __builtin_amdgcn_ds_bpermute((t * 29 + 3) << 2, x);
          o[t + 64] = __builtin_amdgcn_ds_permute((t * 29 + 3) << 2, x);
          o[t + 128] = __builtin_amdgcn_ds_swizzle(x, 0x041f);        // xor 1
          o[t + 192] = __builtin_amdgcn_ds_swizzle(x, 0x80b1);        // quad 1, 0, 3, 2
          o[t + 256] = __builtin_amdgcn_ds_swizzle(x, 3 << 10 | 4 << 5 | 0x18);
          o[t + 320] = 7;
          if (t % 3 != 1) o[t + 320] = __builtin_amdgcn_ds_bpermute((t ^ 1) << 2, x);
        }"""
        a = np.random.default_rng(2).integers(0, 1 << 32, 64).astype(np.uint32)
        out = np.zeros(384, np.uint32)
        Device(source, architecture).run("permutes", out, a)
        for i in range(64):
            self.assertEqual(out[i], a[(i * 29 + 3) % 64])
            self.assertEqual(out[64 + (i * 29 + 3) % 64], a[i])
            self.assertEqual(out[128 + i], a[i ^ 1])
            self.assertEqual(out[192 + i], a[i ^ 1])
            self.assertEqual(out[256 + i], a[i // 32 * 32 + ((i & 0x18 | 4) ^ 3)])
            active = i % 3 != 1
            want = (a[i ^ 1] if (i ^ 1) % 3 != 1 else 0) if active else 7
            self.assertEqual(out[320 + i], want)

    @each_architecture
    def test_single_lanes(self, architecture: str) -> None:
        source = """
        KERNEL(64) lanes(u32* o, const u32* a) {
          int t = TID; u32 x = a[t];
          o[t] = __builtin_amdgcn_readlane(x, 37) + __builtin_amdgcn_readfirstlane(x);
          o[t + 64] = 0;
          if (t > 20 && x % 2) o[t + 64] = __builtin_amdgcn_readfirstlane(x);
          u32 y = x;
          asm volatile("s_movk_i32 m0, 0x1234\\nv_writelane_b32 %0, m0, 9" : "+v"(y) : : "m0");
          o[t + 128] = y;
          u32 below = __builtin_amdgcn_mbcnt_lo(0x8181ffff, 1000);
          o[t + 192] = __builtin_amdgcn_mbcnt_hi(0xf0f01234, below);
          u64 b = __builtin_amdgcn_ballot_w64(x % 3 == 0);
          o[t + 256] = b; o[t + 320] = b >> 32;
          o[t + 384] = __builtin_amdgcn_mbcnt_hi(a[t + 1], __builtin_amdgcn_mbcnt_lo(x, 0));
        }"""
        a = np.random.default_rng(3).integers(0, 1 << 32, 65).astype(np.uint32)
        out = np.zeros(448, np.uint32)
        Device(source, architecture).run("lanes", out, a)
        odd = next(i for i in range(21, 64) if a[i] % 2)
        ballot = sum(1 << i for i in range(64) if a[i] % 3 == 0)
        mask = 0xF0F01234 << 32 | 0x8181FFFF
        for i in range(64):
            self.assertEqual(out[i], (int(a[37]) + int(a[0])) & 0xFFFFFFFF)
            self.assertEqual(out[64 + i], a[odd] if i > 20 and a[i] % 2 else 0)
            self.assertEqual(out[128 + i], 0x1234 if i == 9 else a[i])
            self.assertEqual(out[192 + i], 1000 + (mask & (1 << i) - 1).bit_count())
            self.assertEqual(int(out[256 + i]) | int(out[320 + i]) << 32, ballot)
            own = int(a[i + 1]) << 32 | int(a[i])
            self.assertEqual(out[384 + i], (own & (1 << i) - 1).bit_count())


if __name__ == "__main__":
    unittest.main()
