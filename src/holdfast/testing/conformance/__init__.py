"""Executable contracts for what third parties plug in. Needs pytest and hypothesis."""

from holdfast.testing.conformance.channel import ChannelContract, OtherSide
from holdfast.testing.conformance.store import StoreContract

__all__ = ["ChannelContract", "OtherSide", "StoreContract"]
