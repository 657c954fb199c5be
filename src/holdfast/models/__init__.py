"""The official clients of model providers, sent through a ledger: everything that is HTTP.

What a call means for the ledger is decided in :mod:`holdfast.ledger.models`; here a client is copied so that
its requests go there, and what comes back becomes the client's own response again. No client library is
imported: whoever gives a client has it, and its HTTP library, loaded already.
"""

from holdfast.models.clients import wrapped
from holdfast.models.paths import Others

__all__ = ["Others", "wrapped"]
