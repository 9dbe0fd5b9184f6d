"""Mutants of modules: mutmut's mutations of whole files, drawn by a seed."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import libcst as cst
import libcst.matchers as m
from libcst.metadata import MetadataWrapper, PositionProvider
from mutmut.mutation.mutators import mutation_operators

__all__ = ["Mutant", "draw", "mutants"]

_SKIPPED = (
    m.Annotation()  # never evaluated
    | m.Decorator()
    | m.If(test=m.Name("TYPE_CHECKING"))
    | m.SimpleStatementLine([m.Expr(m.SimpleString() | m.ConcatenatedString())])  # a docstring
    | m.Assign([m.AssignTarget(m.Name("__all__"))])
    | m.Call(m.Name("len") | m.Name("isinstance"))  # as mutmut does
)


@dataclass(frozen=True)
class Mutant:
    """One change of one module."""

    path: Path
    name: str
    """Where and what the change is; stable while this piece of code does not change."""
    first_line: int
    last_line: int
    tree: cst.Module
    before: cst.CSTNode
    after: cst.CSTNode

    @property
    def code(self) -> str:
        """The whole module with the change."""
        changed = self.tree.deep_replace(self.before, self.after)
        assert isinstance(changed, cst.Module)
        return changed.code


class _Visitor(cst.CSTVisitor):
    """Collects the mutants of a module."""

    METADATA_DEPENDENCIES = (PositionProvider,)

    def __init__(self, path: Path, label: str, tree: cst.Module, without: frozenset[str]) -> None:
        super().__init__()
        self.path, self.label, self.tree, self.without = path, label, tree, without
        self.scope: list[str] = []
        self.counts: Counter[str] = Counter()
        self.mutants: list[Mutant] = []

    def on_visit(self, node: cst.CSTNode) -> bool:
        if m.matches(node, _SKIPPED):
            return False
        if isinstance(node, cst.FunctionDef | cst.ClassDef):
            self.scope.append(node.name.value)
            if node.name.value in self.without:
                return False
        for kind, operator in mutation_operators:
            if isinstance(node, kind):
                for after in operator(node):
                    self._add(node, after)
        return True

    def on_leave(self, original_node: cst.CSTNode) -> None:
        if isinstance(original_node, cst.FunctionDef | cst.ClassDef):
            self.scope.pop()

    def _add(self, before: cst.CSTNode, after: cst.CSTNode) -> None:
        old, new = (" ".join(self.tree.code_for_node(n).split()) for n in (before, after))
        name = f"{self.label} {'.'.join(self.scope)}: {old} → {new}"
        self.counts[name] += 1
        if self.counts[name] > 1:
            name += f" ({self.counts[name]})"
        place = self.get_metadata(PositionProvider, before)
        lines = (place.start.line, place.end.line)
        self.mutants.append(Mutant(self.path, name, *lines, self.tree, before, after))


def mutants(path: Path, root: Path, without: frozenset[str]) -> list[Mutant]:
    """All mutants of a module, but for the functions named `without`."""
    wrapper = MetadataWrapper(cst.parse_module(path.read_text()))
    label = path.relative_to(root).with_suffix("").as_posix()
    visitor = _Visitor(path, label, wrapper.module, without)
    wrapper.visit(visitor)
    return visitor.mutants


def draw(population: Iterable[Mutant], seed: int, count: int) -> list[Mutant]:
    """Some mutants: those whose names have the smallest hashes with the seed.

    So most of them stay the same when the code changes, and so do the reasons for survivors.
    """
    return sorted(
        population, key=lambda mutant: hashlib.sha256(f"{seed} {mutant.name}".encode()).digest()
    )[:count]
