"""The official clients of model providers, sent through a ledger: everything that is HTTP.

What a call means for the ledger is decided in :mod:`holdfast.ledger.models`; here a client is copied so that
its requests go there, and what comes back becomes the client's own response again.
"""
