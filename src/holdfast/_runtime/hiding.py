"""What of a note a database may know when the ledger has a codec: ciphertext, and hashes to find it by."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from hashlib import sha256
from typing import Any, Protocol

from holdfast._core.model import EffectKey
from holdfast._core.value import value
from holdfast._runtime.parts import Parts
from holdfast.errors import InvalidTool
from holdfast.ports import SearchableCodec

_ID_LENGTH = 32


class _Digests(Protocol):
    def __call__(self, text: str, *, context: str) -> Sequence[str]: ...


@value
class Hiding:
    """How the notes of one place (a namespace, a project) are kept.

    Attributes:
        place: Part of every context: what was moved to another place does not open there.
        digests: The codec's; ``None`` when nothing is hidden.
    """

    parts: Parts
    tenant: str
    place: str
    digests: _Digests | None

    def ids(self, text: str) -> list[str]:
        """Return what a note that is told apart by *text* may be on record as, the present form first."""
        if self.digests is None:
            return [sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:_ID_LENGTH]]
        return list(self._of(text, "id"))

    def words(self, words: Sequence[str]) -> tuple[str, ...]:
        """Return what is kept of *words*: hidden, neither their order nor how often each comes is told."""
        if self.digests is None:
            return tuple(words)
        return tuple(sorted({self._of(word, "word")[0] for word in words}))

    def wanted(self, words: Sequence[str]) -> tuple[str, ...]:
        """Return what is looked for in order to find *words*, under whichever key they were kept."""
        if self.digests is None:
            return tuple(words)
        return tuple(dict.fromkeys(one for word in words for one in self._of(word, "word")))

    def tags(self, tags: Iterable[str]) -> tuple[str, ...]:
        """Return what is kept of *tags*."""
        if self.digests is None:
            return tuple(tags)
        return tuple(self._of(tag, "tag")[0] for tag in tags)

    def seal(self, note: str, text: str, part: str) -> str:
        """Return what is stored instead of *text*.

        Args:
            note: The id of the note.
            part: ``body`` or ``vector``.
        """
        seal: Callable[[str, Any], str] = self.parts.stamp(self.tenant, self._key(note, part), "").seal
        return seal(text, "body")

    def open(self, note: str, text: str, part: str) -> str:
        """Return a stored text in plain.

        Raises:
            PayloadSealed: It is sealed, and this ledger cannot open it.
        """
        return self.parts.opened(self.tenant, self._key(note, part), text, "body")

    def _key(self, note: str, part: str) -> EffectKey:
        return EffectKey(f"{self.place} {note} {part}")

    def _of(self, text: str, what: str) -> Sequence[str]:
        assert self.digests is not None  # noqa: S101 - for the type checker
        return self.digests(text, context=f"{self.tenant}/{self.place}/{what}")


def hiding(parts: Parts, tenant: str, place: str) -> Hiding:
    """Return how notes are kept at a place.

    Raises:
        InvalidTool: The ledger's codec can seal, but makes no digests: nothing sealed would be found again.
    """
    codec: Any = parts.codec
    if codec is None:
        return Hiding(parts=parts, tenant=tenant, place=place, digests=None)
    if not callable(getattr(codec, "digests", None)):
        what = f"the codec {type(codec).__name__} has no digests, so that no note could be found again"
        raise InvalidTool(what, "give it digests(text, *, context): see holdfast.ports.SearchableCodec")
    searchable: SearchableCodec = codec
    return Hiding(parts=parts, tenant=tenant, place=place, digests=searchable.digests)
