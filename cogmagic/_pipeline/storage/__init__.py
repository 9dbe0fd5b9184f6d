"""Weight storages: narrower formats for the transformer's linear layers, one file each.

A storage is a `Storage`: its name (also the option's: ``--fp8``), its help, its price, what it
refuses, the bytes it takes, and how it converts a transformer. To add one, write its file and add
it to `STORAGES`; plans, options and loading ask the registry, by the name in `Savings.storage`. One
option may choose one of several storages, by what the GPU can do (`Storage.chosen_by`).
"""

from __future__ import annotations

from cogmagic._pipeline.storage.base import Storage
from cogmagic._pipeline.storage.fp8 import Fp8
from cogmagic._pipeline.storage.fp8_products import Fp8Products, has_fp8_products
from cogmagic._pipeline.storage.quantised_forms import Int8, Nf4

__all__ = ["STORAGES", "Storage", "has_fp8_products", "storage_options"]


STORAGES: dict[str, Storage] = {
    storage.name: storage for storage in (Fp8(), Fp8Products(), Int8(), Nf4())
}
"""All weight storages by name."""


def storage_options() -> dict[str, Storage]:
    """The storages that have an option of their own, by name; read from the registry now."""
    return {name: storage for name, storage in STORAGES.items() if not storage.chosen_by}
