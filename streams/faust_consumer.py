"""Faust's consumer, still while partitions change hands."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from faust.transport.drivers.aiokafka import Consumer


class StillConsumer(Consumer):
    """A consumer that hands on nothing between the news of an assignment and Faust's word that it is complete.

    Faust clears its queues when an assignment is complete. What was handed on before that is lost, although the place that is read from
    lies behind it. It stops its consumer for that time only if it had partitions before, and goes back to what is committed only where
    something is (0.15.3).
    """

    # Faust would name it after this module, and its detail would pass for ours.
    logger = logging.getLogger("faust.transport.drivers.aiokafka")

    async def on_partitions_assigned(self, assigned: set[Any], generation_id: int = 0) -> None:
        """Stop before anybody is told."""
        self._stop()
        await super().on_partitions_assigned(assigned, generation_id)

    async def perform_seek(self) -> None:
        """Go back to what is committed; what came meanwhile is not handed on before the queues are cleared."""
        self._stop()
        await super().perform_seek()

    async def seek_to_committed(self) -> Mapping[Any, int]:
        """Go back to what is committed, to a partition's beginning where nothing is, and return what is."""
        committed = await super().seek_to_committed()
        unknown = [partition for partition, offset in committed.items() if (offset or 0) <= 0]  # aiokafka leaves these where they are
        if unknown:
            # In the client's own thread: it is not made for being called from another.
            await self._thread.call_thread(self._go_to, await self.earliest_offsets(*unknown))
        return committed

    async def _go_to(self, offsets: Mapping[Any, int]) -> None:
        for partition, offset in offsets.items():
            self._thread.seek(partition, offset)

    def _stop(self) -> None:
        self.stop_flow()
        self.app.flow_control.suspend()
