"""Small faults in a syntax tree, one at a time: what a slip of the hand would do."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from types import CodeType

COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
"""What a comparison becomes: another boundary, or its opposite."""
OPERATORS: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
    ast.BitXor: ast.BitAnd,
    ast.LShift: ast.RShift,
    ast.RShift: ast.LShift,
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """A module with one fault.

    Attributes:
        line: where it is.
        column: where it is in the line, from 1.
        lines: first and last line of the code that must be run to meet it.
        text: what was done, in words.
        code: the module, compiled.
    """

    line: int
    column: int
    lines: tuple[int, int]
    text: str
    code: CodeType


@dataclass(frozen=True, slots=True)
class _Place:
    """A node, where it hangs in the tree, and what it may become."""

    holder: ast.AST
    field: str
    index: int | None
    lines: tuple[int, int]

    @property
    def node(self) -> ast.AST:
        """Return the node."""
        value = getattr(self.holder, self.field)
        node: ast.AST = value if self.index is None else value[self.index]
        return node

    def put(self, node: ast.AST) -> None:
        """Put another node in the place."""
        if self.index is None:
            setattr(self.holder, self.field, node)
        else:
            getattr(self.holder, self.field)[self.index] = node


def mutants(source: str, file: str) -> Iterator[Mutant]:
    """Yield every mutant of a module, in the order of its lines."""
    tree = ast.parse(source)
    for place in _places(tree, (1, 1)):
        node = place.node
        for new in _replacements(place):
            ast.fix_missing_locations(ast.copy_location(new, node))
            place.put(new)
            code = compile(tree, file, "exec")
            place.put(node)
            text = f"`{_short(node)}` becomes `{_short(new)}`"
            line, column = getattr(node, "lineno", place.lines[0]), getattr(node, "col_offset", 0) + 1
            yield Mutant(line, column, place.lines, text, code)


def _places(node: ast.AST, lines: tuple[int, int]) -> Iterator[_Place]:
    """Yield the places of all nodes that are run, without annotations, decorators and texts of errors."""
    for field, value in ast.iter_fields(node):
        if field in {"annotation", "returns", "decorator_list", "bases", "ctx", "type_comment", "pattern"}:
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or _ignored(child):
                continue
            here = _lines(node, field, child, lines)
            yield _Place(node, field, index, here)
            if not _is_error(child):
                yield from _places(child, here)


def _ignored(node: ast.AST) -> bool:
    match node:
        case ast.Expr(value=ast.Constant()) | ast.Import() | ast.ImportFrom() | ast.Assert():
            return True
        case ast.If(test=ast.Name(id="TYPE_CHECKING")):
            return True
    return False


def _is_error(node: ast.AST) -> bool:
    """Tell whether a node makes an error, whose words no test needs to repeat."""
    match node:
        case ast.Raise():
            return True
        case ast.Call(func=ast.Name(id=name)):
            return name.endswith("Error")
    return False


def _lines(holder: ast.AST, field: str, child: ast.AST, lines: tuple[int, int]) -> tuple[int, int]:
    """Return the lines that are run when a node is: of its statement; of a function's default, its body."""
    match holder, child:
        case ast.FunctionDef(), ast.arguments():
            return holder.body[0].lineno, holder.body[-1].end_lineno or 0
        case _, ast.stmt():
            body: Sequence[ast.stmt] = getattr(child, "body", ())
            return child.lineno, (body[0].lineno - 1 if body else child.end_lineno) or child.lineno
        case ast.match_case(), _ if field == "guard":
            return child.lineno, child.end_lineno or child.lineno  # type: ignore[attr-defined]
    return lines


def _replacements(place: _Place) -> Iterator[ast.AST]:
    node = place.node
    match node:
        case ast.Compare():
            for at, operator in enumerate(node.ops):
                for other in COMPARISONS[type(operator)]:
                    ops = [*node.ops[:at], other(), *node.ops[at + 1 :]]
                    yield ast.Compare(left=node.left, ops=ops, comparators=node.comparators)
        case ast.BoolOp():
            yield ast.BoolOp(op=ast.Or() if isinstance(node.op, ast.And) else ast.And(), values=node.values)
        case ast.UnaryOp(op=ast.Not() | ast.USub() | ast.Invert()):
            yield node.operand
        case ast.BinOp() if type(node.op) in OPERATORS:
            yield ast.BinOp(left=node.left, op=OPERATORS[type(node.op)](), right=node.right)
        case ast.Constant(value=value) if not isinstance(place.holder, ast.FormattedValue | ast.JoinedStr):
            yield from (ast.Constant(value=other) for other in _constants(value))
        case ast.stmt():
            yield from _statements(place, node)
    if place.field in {"test", "guard", "ifs"} and not isinstance(
        node, ast.Compare | ast.BoolOp | ast.UnaryOp
    ):
        yield ast.UnaryOp(op=ast.Not(), operand=node)  # type: ignore[arg-type]


def _constants(value: object) -> Iterator[bool | int | float]:
    match value:
        case bool():
            yield not value
        case int():
            yield from (value + 1, value - 1)
        case float() if value.is_integer():
            yield from (value + 1.0, value - 1.0)
        case float():
            yield from (2 * value, value / 2)


def _statements(place: _Place, node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.AugAssign() if type(node.op) in OPERATORS:
            yield ast.AugAssign(target=node.target, op=OPERATORS[type(node.op)](), value=node.value)
            yield ast.Pass()
        case ast.Expr(value=ast.Call()) | ast.Raise() | ast.Continue() | ast.Break() | ast.Delete():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Subscript() | ast.Attribute()]):
            yield ast.Pass()
        case ast.Assign(targets=[ast.Name(id=name)]) if _bound_before(place, name):
            yield ast.Pass()
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant) or value.value:
            yield ast.Return(value=ast.Constant(value=None))


def _bound_before(place: _Place, name: str) -> bool:
    """Tell whether a name is used in the value it is bound to: without that it keeps its old value."""
    value = place.node.value  # type: ignore[attr-defined]
    return any(isinstance(inner, ast.Name) and inner.id == name for inner in ast.walk(value))


def _short(node: ast.AST) -> str:
    text = "pass" if isinstance(node, ast.Pass) else ast.unparse(node).split("\n", maxsplit=1)[0]
    return text if len(text) <= 90 else f"{text[:87]}..."
