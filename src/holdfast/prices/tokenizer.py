"""A tokenizer where one is at hand: tiktoken, if its data is on this machine already. Nothing is downloaded.

tiktoken fetches an encoding when it is first asked for it. So this module looks where tiktoken would look,
compares what lies there with the sum that tiktoken expects, and asks only if it will find that.
"""

from __future__ import annotations

import hashlib
import os
import re
import tempfile
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

_URL: Final = re.compile(r"https://\S+\.tiktoken")
_SUM: Final = re.compile(r"[0-9a-f]{64}")
_SAME_DATA: Final = {"o200k_harmony": "o200k_base"}
"""Encodings that are made of another one's data."""


def local_tokenizer(model: str) -> Callable[[str], int] | None:
    """Return a function from text to its number of tokens for one of OpenAI's models, or ``None``.

    ``None`` means: tiktoken is not installed, does not know the model, or has not got its data yet. The bound
    by bytes (`text_bound`) needs none of that. Pass the function to `request_bound` as ``count``.
    """
    try:
        tiktoken = import_module("tiktoken")
    except ImportError:
        return None
    try:
        name: str = tiktoken.encoding_name_for_model(model)
    except KeyError:
        return None
    if not _is_here(name):
        return None
    encoding: Any = tiktoken.get_encoding(name)

    def count(text: str) -> int:
        return len(encoding.encode(text, disallowed_special=()))

    return count


def _is_here(name: str) -> bool:
    place = _expected(_SAME_DATA.get(name, name))
    if place is None:
        return False
    url, expected = place
    directory = _cache_directory()
    if directory is None:
        return False
    path = directory / hashlib.sha1(url.encode(), usedforsecurity=False).hexdigest()
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest() == expected
    except OSError:
        return False


@cache
def _expected(name: str) -> tuple[str, str] | None:
    """Return from where the installed tiktoken would fetch an encoding, and the sum that it expects."""
    openai_public = import_module("tiktoken_ext.openai_public")
    made_by: Any = getattr(openai_public, "ENCODING_CONSTRUCTORS", {}).get(name)
    constants: tuple[Any, ...] = getattr(getattr(made_by, "__code__", None), "co_consts", ())
    texts = [constant for constant in constants if isinstance(constant, str)]
    urls = [text for text in texts if _URL.fullmatch(text)]
    sums = [text for text in texts if _SUM.fullmatch(text)]
    return (urls[0], sums[0]) if len(urls) == len(sums) == 1 else None


def _cache_directory() -> Path | None:
    """Where tiktoken keeps its data; an empty name switches that off."""
    for name in ("TIKTOKEN_CACHE_DIR", "DATA_GYM_CACHE_DIR"):
        if name in os.environ:
            return Path(os.environ[name]) if os.environ[name] else None
    return Path(tempfile.gettempdir()) / "data-gym-cache"
