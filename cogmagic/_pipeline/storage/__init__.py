"""Weight storages: narrower formats for the transformer's linear layers, one file each.

A storage is a `Storage`: its name (also the option's: ``--fp8``), its help, its price, what it
refuses, the bytes it takes, and how it converts a transformer. To add one, write its file and add
it to `STORAGES`; plans, options and loading ask the registry, by the name in `Savings.storage`.
"""

from __future__ import annotations

from cogmagic._pipeline.storage.base import Storage
from cogmagic._pipeline.storage.fp8 import Fp8

__all__ = ["STORAGES", "Storage"]


STORAGES: dict[str, Storage] = {storage.name: storage for storage in (Fp8(),)}
"""All weight storages by name."""
