# Copyright 2026 stm_ros contributors
# SPDX-License-Identifier: Apache-2.0
"""How this process uses memory: feature maps come and go with every frame."""
import ctypes
import os
from functools import cache

# names and numbers of malloc.h of the GNU C library
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_M_ARENA_MAX = -8
_LARGEST_BLOCK = 1 << 30
#: prepared convolutions that oneDNN keeps, each shape of a window needing some 75; its own default
#: is 1024, which fill up over hours and hold 130 MB
PREPARED_CONVOLUTIONS = 512


def set_up_process() -> None:
    """Prepare a process whose main() runs networks: a library leaves its user's process alone."""
    keep_freed_memory()
    limit_prepared_convolutions()


def limit_prepared_convolutions() -> None:
    """Bound what oneDNN keeps, unless the environment says otherwise.

    It reads the limit when it is first used in a process, and never again.
    """
    os.environ.setdefault('ONEDNN_PRIMITIVE_CACHE_CAPACITY', str(PREPARED_CONVOLUTIONS))


@cache
def keep_freed_memory() -> bool:
    """Let the allocator reuse what a frame freed, instead of giving it back to the system.

    By default glibc maps each large block anew and the kernel clears its pages, which takes as
    long as computing what goes in. What is held is bounded by the largest that was in use at a
    time. One arena, so that threads share it. False where the C library is another.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError):
        return False
    wanted = ((_M_MMAP_THRESHOLD, _LARGEST_BLOCK), (_M_TRIM_THRESHOLD, _LARGEST_BLOCK),
              (_M_ARENA_MAX, 1))
    return all([mallopt(name, value) == 1 for name, value in wanted])


def give_back_freed_memory() -> None:
    """Give what was kept back to the system, as when a node is cleaned up: glibc only."""
    trim = getattr(ctypes.CDLL(None), 'malloc_trim', None)
    if trim is not None:
        trim(0)
