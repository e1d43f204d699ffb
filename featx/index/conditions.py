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

MAX_LENGTH = 2_000
"""Characters of a condition: Python's parser takes memory and stack for nested brackets."""

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
        pairs = zip(self._values(left), self._values(right), strict=True)
        return np.array(
            [
                one is not None and other is not None and self._holds(compare, one, other)
                for one, other in pairs
            ],
            bool,
        )

    def _holds(self, compare: Callable[[Any, Any], Any], one: Any, other: Any) -> bool:
        if isinstance(one, str) != isinstance(other, str):
            raise self.refuse(f"a number and a text are compared: {one!r} and {other!r}")
        return bool(compare(one, other))

    def _is_known(self, node: ast.expr) -> np.ndarray:
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
        place = re.fullmatch(r"_quoted_(\d+)_", node.id)
        name = self._quoted[int(place[1])] if place and self._quoted else node.id
        if name not in self._columns:
            raise UnknownName(
                "column", name, self._columns, remedy="A text stands in quotation marks."
            )
        values = self._columns[name]
        return list_values(values) if isinstance(values, np.ndarray) else values
