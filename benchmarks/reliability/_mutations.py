"""Single changes of a Python source, each of which a test should notice.

Not changed are strings (messages have no one right wording), annotations, ``__all__``, imports, and what stands under
``if TYPE_CHECKING``.
"""

from __future__ import annotations

import ast
import copy
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
}
COMPUTED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_OPPOSITE = (ast.Eq, ast.NotEq, ast.Is, ast.IsNot, ast.In, ast.NotIn)
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
_LEFT_OUT = {"annotation", "returns", "type_params"}


@dataclass(frozen=True)
class Mutant:
    """One change: bytes ``start`` to ``end`` of a file become ``text``.

    ``lines`` are those of the statement, or of all that it reaches from where it is run once, at import: the function
    whose default it is, or (None) the whole file.
    """

    file: str
    line: int
    what: str
    start: int
    end: int
    text: str
    lines: frozenset[int] | None

    def applied(self, source: bytes) -> bytes:
        """Return the changed source."""
        return source[: self.start] + self.text.encode() + source[self.end :]


def mutants_of(file: str, source: bytes) -> list[Mutant]:
    """Return every change of a source, in order."""
    found = {(m.start, m.end, m.text): m for m in _Walk(file, source).all()}
    return sorted(found.values(), key=lambda m: (m.start, m.end, m.text))


class _Walk:
    def __init__(self, file: str, source: bytes) -> None:
        self.file = file
        self.tree = ast.parse(source)
        self.offsets = [0]
        for line in source.split(b"\n"):
            self.offsets.append(self.offsets[-1] + len(line) + 1)
        self.parent: dict[ast.AST, tuple[ast.AST, str, int | None]] = {}
        for node in ast.walk(self.tree):
            for name, value in ast.iter_fields(node):
                for i, child in enumerate(value if isinstance(value, list) else [value]):
                    if isinstance(child, ast.AST):
                        self.parent[child] = (node, name, i if isinstance(value, list) else None)

    def all(self) -> Iterator[Mutant]:
        stack: list[ast.AST] = [self.tree]
        while stack:
            node = stack.pop()
            if self._left_out(node):
                continue
            for what, old, new in _changes(node):
                mutant = self._mutant(what, old, new)
                if mutant is not None:
                    yield mutant
            for name, value in ast.iter_fields(node):
                if name not in _LEFT_OUT:
                    stack += [c for c in (value if isinstance(value, list) else [value]) if isinstance(c, ast.AST)]

    @staticmethod
    def _left_out(node: ast.AST) -> bool:
        if isinstance(node, ast.If):
            return isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        if isinstance(node, ast.Assign):
            return isinstance(node.targets[0], ast.Name) and node.targets[0].id == "__all__"
        return isinstance(node, ast.Import | ast.ImportFrom)

    def _mutant(self, what: str, old: ast.AST, new: ast.AST) -> Mutant | None:
        """Write the change down; inside an f-string, whose parts have no places of their own, write the whole anew."""
        anchor = old
        for above in self._above(old):
            if isinstance(above, ast.JoinedStr):
                anchor = above
        node, name, i = self.parent[old]
        siblings = getattr(node, name)
        if i is None:
            setattr(node, name, new)
        else:
            siblings[i] = new
        try:
            text = ast.unparse(new if anchor is old else anchor)
        except ValueError:  # quotes in an f-string that Python 3.11 cannot write
            return None
        finally:
            if i is None:
                setattr(node, name, old)
            else:
                siblings[i] = old
        if isinstance(anchor, ast.expr) and not isinstance(anchor, ast.Slice):
            text = f"({text})"
        line, column = anchor.lineno, anchor.col_offset  # type: ignore[attr-defined]
        start = self.offsets[line - 1] + column
        end = self.offsets[anchor.end_lineno - 1] + anchor.end_col_offset  # type: ignore[attr-defined]
        return Mutant(self.file, line, what, start, end, text, self._reach(anchor))

    def _above(self, node: ast.AST) -> Iterator[ast.AST]:
        while node in self.parent:
            node = self.parent[node][0]
            yield node

    def _reach(self, node: ast.AST) -> frozenset[int] | None:
        chain = [node, *self._above(node)]
        statement = next(n for n in chain if isinstance(n, ast.stmt))
        inside = False
        for below, above in pairwise(chain):
            in_body = self.parent[below][1] == "body"
            if isinstance(above, ast.FunctionDef | ast.AsyncFunctionDef) and not in_body and statement is above:
                return frozenset(range(above.body[0].lineno, (above.end_lineno or 0) + 1))
            inside |= isinstance(above, _FUNCTIONS) and in_body
        if not inside:
            return None
        body = getattr(statement, "body", None)
        last = body[0].lineno - 1 if body else statement.end_lineno or statement.lineno
        return frozenset(range(statement.lineno, max(last, statement.lineno) + 1))


