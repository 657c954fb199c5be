"""What drives durable workflows: the built-in worker, or an engine that is there already."""

from holdfast.engines.worker import Worker
from holdfast.engines.worker_threads import SyncWorker

__all__ = ["SyncWorker", "Worker"]
