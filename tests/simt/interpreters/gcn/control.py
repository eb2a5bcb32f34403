"""Control flow: branches, calls, the execution mask, barriers and the float mode."""

from __future__ import annotations

from collections.abc import Callable

from memory import SimtError

from .image import IMAGE_BASE
from .listing import Instruction
from .operands import scalar, scalar_target, unknown
from .scalar_alu import Decoder, immediate
from .wave import MASK64, Step, Stop, Wave


def _save_exec(combine: Callable[[int, int], int]) -> Decoder:
    """exec = combine(source, exec), the old one kept."""

    def decode(instruction: Instruction) -> Step:
        put, a = scalar_target(instruction.operands[0], 64), scalar(instruction.operands[1], 64)

        def step(w: Wave) -> None:
            source, old = a(w), w.exec
            put(w, old)
            w.set_exec(combine(source, old) & MASK64)
            w.scc = int(w.exec != 0)

        return step

    return decode


def _write_exec(combine: Callable[[int, int], int]) -> Decoder:
    """s_andn1_wrexec and s_andn2_wrexec: exec and the destination take the result."""

    def decode(instruction: Instruction) -> Step:
        put, a = scalar_target(instruction.operands[0], 64), scalar(instruction.operands[1], 64)

        def step(w: Wave) -> None:
            result = combine(a(w), w.exec) & MASK64
            put(w, result)
            w.set_exec(result)
            w.scc = int(result != 0)

        return step

    return decode


def _branch(taken: Callable[[Wave], bool]) -> Decoder:
    def decode(instruction: Instruction) -> Step:
        target = instruction.end + 4 * immediate(instruction)

        def step(w: Wave) -> None:
            if taken(w):
                w.pc = w.program.index(target)

        return step

    return decode


def _get_pc(instruction: Instruction) -> Step:
    put, here = scalar_target(instruction.operands[0], 64), IMAGE_BASE + instruction.end

    def step(w: Wave) -> None:
        put(w, here)

    return step


def _set_pc(instruction: Instruction) -> Step:
    """s_setpc_b64, s_swappc_b64: the latter keeps where to return to."""
    put = scalar_target(instruction.operands[0], 64) if len(instruction.operands) == 2 else None
    a, here = scalar(instruction.operands[-1], 64), IMAGE_BASE + instruction.end

    def step(w: Wave) -> None:
        to = a(w)
        if put is not None:
            put(w, here)
        w.pc = w.program.index(to - IMAGE_BASE)

    return step


def _call(instruction: Instruction) -> Step:
    put, here = scalar_target(instruction.operands[0], 64), IMAGE_BASE + instruction.end
    target = instruction.end + 4 * immediate(instruction)

    def step(w: Wave) -> None:
        put(w, here)
        w.pc = w.program.index(target)

    return step


def _nothing(_: Instruction) -> Step:
    return lambda w: None


def _barrier(_: Instruction) -> Step:
    # Waves arrive, not threads: the compiler itself puts barriers where it has not restored the
    # execution mask yet, so that which threads are active says nothing.
    return lambda w: Stop.BARRIER


def _set_mode(instruction: Instruction) -> Step:
    """s_setreg: of the hardware registers, the float mode alone can be written."""
    register, place, value = instruction.operands[0], 0, instruction.operands[1]
    if not register.startswith("hwreg(HW_REG_MODE"):
        raise unknown(instruction)
    fields = [int(x) for x in register[6:-1].split(",")[1:]] or [0, 32]
    place, size = fields
    a, keep = scalar(value), (1 << size) - 1 << place

    def step(w: Wave) -> Stop:
        w.mode = w.mode & ~keep | a(w) << place & keep
        return Stop.MODE

    return step


def _trap(instruction: Instruction) -> Step:
    def step(w: Wave) -> None:
        raise SimtError("the kernel traps")

    return step


_NOTHING = (
    "s_nop s_waitcnt s_waitcnt_vmcnt s_waitcnt_vscnt s_sleep s_setprio s_dcache_wb s_dcache_inv"
    " s_icache_inv s_sethalt s_ttracedata s_inst_prefetch s_code_end buffer_wbl2 buffer_inv"
    " buffer_wbinvl1 buffer_wbinvl1_vol v_nop s_dcache_wb_vol s_dcache_inv_vol s_wakeup"
)


def _decoders() -> dict[str, Decoder]:
    table: dict[str, Decoder] = {
        "s_getpc_b64": _get_pc,
        "s_setpc_b64": _set_pc,
        "s_swappc_b64": _set_pc,
        "s_call_b64": _call,
        "s_barrier": _barrier,
        "s_endpgm": lambda _: lambda w: Stop.END,
        "s_trap": _trap,
        "s_setreg_b32": _set_mode,
        "s_setreg_imm32_b32": _set_mode,
    }
    table |= dict.fromkeys(_NOTHING.split(), _nothing)
    combinations: dict[str, Callable[[int, int], int]] = {
        "and": lambda a, e: a & e,
        "or": lambda a, e: a | e,
        "xor": lambda a, e: a ^ e,
        "andn1": lambda a, e: ~a & e,
        "andn2": lambda a, e: a & ~e,
        "orn1": lambda a, e: ~a | e,
        "orn2": lambda a, e: a | ~e,
        "nand": lambda a, e: ~(a & e),
        "nor": lambda a, e: ~(a | e),
        "xnor": lambda a, e: ~(a ^ e),
    }
    for name, combine in combinations.items():
        table[f"s_{name}_saveexec_b64"] = _save_exec(combine)
    table["s_andn1_wrexec_b64"] = _write_exec(combinations["andn1"])
    table["s_andn2_wrexec_b64"] = _write_exec(combinations["andn2"])
    branches: dict[str, Callable[[Wave], bool]] = {
        "s_branch": lambda w: True,
        "s_cbranch_scc0": lambda w: not w.scc,
        "s_cbranch_scc1": lambda w: w.scc != 0,
        "s_cbranch_vccz": lambda w: not w.vcc,
        "s_cbranch_vccnz": lambda w: w.vcc != 0,
        "s_cbranch_execz": lambda w: not w.exec,
        "s_cbranch_execnz": lambda w: w.exec != 0,
    }
    table |= {name: _branch(taken) for name, taken in branches.items()}
    return table


DECODERS = _decoders()
