"""Executes AMD code objects (gfx90a, gfx942; waves of 64 lanes) on the CPU, in numpy.

image.py reads the ELF file, listing.py the disassembly; operands.py turns operands into functions,
and one file a group of instructions turns each instruction into a step, a function of a wave.
program.py holds the steps of an image, engine.py runs the blocks of a launch.
"""

from .engine import GcnEngine, create

__all__ = ["GcnEngine", "create"]
