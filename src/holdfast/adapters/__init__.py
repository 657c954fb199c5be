"""Where holdfast meets other libraries: clients that retry by themselves, and how to have one retry layer."""

from holdfast.adapters.sdk_retries import (
    NO_LIMIT,
    ClientRetries,
    client_retries,
    clients_in,
    clients_of,
    one_layer,
)

__all__ = ["NO_LIMIT", "ClientRetries", "client_retries", "clients_in", "clients_of", "one_layer"]
