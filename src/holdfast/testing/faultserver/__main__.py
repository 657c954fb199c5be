"""Run the fault server as a process of its own, until SIGTERM or SIGINT.

The first line on stdout is the URL, the last one, when it has stopped, what happened, as JSON.
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

from holdfast.errors import InvalidCall
from holdfast.testing.faultserver import FaultServer

_STOPS = frozenset({signal.SIGTERM, signal.SIGINT})
_USAGE = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Serve until told to stop."""
    # Blocked in every thread, and waited for below: a signal can come at no bad moment.
    signal.pthread_sigmask(signal.SIG_BLOCK, _STOPS)
    options = _parser().parse_args(argv)
    try:
        server = FaultServer(
            options.faults,
            seed=options.seed,
            deduplicates=not options.ignore_keys,
            port=options.port,
            log_path=options.log,
        )
        if options.webhooks:
            server.webhooks(options.webhooks, chances=options.fates)
        server.start()
    except (InvalidCall, OSError) as error:
        sys.stderr.write(f"{error}\n")
        return _USAGE
    with closing(server):
        _say(server.url)
        signal.sigwait(_STOPS)
        server.deliver_webhooks()  # the late ones: there is no later time
    _say(json.dumps(asdict(server.stats())))
    return 0


def _say(line: str) -> None:
    with suppress(BrokenPipeError):  # whoever started it may have read what it needs and gone
        os.write(sys.stdout.fileno(), f"{line}\n".encode())


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m holdfast.testing.faultserver", description=__doc__)
    parser.add_argument("--port", type=int, default=0, help="of 127.0.0.1; 0 (default) for a free one")
    parser.add_argument("--log", help="a file that each committed change is appended to, as JSON")
    parser.add_argument("--faults", default="", help="e.g. drop_after=0.1,latency=0.2:0.05,503=0.1*3")
    parser.add_argument("--seed", type=int, default=0, help="another seed is another story")
    parser.add_argument("--ignore-keys", action="store_true", help="do not honour Idempotency-Key")
    parser.add_argument("--webhooks", metavar="URL", help="where events are posted to, on loopback")
    parser.add_argument("--fates", default="", help="of webhooks, e.g. late=0.2,twice=0.1,after_next=0.1")
    return parser


if __name__ == "__main__":
    sys.exit(main())
