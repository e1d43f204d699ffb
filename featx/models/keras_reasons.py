"""Why Keras refuses a model, in one line: behind its first line, without its dumps."""

from __future__ import annotations

import re

from featx.errors import first_line

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_WRAPPING = re.compile(
    r"Exception encountered when calling |Error when deserializing |config=\{|.*could not be "
    "deserialized properly"
)
_CAUSE = re.compile(r"Exception encountered: (.+)")
_DUMP = re.compile(r"\s*(Full object config:|Arguments received by|Call arguments received by)")


def keras_reason(error: BaseException) -> str:
    """Return the cause of a failure within Keras, in one line.

    Keras wraps what went wrong in a first line that only says where, and ends it with the
    configuration or the arguments.

    Example:
        >>> keras_reason(ValueError("Exception encountered when calling A.call().\\n\\nToo small."))
        'Too small.'
    """
    text = _COLOUR.sub("", str(error))
    innermost = [*_CAUSE.finditer(text)][-1:]
    text = _DUMP.split(text[innermost[0].start(1) :] if innermost else text)[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    causes = [line for line in lines if not _WRAPPING.match(line)]
    return next(iter(causes or lines), first_line(error))
