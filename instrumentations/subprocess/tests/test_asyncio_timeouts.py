"""Timeouts of asyncio around a wait for a child."""

from __future__ import annotations

import asyncio
import inspect
import sys
from typing import Any

import pytest

WALL = ("TLE", "host", "tle_wall_judge", "wall")
BY_PARENT = ("SIG", "host", "sig_sent_by_parent", None)
SECONDS = 0.3


async def _sleep() -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec("sleep", "600", stdout=asyncio.subprocess.PIPE)


@pytest.mark.parametrize("name", ["wait", "communicate"])
def test_wait_for(ended: Any, name: str) -> None:
    async def judge() -> None:
        process = await _sleep()
        try:
            await asyncio.wait_for(getattr(process, name)(), SECONDS)
        except asyncio.TimeoutError:
            process.kill()
        await process.wait()

    asyncio.run(judge())
    assert ended.verdict() == WALL


@pytest.mark.skipif(sys.version_info < (3, 11), reason="there is no asyncio.timeout")
def test_a_timeout_around_a_block(ended: Any) -> None:
    async def judge() -> None:
        process = await _sleep()
        try:
            async with asyncio.timeout(SECONDS):  # type: ignore[attr-defined, unused-ignore] # of 3.11
                await process.communicate()
        except TimeoutError:
            process.terminate()
        await process.wait()

    asyncio.run(judge())
    assert ended.verdict() == WALL


def test_a_cancelled_task_is_no_timeout(ended: Any) -> None:
    async def run() -> None:
        process = await _sleep()
        task = asyncio.ensure_future(process.wait())
        await asyncio.sleep(SECONDS)
        task.cancel()
        try:
            await task
        except asyncio.CancelledError:
            process.kill()
        await process.wait()

    asyncio.run(run())
    assert ended.verdict() == BY_PARENT


def test_cancelling_after_short_waits_is_no_timeout(ended: Any) -> None:
    async def run() -> None:
        process = await _sleep()
        for turn in range(8):
            try:
                await asyncio.wait_for(process.wait(), 0.05)
            except asyncio.TimeoutError:
                if turn == 7:
                    process.terminate()
        await process.wait()

    asyncio.run(run())
    assert ended.verdict() == BY_PARENT


def test_the_timeout_of_something_else_is_none(ended: Any) -> None:
    async def run() -> None:
        process = await _sleep()
        try:
            await asyncio.wait_for(asyncio.sleep(600), SECONDS)
        except asyncio.TimeoutError:
            process.kill()
        await process.wait()

    asyncio.run(run())
    assert ended.verdict() == BY_PARENT


def test_the_methods_look_as_before(ended: Any) -> None:
    plain = asyncio.subprocess.Process.wait

    async def run() -> None:
        await (await asyncio.create_subprocess_exec("true")).wait()

    asyncio.run(run())
    patched = asyncio.subprocess.Process.wait
    assert patched is not plain
    assert inspect.iscoroutinefunction(patched)
    assert inspect.signature(patched) == inspect.signature(plain)
    assert (patched.__module__, patched.__qualname__) == (plain.__module__, plain.__qualname__)
    assert ended.verdict()[0] == "OK"
