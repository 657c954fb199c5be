"""Where an example keeps what outlives it, and how it dies at the worst moment.

python examples/compensate/EXAMPLE.py                    # in a temporary directory
python examples/compensate/EXAMPLE.py DIRECTORY --die    # killed at the worst moment ...
python examples/compensate/EXAMPLE.py DIRECTORY          # ... and gone on with
"""

import logging
import os
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from holdfast import Settings

logging.getLogger("holdfast").setLevel(logging.ERROR)

SOON: Final = Settings(lease=1, renew_every=0.3)
"""A killed process is noticed after one second, so that nobody has to wait for ten."""


@contextmanager
def stage() -> Iterator[Path]:
    """Hand out the directory that the command line names, else a temporary one."""
    named = [Path(word) for word in sys.argv[1:] if not word.startswith("-")]
    if named:
        named[0].mkdir(parents=True, exist_ok=True)
        yield named[0].resolve()
    elif "--die" in sys.argv:
        sys.exit("name a directory, so that the next run finds what this one left")
    else:
        with tempfile.TemporaryDirectory() as directory:
            yield Path(directory)


def worst_moment(what: str) -> None:
    """Die here, by kill -9, if the command line says so."""
    if "--die" in sys.argv:
        print(f"{what}; now kill -9", flush=True)
        os.kill(os.getpid(), signal.SIGKILL)


def show(report: Any) -> None:
    """Print what became of each effect."""
    for effect in report.effects:
        print(f"{effect.tool}: {effect.fate}" + (f" - {effect.why}" if effect.why else ""))
