"""The console: what a ledger knows, for people, in plain pages; read-only unless somebody is let do more.

``console(ledger)`` is an ASGI application, to serve by itself (``holdfast console``) or to mount.
"""

from holdfast.errors import MissingExtra

try:
    import jinja2 as _jinja2
    import starlette as _starlette
except ImportError as error:
    raise MissingExtra("console", error.name or "starlette") from error

from holdfast.console.access import Access, Callback, Role, Visitor
from holdfast.console.app import console

__all__ = ["Access", "Callback", "Role", "Visitor", "console"]

del _jinja2, _starlette
