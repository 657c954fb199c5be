"""Reads the data of server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import suppress
from typing import Any, Final

_LINES: Final = re.compile(r"\r\n|\n|\r")


def events_of(text: str) -> Iterator[Any]:
    """Yield the JSON of each event's data; what is no JSON, such as the mark of the end, is left out."""
    data: list[str] = []
    for line in [*_LINES.split(text), ""]:
        if line.startswith("data:"):
            data.append(line[5:].removeprefix(" "))
        elif not line and data:
            with suppress(ValueError):
                yield json.loads("\n".join(data))
            data = []
