"""Work on large pushes off the loop: one thread, so that whatever comes, one such piece of work goes on at a time."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_LARGE = 32 * 1024  # bytes that are worth the way to a thread and back
_thread = ThreadPoolExecutor(1, thread_name_prefix="push")

Result = TypeVar("Result")


async def off_the_loop(size: int, work: Callable[[], Result]) -> Result:
    """Do work on `size` bytes: at once when they are few, else in the thread, while the loop goes on."""
    if size < _LARGE:
        return work()
    return await asyncio.get_running_loop().run_in_executor(_thread, work)
