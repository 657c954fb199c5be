"""What workflows do outside of a step that they must leave to one: found by reading, never by running."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

_INSTEAD: Final = {
    "time.time": "the time differs in every life: use `ctx.now()`",
    "time.monotonic": "the time differs in every life: use `ctx.now()`",
    "time.perf_counter": "the time differs in every life: use `ctx.now()`",
    "datetime.now": "the time differs in every life: use `ctx.now()`",
    "datetime.utcnow": "the time differs in every life: use `ctx.now()`",
    "datetime.today": "the time differs in every life: use `ctx.now()`",
    "date.today": "the time differs in every life: use `ctx.now()`",
    "uuid.uuid1": "it differs in every life: use `ctx.uuid()`",
    "uuid.uuid4": "it differs in every life: use `ctx.uuid()`",
    "os.urandom": "it differs in every life: use `ctx.random()` or `ctx.uuid()`",
    "time.sleep": "it is not on record, and holds the worker: use `ctx.sleep(...)`",
    "asyncio.sleep": "it is not on record, and holds the worker: use `ctx.sleep(...)`",
    "os.environ.get": "it may differ in every life: make it part of the input, or read it in a step",
    "os.getenv": "it may differ in every life: make it part of the input, or read it in a step",
    "input": "nobody is there in the next life: use `ctx.wait_for(...)`",
    "open": "it touches the world: do it in a step, or in a tool if it changes something",
}
_MODULES: Final = {
    "random": "it differs in every life: use `ctx.random()`",
    "secrets": "it differs in every life: use `ctx.random()` or `ctx.uuid()`",
    "requests": "it calls another system: do it in a tool, or in a step if it only reads",
    "httpx": "it calls another system: do it in a tool, or in a step if it only reads",
    "aiohttp": "it calls another system: do it in a tool, or in a step if it only reads",
    "urllib": "it calls another system: do it in a tool, or in a step if it only reads",
    "smtplib": "it calls another system: do it in a tool",
    "subprocess": "it runs another program: do it in a tool, or in a step if it only reads",
    "shutil": "it touches the world: do it in a step, or in a tool if it changes something",
    "boto3": "it calls another system: do it in a tool, or in a step if it only reads",
    "stripe": "it calls another system: do it in a tool",
}


@dataclass(frozen=True, slots=True)
class Slip:
    """One place in a workflow's code.

    Attributes:
        line: From 1.
        workflow: The function's name.
        call: What is called, as it is written.
        instead: Why that is a slip, and what to write.
    """

    line: int
    workflow: str
    call: str
    instead: str


def slips(source: str, name: str = "<source>") -> list[Slip]:
    """Return the slips in the workflows of a module, by line.

    Raises:
        SyntaxError: It is no Python.
    """
    module = ast.parse(source, name)
    names = _imported(module)
    found: list[Slip] = []
    for node in ast.walk(module):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and _is_workflow(node):
            found += _in_workflow(node, names)
    return sorted(found, key=lambda slip: (slip.line, slip.call))


def _is_workflow(function: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    for decorator in function.decorator_list:
        called = decorator.func if isinstance(decorator, ast.Call) else decorator
        if isinstance(called, ast.Attribute) and called.attr == "workflow":
            return True
    return False


def _imported(module: ast.Module) -> dict[str, str]:
    """Return what each imported name stands for, in full."""
    names: dict[str, str] = {}
    for node in ast.walk(module):
        if isinstance(node, ast.Import):
            for alias in node.names:
                names[alias.asname or alias.name.partition(".")[0]] = (
                    alias.name if alias.asname else alias.name.partition(".")[0]
                )
        elif isinstance(node, ast.ImportFrom) and node.module is not None:
            for alias in node.names:
                names[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return names


def _in_workflow(function: ast.FunctionDef | ast.AsyncFunctionDef, names: dict[str, str]) -> Iterator[Slip]:
    for node in _own_code(function):
        if not isinstance(node, ast.Call):
            continue
        written = _dotted(node.func)
        if written is None:
            continue
        head, _, rest = written.partition(".")
        whole = f"{names.get(head, head)}.{rest}" if rest else names.get(head, head)
        instead = _instead(whole, is_known=head in names or whole in {"input", "open"})
        if instead is not None:
            yield Slip(node.lineno, function.name, written, instead)


def _own_code(function: ast.FunctionDef | ast.AsyncFunctionDef) -> Iterator[ast.AST]:
    """Walk what the workflow itself does: not the functions within it that it hands to its steps."""
    handed = {name for node in ast.walk(function) for name in _handed(node)}
    waiting: list[ast.AST] = list(function.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in handed:
            continue
        if isinstance(node, ast.Lambda):
            continue
        yield node
        waiting.extend(ast.iter_child_nodes(node))


def _handed(node: ast.AST) -> Iterator[str]:
    """Tell the names of functions that a step is given."""
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "step":
        yield from (argument.id for argument in node.args if isinstance(argument, ast.Name))


def _dotted(node: ast.expr) -> str | None:
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name):
        return None
    return ".".join([node.id, *reversed(parts)])


def _instead(whole: str, *, is_known: bool) -> str | None:
    if not is_known:
        return None
    for known, instead in _INSTEAD.items():
        if whole == known or whole.endswith(f".{known}"):
            return instead
    return _MODULES.get(whole.partition(".")[0]) if "." in whole else None
