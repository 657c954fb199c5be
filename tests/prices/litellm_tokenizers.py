"""Real tokenizers without the network: litellm, which is here for its own tests, ships their data."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from tokenizers import Tokenizer

from holdfast.prices import local_tokenizer

_SPEC: Final = importlib.util.find_spec("litellm")
assert _SPEC is not None
assert _SPEC.origin is not None
DIRECTORY: Final = Path(_SPEC.origin).parent / "litellm_core_utils" / "tokenizers"
FILES: Final = sorted(path.name for path in DIRECTORY.iterdir() if len(path.name) == 40)


def openai(model: str) -> Callable[[str], int]:
    before = os.environ.get("TIKTOKEN_CACHE_DIR")
    os.environ["TIKTOKEN_CACHE_DIR"] = str(DIRECTORY)
    try:
        found = local_tokenizer(model)
    finally:
        if before is None:
            del os.environ["TIKTOKEN_CACHE_DIR"]
        else:
            os.environ["TIKTOKEN_CACHE_DIR"] = before
    assert found is not None
    return found


def anthropic() -> Callable[[str], int]:
    tokenizer = Tokenizer.from_file(str(DIRECTORY / "anthropic_tokenizer.json"))

    def count(text: str) -> int:
        return len(tokenizer.encode(text).ids)

    return count


TOKENIZERS: Final[dict[str, Callable[[], Callable[[str], int]]]] = {
    "gpt-4o": lambda: openai("gpt-4o"),
    "gpt-4": lambda: openai("gpt-4"),
    "claude": anthropic,
}
