"""``python -m cogmagic``, the same as the command ``cogmagic``."""

from __future__ import annotations

import sys

from cogmagic._cli.main import main

if __name__ == "__main__":
    sys.exit(main())
