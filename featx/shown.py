"""Objects that show themselves: in a line, as a text, and as a table in a notebook."""

from __future__ import annotations


class Shown:
    """Base class of what people look at: stores, models, heads, indexes, reports.

    ``repr`` is one line, ``print`` shows more, and a notebook a table, with pictures where there
    are some. All of them are bounded, and escape what comes from outside. What is shown of which
    class is in `featx.report.views`.
    """

    __slots__ = ()

    def __repr__(self) -> str:
        from featx.report.views import view_of

        return view_of(self).line()

    def __str__(self) -> str:
        from featx.report.views import view_of

        return view_of(self).text()

    def _repr_html_(self) -> str:
        from featx.report.views import view_of

        return view_of(self).html()
