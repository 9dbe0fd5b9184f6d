"""Run a script under DeepSpeed on CPUs without compiling its all-reduce in shared memory.

    accelerate launch --use_deepspeed --module tests.helpers.without_shm SCRIPT

The compiler takes 80 seconds of a core; with gloo's all-reduce the rest of DeepSpeed is the same.
"""

from __future__ import annotations

import runpy
import sys


def leave_out_shm() -> None:
    """Have DeepSpeed use gloo in this process."""
    from deepspeed import ops

    ops.__compatible_ops__["deepspeed_shm_comm"] = False


if __name__ == "__main__":
    leave_out_shm()
    del sys.argv[0]
    runpy.run_path(sys.argv[0], run_name="__main__")
