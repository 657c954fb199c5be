"""An effect's states as a picture: all there are, and the path that it took."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from holdfast._core.states import TRANSITIONS
from holdfast.console.look import NODES

_HALF_WIDTH: Final = 58
_HALF_HEIGHT: Final = 14


@dataclass(frozen=True, slots=True)
class Node:
    """One state in the picture.

    Attributes:
        is_passed: The effect was in it.
        is_here: The effect is in it.
    """

    name: str
    x: int
    y: int
    is_passed: bool
    is_here: bool


@dataclass(frozen=True, slots=True)
class Edge:
    """One way from a state to another, from border to border."""

    x1: float
    y1: float
    x2: float
    y2: float
    is_passed: bool


@dataclass(frozen=True, slots=True)
class Machine:
    """The picture, and the path in words."""

    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    path: tuple[str, ...]


def machine(states: Sequence[str]) -> Machine:
    """Draw the states of an effect that was in *states*, one after the other."""
    path = ["new"]
    for state in states:
        if state != path[-1]:
            path.append(str(state))
    passed = set(pairwise(path))
    ways = sorted({("new" if a is None else str(a), str(b)) for (a, _), b in TRANSITIONS.items() if a != b})
    return Machine(
        nodes=tuple(
            Node(str(name), x, y, is_passed=name in path, is_here=name == path[-1])
            for name, (x, y) in NODES.items()
        ),
        edges=tuple(sorted((_edge(way, way in passed) for way in ways), key=lambda edge: edge.is_passed)),
        path=tuple(path),
    )


def _edge(way: tuple[str, str], is_passed: bool) -> Edge:  # noqa: FBT001 - a value, not a switch
    (x1, y1), (x2, y2) = NODES[way[0]], NODES[way[1]]
    start, end = _border(x1, y1, x2, y2), _border(x2, y2, x1, y1)
    return Edge(*start, *end, is_passed=is_passed)


def _border(x: int, y: int, to_x: int, to_y: int) -> tuple[float, float]:
    """Return where the line from the middle of a node towards another one leaves it."""
    dx, dy = to_x - x, to_y - y
    by_width = _HALF_WIDTH / abs(dx) if dx else 1.0
    by_height = _HALF_HEIGHT / abs(dy) if dy else 1.0
    part = min(by_width, by_height)
    return round(x + dx * part, 1), round(y + dy * part, 1)
