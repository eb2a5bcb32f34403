"""What must stop a launch, and that the words say where: kernel, block, wave, lane, instruction."""

from __future__ import annotations

import unittest

import numpy as np
from gcn_probe import Device, compiled, each_architecture  # it makes the interpreter importable

# isort: split
from gcn.listing import Line, parse
from gcn.operands import UnknownInstruction
from gcn.program import Program, decode
from memory import SimtError

SOURCE = """
KERNEL(128) stray(u32* o, const u32* a, int lane, int by) {
  int block = __builtin_amdgcn_workgroup_id_y();
  o[TID] = a[TID + (TID == lane && block == 1 ? by : 0)];
}
KERNEL(128) stray_store(u32* o, int lane, int by) { o[TID + (TID == lane ? by : 0)] = 1; }
KERNEL(64) shared_range(u32* o, int by) {
  auto* s = (u32*)shared_bytes; s[TID] = 1; __builtin_amdgcn_s_barrier(); o[TID] = s[TID + by];
}
KERNEL(64) shared_unwritten(u32* o, int n) {
  auto* s = (u32*)shared_bytes; if (TID != 40) s[TID] = TID;
  __builtin_amdgcn_fence(__ATOMIC_SEQ_CST, "workgroup"); __builtin_amdgcn_s_barrier();
  o[TID] = s[TID ^ n];
}
KERNEL(64) crooked(u32* o, const char* a, int by) { o[TID] = *(const u32*)(a + TID * 4 + by); }
KERNEL(192) parted(u32* o, int wave) {
  if (TID / 64 == wave) return;
  __builtin_amdgcn_s_barrier();
  o[TID] = 1;
}
KERNEL(64) strange(u32* o) { asm volatile("s_sendmsg sendmsg(MSG_INTERRUPT)"); o[TID] = 1; }
KERNEL(64) trap(u32* o) { if (o[0] == 5) __builtin_trap(); o[TID] = 1; }
"""
A = np.arange(128, dtype=np.uint32)


class Errors(unittest.TestCase):
    def fails(
        self, device: Device, words: str, kernel: str, *arguments: object, **launch: object
    ) -> None:
        with self.assertRaisesRegex(SimtError, words):
            device.run(kernel, *arguments, **launch)  # type: ignore[arg-type]

    @each_architecture
    def test_outside_every_allocation(self, architecture: str) -> None:
        device = Device(SOURCE, architecture)
        out = np.zeros(128, np.uint32)
        for by in (128, -128, 1 << 28, -70):
            words = (
                r"^stray: block \(0, 1, 0\) wave 1 lane 3: outside every allocation: 4 bytes .*: "
                r"global_load_dword .* \(at 0x"
            )
            self.fails(
                device,
                words,
                "stray",
                out,
                A,
                np.int32(67),
                np.int32(by),
                block=128,
                grid=(1, 2, 1),
            )
        device.run("stray", out, A, np.int32(67), np.int32(60), block=128, grid=(1, 2, 1))
        self.assertEqual(out[67], 127)
        words = r"wave 0 lane 63: outside every allocation: .*: global_store_dword "
        self.fails(device, words, "stray_store", out, np.int32(63), np.int32(66), block=128)

    @each_architecture
    def test_shared_memory(self, architecture: str) -> None:
        device = Device(SOURCE, architecture)
        out = np.zeros(64, np.uint32)
        words = r"wave 0 lane 60: out of range: .* shared memory, which has 256 bytes: ds_read"
        self.fails(device, words, "shared_range", out, np.int32(4), shared=256)
        self.fails(device, "lane 0: out of range", "shared_range", out, np.int32(-1), shared=256)
        device.run("shared_range", out, np.int32(4), shared=272)

    @each_architecture
    def test_unwritten_shared_memory(self, architecture: str) -> None:
        out = np.zeros(64, np.uint32)
        device = Device(SOURCE, architecture)
        device.run("shared_unwritten", out, np.int32(1), shared=256)
        self.assertEqual(out[41], 0xFFFFFFFF)  # poison
        words = "lane 41: shared memory read before it is written: .*: ds_read"
        strict = Device(SOURCE, architecture, track_shared=True)
        self.fails(strict, words, "shared_unwritten", out, np.int32(1), shared=256)

    @each_architecture
    def test_misaligned(self, architecture: str) -> None:
        out = np.zeros(64, np.uint32)
        device = Device(SOURCE, architecture)
        words = "wave 0 lane 0: misaligned: .*: global_load_dword"
        self.fails(device, words, "crooked", out, A, np.int32(2))

    @each_architecture
    def test_deadlock(self, architecture: str) -> None:
        device = Device(SOURCE, architecture)
        out = np.zeros(192, np.uint32)
        words = r"^parted: block \(0, 0, 0\): deadlock: wave 0, 2 waits at a barrier .* 1 has ended"
        self.fails(device, words, "parted", out, np.int32(1), block=192)
        device.run("parted", out, np.int32(3), block=192)

    @each_architecture
    def test_unknown_instruction(self, architecture: str) -> None:
        device = Device(SOURCE, architecture)
        out = np.zeros(64, np.uint32)
        words = r"strange: .* unknown instruction: s_sendmsg sendmsg\(MSG_INTERRUPT\)$"
        self.fails(device, words, "strange", out)
        self.assertEqual(out.tolist(), [0] * 64)
        listed = Program(compiled(SOURCE, architecture)).unknown()
        self.assertEqual(set(listed), {"s_sendmsg sendmsg(MSG_INTERRUPT)"})

    @each_architecture
    def test_trap(self, architecture: str) -> None:
        device = Device(SOURCE, architecture)
        out = np.full(64, 5, np.uint32)
        self.fails(device, "the kernel traps", "trap", out)

    def test_unknown_modifiers(self) -> None:
        """A form that a decoder does not look at is as unknown as a name."""
        for text in (
            "v_add_u32_e64 v0, v1, v2 op_sel:[0,1,0]",
            "v_mfma_f32_16x16x16_f16 a[0:3], v[0:1], v[2:3], a[0:3] cbsz:1",
            "ds_read_b32 v0, v1 gds",
            "buffer_load_dword v0, v1, s[0:3], 0 idxen",
            "global_load_dword v[0:1], off lds",
            "v_mul_lo_u32 v0, v1, v2 clamp",
            "v_quite_new_b32 v0, v1",
        ):
            with self.assertRaises(UnknownInstruction, msg=text):
                decode(parse(Line(text, 0x1600, (0,))))


if __name__ == "__main__":
    unittest.main()
