"""Fixtures of the tests that start the built image."""

from pathlib import Path

import pytest

from tests.vm.built import built_disk


@pytest.fixture(scope="session")
def disk() -> Path:
    """The built disk, raw, not to be written: tests start from an overlay on top of it."""
    return built_disk()
