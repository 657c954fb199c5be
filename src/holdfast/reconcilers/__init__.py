"""Ready-made reconcilers: how an effect in doubt is found on the other side.

Each of these takes functions of yours that ask the other side, and returns a reconciler for ``reconcile=``:

* :func:`by_key`      the other side can be asked for the idempotency key
* :func:`by_search`   it knows no keys, but can be searched
* :func:`by_reading`  the effect sets something to a value, which can be read back
* :func:`first_of`    several of these, one after another

Your functions may be plain or async; a reconciler has to be awaited only where they have to be. They read
and change nothing. What they raise is not caught here: the ledger notes that the reconciler raised, and the
effect stays in doubt. Where "it is not there" is an exception, ``not_found=`` names it.
"""

from holdfast.reconcilers.shapes import by_key, by_reading, by_search, first_of

__all__ = ["by_key", "by_reading", "by_search", "first_of"]
