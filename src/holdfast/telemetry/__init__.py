"""Telemetry of what the ledger does, for those who have OpenTelemetry."""
