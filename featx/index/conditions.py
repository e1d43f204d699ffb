"""Conditions on columns, such as ``price < 20 and color in ("red", "blue")``.

Python's parser reads them; nothing is evaluated as code. Only names of columns, numbers, texts,
comparisons, ``in``, ``is None``, ``and``, ``or``, ``not`` and brackets have a meaning here.
"""

from __future__ import annotations

import ast
import operator
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from featx.errors import InvalidValue, UnknownName
from featx.images.sources.columns import list_values
from featx.index.text_column import Names

MAX_LENGTH = 2_000
"""Characters of a condition: Python's parser takes memory and stack for nested brackets."""

MAX_PAIRS = 20_000_000
"""Values that are compared one by one, which takes a few seconds; as arrays, any number are."""

Columns = Mapping[str, "Sequence[Any] | np.ndarray"]

_COMPARISONS: dict[type[ast.cmpop], Callable[[Any, Any], Any]] = {
    ast.Lt: operator.lt,
    ast.LtE: operator.le,
    ast.Gt: operator.gt,
    ast.GtE: operator.ge,
    ast.Eq: operator.eq,
    ast.NotEq: operator.ne,
}
_QUOTED = re.compile(r"""("[^"]*"|'[^']*')|`([^`]+)`""")


def select_rows(text: str, columns: Columns, count: int) -> np.ndarray:
    """Return which rows a condition holds for, bool (N,).

    A comparison with a missing value does not hold; ``price is None`` finds these rows.

    Args:
        text: The condition. A column whose name is no word stands in backquotes, as in pandas:
            ```unit price` < 20``.
        columns: Name → N values, None or NaN where one is missing.
        count: N.

    Raises:
        InvalidValue: If it cannot be read, or compares a number with a text.
        UnknownName: If there is no such column.

    Example:
        >>> columns = {"price": [5, 30, None], "color": ["red", "red", "blue"]}
        >>> select_rows("price < 20 or color == 'blue'", columns, 3)
        array([ True, False,  True])
        >>> select_rows("not 10 <= price", columns, 3)
        array([ True, False,  True])
    """
    condition = _Condition(text, columns, count)
    try:
        return condition.select()
    except RecursionError as error:
        raise condition.refuse("it is nested too deep") from error


