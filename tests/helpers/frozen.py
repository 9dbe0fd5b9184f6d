"""Run a script whose collections of garbage do not walk the objects of imported libraries.

    python -m tests.helpers.frozen SCRIPT OPTION...

They are half a million: each collection takes a quarter of a second of a core, and a run has some.
"""

from __future__ import annotations

import runpy
import sys
from pathlib import Path

FREEZE = """
import gc
gc.disable()
import diffusers.pipelines.cogvideo.pipeline_cogvideox
import transformers.models.t5.modeling_t5
gc.collect()
gc.freeze()
gc.enable()
"""
"""What imports the libraries of a run, and sets their objects aside."""

if __name__ == "__main__":
    exec(FREEZE)  # noqa: S102 - our own
    del sys.argv[0]
    sys.path.insert(0, str(Path(sys.argv[0]).parent))
    runpy.run_path(sys.argv[0], run_name="__main__")
