"""Fixtures of the tests that start the built image."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from tests.loki_double import InProcessLoki
from tests.vm.built import built_disk
from tests.vm.machine import Machine, overlay, seed_disk

StartMachine = Callable[..., Machine]


@pytest.fixture(scope="session")
def disk() -> Path:
    """The built disk, raw, not to be written: tests start from an overlay on top of it."""
    return built_disk()


@pytest.fixture(scope="module")
def loki() -> Iterator[InProcessLoki]:
    """One Loki for all machines of a file."""
    double = InProcessLoki()
    yield double
    double.close()


@pytest.fixture(scope="module")
def start_machine(tmp_path_factory: pytest.TempPathFactory, disk: Path, loki: InProcessLoki) -> Iterator[StartMachine]:
    """start_machine(name, user_data, from_disk=…, tcp=…, udp=…) -> a machine with a seed, that Loki, ports, a shell.

    It starts from a new disk, or from one that another machine left. What still runs is ended after the last test.
    """
    started: list[Machine] = []

    def start(
        name: str,
        user_data: Mapping[str, Any],
        *,
        from_disk: Path | None = None,
        tcp: Sequence[int] = (514,),
        udp: Sequence[int] = (),
    ) -> Machine:
        place = tmp_path_factory.mktemp(name)
        machine = Machine(
            place,
            from_disk or overlay(place / "disk.qcow2", disk),
            seed=seed_disk(place / "seed.img", user_data),
            loki_port=int(loki.base_url.rsplit(":", 1)[1]),
            tcp=tcp,
            udp=udp,
        )
        started.append(machine)
        machine.wait_for_shell()
        return machine

    yield start
    for machine in reversed(started):
        machine.close()
