"""The instructions, a file a group. Importing this package registers them all."""

from ptx.ops import (  # noqa: F401
    asynchronous,
    atomics,
    barriers,
    bits,
    branches,
    compare,
    convert,
    floating,
    half,
    hopper,
    integer,
    loads,
    matrix,
    moves,
    warp,
)
