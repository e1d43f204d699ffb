"""Elements of HTML and SVG, in which every text is escaped.

Pages are put together by Python functions, which mypy checks, not by templates in a language of
their own. What makes them safe is in this module: text becomes markup by `element` alone.
"""

from __future__ import annotations

import html
import json
import re
import unicodedata
from collections.abc import Iterable, Iterator, Mapping

_EMPTY = frozenset({"br", "img", "input", "meta", "wbr"})
"""Elements of HTML that cannot have content, of those that featx writes."""


class Markup(str):
    """Markup that is safe as it is. Only `element` and constants of featx make it."""

    __slots__ = ()


Content = str | Iterable["Content"]
"""What is inside an element: text, which is escaped, markup, which is not, or several of them."""

Value = str | int | float | None
"""The value of an attribute. None: the attribute is left out."""


def element(name: str, /, *content: Content, **attributes: Value) -> Markup:
    """Return an element.

    Args:
        name: Its name.
        content: What is inside it.
        attributes: Their names in Python's spelling: ``class_`` is ``class``, ``aria_label`` is
            ``aria-label``. Floats are written with at most two decimals.

    Example:
        >>> element("p", "1 < 2 & ", element("b", "so"), class_="note")
        '<p class="note">1 &lt; 2 &amp; <b>so</b></p>'
    """
    opening = _open(name, attributes)
    return Markup(opening if name in _EMPTY else f"{opening}{join(content)}</{name}>")


def element_in_parts(name: str, /, *content: Content, **attributes: Value) -> Iterator[Markup]:
    """Yield an element in parts, each made when it is asked for: for content that is large.

    Args:
        name: Its name.
        content: What is inside it.
        attributes: As those of `element`.

    Example:
        >>> list(element_in_parts("p", ["1 < 2", element("b", "so")]))
        ['<p>', '1 &lt; 2', '<b>so</b>', '</p>']
    """
    yield Markup(_open(name, attributes))
    yield from _split(content)
    yield Markup(f"</{name}>")


def _split(content: Content) -> Iterator[Markup]:
    if isinstance(content, str):
        yield join(content)
        return
    for one in content:
        yield from _split(one)


def _open(name: str, attributes: Mapping[str, Value]) -> str:
    pairs = [
        f' {key.rstrip("_").replace("_", "-")}="{html.escape(_write(value))}"'
        for key, value in attributes.items()
        if value is not None
    ]
    return f"<{name}{''.join(pairs)}>"


def join(content: Content) -> Markup:
    """Return text and markup one after the other, the text escaped.

    Control characters and halves of surrogate pairs, which HTML cannot hold, are shown as U+FFFD.

    Example:
        >>> join(["<", Markup("<br>")])
        '&lt;<br>'
    """
    if isinstance(content, Markup):
        return content
    if isinstance(content, str):
        return Markup(html.escape(_allowed(content)))
    return Markup("".join(join(one) for one in content))


def embed_data(name: str, value: object) -> Markup:
    """Return data for the script of a page, as JSON in an element that nothing runs.

    No text can end the element: ``<`` is written as an escape of JSON.

    Args:
        name: Identifier of the element.
        value: JSON-serialisable.

    Example:
        >>> embed_data("d", ["</script>"]).count("</script>")
        1
    """
    text = json.dumps(value, allow_nan=False, separators=(",", ":")).replace("<", "\\u003c")
    return element("script", Markup(text), type="application/json", id=name)


def isolate(text: str) -> Markup:
    """Return a name that comes from outside, such as a class or a path.

    Its direction is its own: a name written from right to left changes no text around it.

    Example:
        >>> isolate("rose & lily")
        '<bdi>rose &amp; lily</bdi>'
    """
    return element("bdi", text)


def break_path(path: str) -> Markup:
    """Return a path that may be broken behind its separators, and is one text all the same.

    Example:
        >>> break_path("a/b_c")
        '<bdi>a/<wbr>b_<wbr>c</bdi>'
    """
    parts = re.split(r"(?<=[/_.-])", path)
    return element(
        "bdi", [[element("wbr") if number else "", part] for number, part in enumerate(parts)]
    )


def _write(value: str | int | float) -> str:
    if isinstance(value, float):
        return f"{value:.2f}".rstrip("0").rstrip(".")
    return _allowed(str(value))


def _allowed(text: str) -> str:
    if text.isascii() and text.isprintable():
        return text
    return "".join(map(_show, text))


def _show(char: str) -> str:
    """Return what is shown of a character: of ASCII's control characters Unicode's pictures."""
    if char == "\n" or unicodedata.category(char) not in ("Cc", "Cs"):
        return char
    if char < " ":
        return chr(0x2400 + ord(char))
    return "\N{SYMBOL FOR DELETE}" if char == "\x7f" else "\N{REPLACEMENT CHARACTER}"