class _Condition:
    """A condition that is being read."""

    def __init__(self, text: str, columns: Columns, count: int) -> None:
        self._text, self._columns, self._count = text, columns, count
        self._quoted: list[str] = []
        self._num_pairs = 0

    def select(self) -> np.ndarray:
        """Return which rows it holds for."""
        if len(self._text) > MAX_LENGTH:
            raise self.refuse(f"it is longer than {MAX_LENGTH:,} characters")
        words = _QUOTED.sub(self._name_quoted, self._text)
        try:
            tree = ast.parse(words.strip(), mode="eval")
        except (SyntaxError, ValueError, MemoryError) as error:
            hint = "; equality is ==" if re.search(r"[^=!<>]=[^=]", words) else ""
            raise self.refuse(f"it cannot be read{hint}") from error
        return self._select(tree.body)

    def refuse(self, reason: str) -> InvalidValue:
        """Return the error that says why it is refused."""
        shown = self._text if len(self._text) <= 200 else f"{self._text[:200]}…"
        return InvalidValue(
            "A condition compares columns, such as: price < 20 and color in ('red', 'blue'). "
            f"Received: {shown!r}: {reason}."
        )

    def _name_quoted(self, match: re.Match[str]) -> str:
        if match[2] is None:
            return match[0]
        self._quoted.append(match[2])
        return f" _quoted_{len(self._quoted) - 1}_ "

    def _select(self, node: ast.expr) -> np.ndarray:
        if isinstance(node, ast.BoolOp):
            parts = [self._select(value) for value in node.values]
            join = np.logical_and if isinstance(node.op, ast.And) else np.logical_or
            return np.asarray(join.reduce(parts))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
            return ~self._select(node.operand)
        if isinstance(node, ast.Compare):
            sides = [node.left, *node.comparators]
            parts = [
                self._compare(left, sign, right)
                for left, sign, right in zip(sides, node.ops, sides[1:], strict=False)
            ]
            return np.asarray(np.logical_and.reduce(parts))
        if isinstance(node, ast.Name):
            values = self._column(node)
            if all(value is None or isinstance(value, bool) for value in values):
                return np.array([value is True for value in values], bool)
        raise self.refuse(f"{ast.unparse(node)!r} is not a comparison")

    def _compare(self, left: ast.expr, sign: ast.cmpop, right: ast.expr) -> np.ndarray:
        if isinstance(sign, ast.In | ast.NotIn):
            if not isinstance(right, ast.Tuple | ast.List | ast.Set):
                raise self.refuse("'in' is followed by values in brackets, such as (1, 2)")
            found = self._find_texts(left, right.elts)
            if found is None:
                found = np.zeros(self._count, bool)
                for each in right.elts:
                    found |= self._compare(left, ast.Eq(), each)
            return found if isinstance(sign, ast.In) else ~found & self._is_known(left)
        if isinstance(sign, ast.Is | ast.IsNot):
            if not (isinstance(right, ast.Constant) and right.value is None):
                raise self.refuse("only None, for a missing value, follows 'is'")
            known = self._is_known(left)
            return known if isinstance(sign, ast.IsNot) else ~known
        compare = _COMPARISONS[type(sign)]
        at_once = self._compare_at_once(left, compare, right)
        if at_once is not None:
            return at_once
        self._num_pairs += self._count
        if self._num_pairs > max(MAX_PAIRS, self._count):
            raise self.refuse("it has too many comparisons for so many images")
        pairs = zip(self._values(left), self._values(right), strict=True)
        return np.array(
            [
                one is not None and other is not None and self._holds(compare, one, other)
                for one, other in pairs
            ],
            bool,
        )

    def _compare_at_once(
        self, left: ast.expr, compare: Callable[[Any, Any], Any], right: ast.expr
    ) -> np.ndarray | None:
        """Compare a column of numbers or of names with a value, as arrays; None for others."""
        sides = [one for one in (left, right) if isinstance(one, ast.Name)]
        if len(sides) != 1:
            return None
        is_left = sides[0] is left
        value = self._constant(right if is_left else left)
        column = self._find_column(sides[0])
        if isinstance(column, Names) and isinstance(value, str):
            pairs = ((name, value) if is_left else (value, name) for name in column.names)
            holds = np.array([bool(compare(*pair)) for pair in pairs] + [False], bool)
            return np.asarray(holds[column.codes])  # The last one is for -1: missing.
        if not isinstance(column, np.ndarray) or not _is_exact(column, value):
            return None
        found = compare(column, value) if is_left else compare(value, column)
        return np.asarray(found & (column == column))  # NaN is missing, also where != holds.

    def _find_texts(self, left: ast.expr, elements: list[ast.expr]) -> np.ndarray | None:
        """Return which rows of a column have one of some texts; None where it is not that."""
        wanted = {one.value for one in elements if isinstance(one, ast.Constant)}
        column = self._find_column(left) if isinstance(left, ast.Name) else None
        if column is None or isinstance(column, np.ndarray | Names):
            return None
        if not all(isinstance(one, ast.Constant) for one in elements):
            return None
        if not all(isinstance(value, str) for value in (*wanted, *column)):
            return None
        return np.array([value in wanted for value in column], bool)

    def _holds(self, compare: Callable[[Any, Any], Any], one: Any, other: Any) -> bool:
        if isinstance(one, str) != isinstance(other, str):
            raise self.refuse(f"a number and a text are compared: {one!r} and {other!r}")
        return bool(compare(one, other))

    def _is_known(self, node: ast.expr) -> np.ndarray:
        column = self._find_column(node) if isinstance(node, ast.Name) else None
        if isinstance(column, Names):
            return column.codes >= 0
        return np.array([value is not None for value in self._values(node)], bool)

    def _values(self, node: ast.expr) -> Sequence[Any]:
        if isinstance(node, ast.Name):
            return self._column(node)
        return [self._constant(node)] * self._count

    def _constant(self, node: ast.expr) -> Any:
        try:
            value = ast.literal_eval(node)
        except (ValueError, TypeError) as error:
            raise self.refuse(f"{ast.unparse(node)!r} is no number, text or column") from error
        if not isinstance(value, str | int | float):
            raise self.refuse(f"{ast.unparse(node)!r} is no number, text or column")
        return value

    def _column(self, node: ast.Name) -> Sequence[Any]:
        values = self._find_column(node)
        return list_values(values) if isinstance(values, np.ndarray) else values

    def _find_column(self, node: ast.Name) -> Sequence[Any] | np.ndarray:
        place = re.fullmatch(r"_quoted_(\d+)_", node.id)
        name = self._quoted[int(place[1])] if place and self._quoted else node.id
        if name not in self._columns:
            raise UnknownName(
                "column", name, self._columns, remedy="A text stands in quotation marks."
            )
        return self._columns[name]


def _is_exact(column: np.ndarray, value: Any) -> bool:
    """Whether NumPy compares a column of numbers with a value as Python does."""
    if isinstance(value, str | bool) or column.dtype not in (np.int64, np.float64):
        return False
    if column.dtype == np.int64 and isinstance(value, float):
        return False
    return bool(abs(value) < 2**53)
