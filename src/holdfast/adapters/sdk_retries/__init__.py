"""Clients that retry by themselves would multiply the attempts of the policy: find them, switch that off."""

from holdfast.adapters.sdk_retries.clients import ClientRetries, client_retries, one_layer
from holdfast.adapters.sdk_retries.kind import NO_LIMIT
from holdfast.adapters.sdk_retries.reach import clients_in, clients_of

__all__ = ["NO_LIMIT", "ClientRetries", "client_retries", "clients_in", "clients_of", "one_layer"]
