"""Requests gather into batches, time out, and are refused where too many wait."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence

import pytest

from osler.serving.batching import Batcher, DeadlineError, QueueFullError


def test_what_comes_together_is_answered_in_one_pass() -> None:
    passes: list[tuple[str, list[int]]] = []

    def ask(model: str, questions: Sequence[int]) -> list[int]:
        passes.append((model, list(questions)))
        return [10 * question for question in questions]

    async def main() -> list[list[int]]:
        batcher: Batcher[int, int] = Batcher(ask, batch=4)
        running = asyncio.create_task(batcher.run())
        answers = await asyncio.gather(*(batcher.submit("a", [n], 5) for n in range(6)), batcher.submit("b", [7, 8], 5))
        running.cancel()
        return answers

    assert asyncio.run(main()) == [[0], [10], [20], [30], [40], [50], [70, 80]]
    assert passes == [("a", [0, 1, 2, 3]), ("a", [4, 5]), ("b", [7, 8])]


def test_a_full_queue_says_when_to_come_again() -> None:
    async def main() -> None:
        batcher: Batcher[int, int] = Batcher(lambda _, questions: list(questions), room=2)
        with pytest.raises(QueueFullError) as refused:
            await batcher.submit("a", [1, 2, 3], 5)
        assert refused.value.retry_after >= 1

    asyncio.run(main())


def test_who_waits_too_long_is_told_and_not_asked_for_any_more() -> None:
    asked: list[int] = []

    def slow(_: str, questions: Sequence[int]) -> list[int]:
        asked.extend(questions)
        time.sleep(0.2)
        return list(questions)

    async def main() -> None:
        batcher: Batcher[int, int] = Batcher(slow, batch=1)
        running = asyncio.create_task(batcher.run())
        first = asyncio.create_task(batcher.submit("a", [1], 5))
        await asyncio.sleep(0.05)
        with pytest.raises(DeadlineError, match=r"within 0\.05 s"):
            await batcher.submit("a", [2], 0.05)
        leaving = asyncio.create_task(batcher.submit("a", [3], 5))
        await asyncio.sleep(0)
        leaving.cancel()  # its client has gone
        assert await first == [1]
        assert await batcher.submit("a", [4], 5) == [4]
        running.cancel()

    asyncio.run(main())
    assert asked == [1, 4]


def test_a_failure_is_told_to_its_batch_alone() -> None:
    def ask(_: str, questions: Sequence[int]) -> list[int]:
        if 1 in questions:
            raise RuntimeError("out of memory")
        return list(questions)

    async def main() -> None:
        batcher: Batcher[int, int] = Batcher(ask)
        running = asyncio.create_task(batcher.run())
        with pytest.raises(RuntimeError):
            await batcher.submit("a", [1], 5)
        assert await batcher.submit("a", [2], 5) == [2]
        running.cancel()

    asyncio.run(main())
