"""A function declared as a tool: guarded when called, itself when asked for."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable
from typing import Any, Generic, ParamSpec, TypeVar, cast, overload

from holdfast._core.duration import Duration
from holdfast._core.model import ToolCall
from holdfast._runtime import context
from holdfast._runtime.drive import run_sync
from holdfast._runtime.handler import shape_of
from holdfast.errors import InvalidCall, InvalidTool
from holdfast.ledger.engine import Engine, ToolOptions

P = ParamSpec("P")
R = TypeVar("R")


class _Declared(Generic[P, R]):
    """What both kinds of tool share: a name, a function, and how calls are read."""

    def __init__(
        self,
        engine: Engine,
        name: str,
        function: Callable[P, Any],
        *,
        key: str | None = None,
        wait: Duration | None = None,
    ) -> None:
        # Looks like the function: its name, its docstring, its annotations.
        functools.update_wrapper(cast("Any", self), function)
        self.name = name
        self.unguarded: Callable[P, Any] = function
        self._engine = engine
        self._key = key
        self._wait = wait
        self._signature = inspect.signature(function)
        self._effect_param = shape_of(function).effect_param

    def _call(self, workflow_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> ToolCall:
        """Read a Python call: positional arguments get their names, defaults stay the function's."""
        try:
            bound = self._signature.bind_partial(*args, **kwargs).arguments
        except TypeError as error:
            raise InvalidCall(
                f"call of {self.name!r}: {error}", "fit the arguments to the function"
            ) from error
        for name, parameter in self._signature.parameters.items():
            if parameter.kind is parameter.VAR_KEYWORD:
                bound.update(bound.pop(name, {}))
            elif parameter.kind is parameter.VAR_POSITIONAL and name in bound:
                raise InvalidCall(f"call of {self.name!r} brings unnamed arguments", "pass them by keyword")
        return ToolCall(workflow_id=workflow_id, tool=self.name, args=bound, key=self._key)

    def _here(self) -> str:
        workflow_id = context.workflow.get()
        if not workflow_id:
            what = f"{self.name!r} was called outside a workflow"
            raise InvalidCall(what, f"use {self.name}.run('workflow-id', ...), or call it inside a workflow")
        return workflow_id


class Tool(_Declared[P, R]):
    """A guarded async tool.

    Attributes:
        name: Its name in the ledger.
        unguarded: The bare function, for unit tests.
    """

    async def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it guarded, in the surrounding workflow."""
        return await self._guarded(self._here(), args, kwargs)

    async def run(self, workflow_id: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it guarded, in the workflow *workflow_id*."""
        return await self._guarded(workflow_id, args, kwargs)

    async def _guarded(self, workflow_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        call = self._call(workflow_id, args, kwargs)
        receipt = await self._engine.coded(call, self._wait)
        # The handler's declared return type, as JSON gives it back.
        return cast("R", receipt.result)

    def options(self, *, key: str | None = None, wait: Duration | None = None) -> Tool[P, R]:
        """Return the tool with another identity (to repeat on purpose) or another patience."""
        return Tool(self._engine, self.name, self.unguarded, key=key, wait=wait)


class SyncTool(_Declared[P, R]):
    """A guarded blocking tool; see :class:`Tool`."""

    def __call__(self, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it guarded, in the surrounding workflow."""
        return self._guarded(self._here(), args, kwargs)

    def run(self, workflow_id: str, /, *args: P.args, **kwargs: P.kwargs) -> R:
        """Run it guarded, in the workflow *workflow_id*."""
        return self._guarded(workflow_id, args, kwargs)

    def _guarded(self, workflow_id: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> R:
        call = self._call(workflow_id, args, kwargs)
        receipt = run_sync(self._engine.coded(call, self._wait))
        # The handler's declared return type, as JSON gives it back.
        return cast("R", receipt.result)

    def options(self, *, key: str | None = None, wait: Duration | None = None) -> SyncTool[P, R]:
        """Return the tool with another identity (to repeat on purpose) or another patience."""
        return SyncTool(self._engine, self.name, self.unguarded, key=key, wait=wait)


def _refuse_bare(name: object) -> None:
    """Refuse ``@ledger.tool`` without parentheses, which passes the function for the name."""
    if callable(name):
        shown = getattr(name, "__name__", "the function")
        raise InvalidTool(f"{shown} was declared by a bare @ledger.tool", "write @ledger.tool()")


class ToolDecorator:
    """What ``Ledger.tool(...)`` returns."""

    def __init__(self, engine: Engine, name: str | None, options: ToolOptions) -> None:
        _refuse_bare(name)
        self._engine = engine
        self._name = name
        self._options = options

    @overload
    def __call__(self, function: Callable[P, Awaitable[R]]) -> Tool[P, R]: ...
    @overload
    def __call__(self, function: Callable[P, R]) -> Tool[P, R]: ...
    def __call__(self, function: Callable[P, Any]) -> Tool[P, Any]:
        """Declare *function* as a tool."""
        name = self._engine.register(function, self._name, self._options)
        return Tool(self._engine, name, function)


class SyncToolDecorator:
    """What ``SyncLedger.tool(...)`` returns."""

    def __init__(self, engine: Engine, name: str | None, options: ToolOptions) -> None:
        _refuse_bare(name)
        self._engine = engine
        self._name = name
        self._options = options

    def __call__(self, function: Callable[P, R]) -> SyncTool[P, R]:
        """Declare *function* as a tool."""
        name = self._engine.register(function, self._name, self._options)
        return SyncTool(self._engine, name, function)
