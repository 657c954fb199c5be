"""What the examples need to run without a network: a scripted model, a directory, and a worst moment.

python examples/agents/EXAMPLE.py                    # in a temporary directory
python examples/agents/EXAMPLE.py DIRECTORY --die    # killed at the worst moment ...
python examples/agents/EXAMPLE.py DIRECTORY          # ... and gone on with
"""

import json
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


def chat(messages: list[dict[str, Any]], tools: list[dict[str, Any]]) -> dict[str, Any]:
    """Answer as a model would that was asked to refund an order: look it up, refund it, say so.

    A real one is as long: ``client.chat.completions.create(model=..., messages=messages, tools=[...])``.
    """
    print(f"model call {sum(message['role'] == 'assistant' for message in messages) + 1}", flush=True)
    told = [json.loads(message["content"]) for message in messages if message["role"] == "tool"]
    match told:
        case []:
            return _calls("look_up", order="1042")
        case [{"result": order}]:
            return _calls("refund", order=order["order"], cents=order["cents"])
        case [_, {"status": "succeeded", "result": refund}]:
            return {"role": "assistant", "content": f"You get your {refund['cents']} cents back."}
        case _:
            return {"role": "assistant", "content": f"I cannot say: the refund is {told[-1]['status']}."}


def _calls(tool: str, **args: Any) -> dict[str, Any]:
    function = {"name": tool, "arguments": json.dumps(args)}
    call = {"id": f"call_{os.urandom(4).hex()}", "type": "function", "function": function}
    return {"role": "assistant", "content": None, "tool_calls": [call]}
