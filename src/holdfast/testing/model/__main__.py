"""Run a model server as a process of its own, until SIGTERM or SIGINT.

The first line on stdout is the URL, the last one, when it has stopped, what happened, as JSON. A script is a
JSON file with an array of lines: a text; ``{"calls": [{"tool": …, "args": {…}}], "text": …}``; or
``{"status": 529}``, with ``message``, ``code`` and ``retry_after_s`` where they matter.
"""

from __future__ import annotations

import argparse
import json
import os
import signal
import sys
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any, cast

from holdfast.errors import InvalidCall
from holdfast.testing.model.reading import mapping, objects, string
from holdfast.testing.model.script import Line, by_position
from holdfast.testing.model.server import ModelServer
from holdfast.testing.model.turns import call, fails, says

_STOPS = frozenset({signal.SIGTERM, signal.SIGINT})
_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop."""
    # Blocked in every thread, and waited for below: a signal can come at no bad moment.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    options = _parser().parse_args(argv)
    try:
        server = _server(options).start()
    except (InvalidCall, OSError, ValueError) as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    with closing(server):
        _say(server.url)
        signal.sigwait(_STOPS)
    _say(json.dumps({**asdict(server.stats()), "asked": server.model.count, "left": server.model.left}))
    return 0


def _server(options: argparse.Namespace) -> ModelServer:
    lines = read_script(Path(options.script).read_text("utf-8"))
    again, rest = (by_position(*lines), []) if options.by_position else (None, lines)
    return ModelServer(
        *rest,
        then=again,
        api_key=options.key,
        chances=options.faults,
        seed=options.seed,
        port=options.port,
        log_path=options.log,
    )


def read_script(text: str) -> list[Line]:
    """Return the lines of a script that is written as JSON.

    Raises:
        InvalidCall: A line of it is none.
        ValueError: It is no JSON.
    """
    script: object = json.loads(text)
    if not isinstance(script, list):
        raise InvalidCall("a script that is no array", 'write ["Hello.", {"calls": [{"tool": "search"}]}]')
    return [_line(line) for line in cast("list[object]", script)]


def _line(line: object) -> Line:
    if isinstance(line, str):
        return line
    given = mapping(line)
    if "status" in given:
        return _failure(given)
    calls = [call(string(one.get("tool")), **mapping(one.get("args"))) for one in objects(given.get("calls"))]
    if not calls and "text" not in given:
        raise InvalidCall("a line of a script that says nothing", "give it a text, calls or a status")
    return says(string(given.get("text")), *calls, reasoning=string(given.get("reasoning")))


def _failure(given: dict[str, Any]) -> Line:
    status, wait = given["status"], given.get("retry_after_s")
    if not isinstance(status, int) or not isinstance(wait, int | float | None):
        raise InvalidCall("a line of a script with an odd status or retry_after_s", "give numbers")
    code = string(given.get("code"))
    return fails(status, string(given.get("message")), code=code, retry_after_s=wait)


def _say(line: str) -> None:
    with suppress(BrokenPipeError):  # whoever started it may have read what it needs and gone
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m holdfast.testing.model", description=__doc__)
    parser.add_argument("script", help="a JSON file")
    parser.add_argument("--by-position", action="store_true", help="each conversation hears all of it")
    parser.add_argument("--key", help="the one key that is let in")
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; 0 (default) for a free one")
    parser.add_argument("--log", help="a file that a line is appended to for each answer, as JSON")
    parser.add_argument("--faults", default="", help="e.g. drop_after=0.1,latency=0.2:0.05,503=0.1*3")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another story")
    return parser


if __name__ == "__main__":
    sys.exit(main())