def _changes(node: ast.AST) -> Iterator[tuple[str, ast.AST, ast.AST]]:
    """Yield what is changed, the old node and the new one."""
    if isinstance(node, ast.Compare):
        for i in range(len(node.ops)):
            new = copy.copy(node)
            new.ops = [COMPARED[type(o)]() if i == j else o for j, o in enumerate(node.ops)]
            yield "comparison", node, new
    elif isinstance(node, ast.BinOp | ast.AugAssign) and type(node.op) in COMPUTED:
        swapped = copy.copy(node)
        swapped.op = COMPUTED[type(node.op)]()
        yield "operator", node, swapped
    elif isinstance(node, ast.BoolOp):
        other = copy.copy(node)
        other.op = ast.Or() if isinstance(node.op, ast.And) else ast.And()
        yield "and/or", node, other
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not | ast.Invert):
        yield "not", node, node.operand
    elif isinstance(node, ast.Constant):
        if isinstance(node.value, bool):
            yield "constant", node, ast.Constant(not node.value)
        elif isinstance(node.value, int | float):
            yield "constant", node, ast.Constant(node.value + 1)
    elif isinstance(node, ast.Call):
        for i, keyword in enumerate(node.keywords):
            if keyword.arg is not None and not _is_truth(keyword.value):  # truths are changed where they stand
                call = copy.copy(node)
                call.keywords = node.keywords[:i] + node.keywords[i + 1 :]
                yield "argument dropped", node, call
    elif isinstance(node, ast.Slice):
        if node.lower is not None:
            yield "bound dropped", node, ast.Slice(None, node.upper, node.step)
        if node.upper is not None:
            yield "bound dropped", node, ast.Slice(node.lower, None, node.step)
    elif isinstance(node, ast.Return) and node.value is not None and not _is_none(node.value):
        yield "returns None", node, ast.Return(ast.Constant(None))
    elif isinstance(node, ast.Break):
        yield "break/continue", node, ast.Continue()
    elif isinstance(node, ast.Continue):
        yield "break/continue", node, ast.Break()
    if isinstance(node, ast.If | ast.While | ast.IfExp) and not _has_opposite(node.test):
        yield "condition", node.test, ast.UnaryOp(ast.Not(), node.test)
    if isinstance(node, ast.comprehension):
        for test in node.ifs:
            if not _has_opposite(test):
                yield "condition", test, ast.UnaryOp(ast.Not(), test)
    deleted = isinstance(node, ast.Assign | ast.AugAssign | ast.Raise | ast.Delete)
    deleted |= isinstance(node, ast.AnnAssign) and node.value is not None
    if deleted or (isinstance(node, ast.Expr) and isinstance(node.value, ast.Call)):
        yield "deleted", node, ast.Pass()


def _is_none(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and node.value is None


def _is_truth(node: ast.AST) -> bool:
    return isinstance(node, ast.Constant) and isinstance(node.value, bool)


def _has_opposite(test: ast.expr) -> bool:
    """Whether another change negates the whole condition already."""
    if isinstance(test, ast.Constant):
        return True
    if isinstance(test, ast.UnaryOp):
        return isinstance(test.op, ast.Not)
    return isinstance(test, ast.Compare) and len(test.ops) == 1 and isinstance(test.ops[0], _OPPOSITE)
