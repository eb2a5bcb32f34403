"""tools/codegen_report notices a spill, a stack and a lost matrix instruction in kernels made for that purpose."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import os
import subprocess
import tempfile
import unittest
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent.parent
loader = importlib.machinery.SourceFileLoader("codegen_report", str(ROOT / "tools" / "codegen_report"))
spec = importlib.util.spec_from_loader("codegen_report", loader)
report: Any = importlib.util.module_from_spec(spec)  # type: ignore[arg-type]
# Dataclasses look their module up by its name.
__import__("sys").modules["codegen_report"] = report
loader.exec_module(report)

KERNEL = 'extern "C" __attribute__((global)) void attend_probe(float* p, int n) '
# Written and read at places that only the run knows: an array that no register can hold.
STACK = KERNEL + "{ float a[64]; for (int i = 0; i < n; ++i) a[p[i] > 0 ? i : 63 - i] = p[i]; p[0] = a[n] + a[n / 2]; }"
# More values alive at once than the registers that it is told to do with.
SPILL = KERNEL + (
    "{ p += THREAD; float a[48]; for (int i = 0; i < 48; ++i) a[i] = p[i * n];"
    ' asm volatile("" ::: "memory");'
    " for (int i = 0; i < 48; ++i) p[i] = a[i] * a[(i + 7) % 48]; }"
)
PLAIN = KERNEL + "{ p[n] = p[0] * p[1]; }"
MFMA = (
    "typedef _Float16 H __attribute__((ext_vector_type(4))); typedef float F __attribute__((ext_vector_type(4)));\n"
    + KERNEL
    + "{ H a = {(_Float16)p[0], 0, 0, 0}; F c = {0, 0, 0, 0};"
    " c = __builtin_amdgcn_mfma_f32_16x16x16f16(a, a, c, 0, 0, 0); p[n] = c[0]; }"
)
MMA = KERNEL + (
    "{ float c0 = 0, c1 = 0, c2 = 0, c3 = 0; unsigned a = n;"
    ' asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 {%0,%1,%2,%3}, {%4,%4,%4,%4}, {%4,%4},'
    ' {%0,%1,%2,%3};" : "+f"(c0), "+f"(c1), "+f"(c2), "+f"(c3) : "r"(a)); p[n] = c0 + c1 + c2 + c3; }'
)


def rocm(source: str, *flags: str, kernel: str = "probe", arch: str = "gfx942") -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"probe.{arch}.co"
        (Path(folder) / "probe.cc").write_text(source.replace("THREAD", "__builtin_amdgcn_workitem_id_x()"))
        command = [os.environ["ATTEND_HIP_CLANG"], "-x", "hip", "-std=c++20", "-O3", "-nogpuinc", "-nogpulib", *flags]
        command += ["--offload-device-only", "--no-gpu-bundle-output", f"--offload-arch={arch}"]
        subprocess.run([*command, "-c", str(Path(folder) / "probe.cc"), "-o", str(path)], check=True)
        return report.read_rocm(path, kernel, arch, report.Launches({}))


def cuda(source: str, bounds: str = "128", kernel: str = "probe", arch: str = "sm_90a") -> Any:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"probe.{arch}.cubin"
        source = source.replace("__attribute__((global)) void", f"__global__ void __launch_bounds__({bounds})")
        (Path(folder) / "probe.cc").write_text(source.replace("THREAD", "threadIdx.x"))
        virtual = arch.replace("sm_", "compute_")
        command = [os.environ["ATTEND_NVCC"], "-x", "cu", "-std=c++20", "-O3", str(Path(folder) / "probe.cc")]
        for kind, code in (("ptx", virtual), ("cubin", arch)):
            words = [f"-{kind}", "-gencode", f"arch={virtual},code={code}", "-o", str(path.with_suffix(f".{kind}"))]
            subprocess.run([*command, *words], check=True)
        return report.read_cuda(path, kernel, arch, report.Launches({}))


class Faults(unittest.TestCase):
    def expect(self, image: Any, *words: str) -> None:
        faults = list(image.faults())
        self.assertEqual(len(faults), len(words), faults)
        for fault, word in zip(faults, words, strict=True):
            self.assertIn(word, fault)

    def test_plain_kernels_have_none(self) -> None:
        self.expect(rocm(PLAIN))
        self.expect(cuda(PLAIN))

    def test_a_stack_is_one(self) -> None:
        self.expect(rocm(STACK), "probe on gfx942: stack is ")
        self.expect(cuda(STACK), "probe on sm_90a: spills is ", "probe on sm_90a: stack is ")

    def test_spills_are_one(self) -> None:
        image = rocm(SPILL.replace("void", "__attribute__((amdgpu_num_vgpr(16))) void", 1))
        self.assertGreater(image.spills, 0)
        self.assertIn("probe on gfx942: spills is ", next(image.faults()))
        self.assertGreater(cuda(SPILL, "1024, 2").spills, 0)

    def test_matrix_kernels_need_matrix_instructions(self) -> None:
        self.expect(rocm(PLAIN, kernel="flash_matrix"), "flash_matrix on gfx942: matrix instructions are 0")
        self.expect(cuda(PLAIN, kernel="flash_matrix"), "flash_matrix on sm_90a: matrix instructions are 0")
        self.assertEqual(rocm(MFMA, kernel="flash_matrix").matrix, 1)
        self.assertEqual(cuda(MMA, kernel="flash_matrix").matrix, 1)
        self.expect(rocm(MFMA, kernel="flash_matrix"))
        self.expect(cuda(MMA, kernel="flash_matrix"))


class Table(unittest.TestCase):
    image = dict(kernel="probe", arch="sm_80", threads=128, registers="40", static=0, launch=512, warps="40 of 64",
                 matrix=3, spills=0, stack=0)  # fmt: skip

    def faults(self, **change: Any) -> list[str]:
        """Of a table with one kernel, against an image that differs by `change`."""
        with tempfile.TemporaryDirectory(dir=ROOT / "bench" / "reports") as folder:
            report.TABLE = Path(folder) / "codegen.md"
            report.TABLE.write_text(report.Image(**self.image).row() + "\n")
            return list(report.table_faults([report.Image(**{**self.image, **change})]))

    def test_registers_may_differ(self) -> None:
        self.assertEqual(self.faults(), [])
        self.assertEqual(self.faults(registers="44", warps="36 of 64", matrix=5), [])

    def test_what_must_hold(self) -> None:
        self.assertIn("launch of probe on sm_80 is 512, expected 1024", self.faults(launch=1024)[0])
        self.assertIn("has 0 matrix instructions, 3 there", self.faults(matrix=0)[0])

    def test_kernels_must_be_the_same(self) -> None:
        faults = self.faults(kernel="another")
        self.assertIn("another on sm_80 is missing", faults[0])
        self.assertIn("probe on sm_80 is there, and no such image", faults[1])


if __name__ == "__main__":
    unittest.main()
