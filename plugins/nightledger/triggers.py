"""Waits that need no worker."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent
from asgiref.sync import sync_to_async


class BatchTrigger(BaseTrigger):
    """Fires when every batch has ended at the provider; the key stays in the connection, never in the trigger.

    `poll_seconds` is how often the provider is asked. A provider that cannot be reached is asked again later.
    """

    def __init__(self, conn_id: str, batches: Sequence[str], poll_seconds: float) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.conn_id, self.batches, self.poll_seconds = conn_id, list(batches), poll_seconds

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """The class and what it is made of again in the triggerer."""
        values = {"conn_id": self.conn_id, "batches": self.batches, "poll_seconds": self.poll_seconds}
        return "nightledger.triggers.BatchTrigger", values

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Ask until all have ended."""
        from include.errors import SystemUnavailable

        open_batches = list(self.batches)
        async with await self._client() as client:
            while open_batches:
                try:
                    while open_batches and (await client.retrieve(open_batches[0])).ended:
                        open_batches.pop(0)
                except SystemUnavailable as error:
                    self.log.warning("%s; asking again in %.0f s", error, self.poll_seconds)
                if open_batches:
                    await asyncio.sleep(self.poll_seconds)
        yield TriggerEvent({"batches": self.batches})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """A person ended the task: end the batches, which would be paid for nothing."""
        async with await self._client() as client:
            for batch in self.batches:
                await client.cancel(batch)

    async def _client(self) -> Any:
        from include.systems.model.batch_client import BatchClient
        from nightledger.hooks.connections import AirflowConnections

        return BatchClient(await sync_to_async(AirflowConnections().open)("model", self.conn_id))
