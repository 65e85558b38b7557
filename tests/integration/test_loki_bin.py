"""`LOKI_BIN`: what stands between the tests and a real Loki is run here, before the double with Loki's command line.

`tests/loki_double/loki` is given what would be given to a Loki: `-config.file`, a configuration, pushes
and queries. It refuses what Loki's reference does not know, so that the wiring is proven where no Loki
can be had.
"""

import dataclasses
import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.test_loki_double import post
from tests.loki_double import InProcessLoki, Limits, RealLoki, real
from tests.loki_double.as_loki import _KEYS as KEYS
from tests.loki_double.as_loki import ConfigError, limits_of, read, size
from tests.loki_double.proto import encode_push

ROOT = Path(__file__).resolve().parents[2]
LOKI = ROOT / "tests" / "loki_double" / "loki"
SOME = (
    "tests/integration/test_loki_double.py",
    "tests/integration/test_trial.py",
    "tests/integration/test_relabel_in_relay.py",
    "tests/integration/test_push_and_endpoints.py::test_protobuf_json_and_gzip_arrive_with_labels_times_lines_and_metadata",
    "tests/integration/test_faults_loki.py::test_lines_that_loki_finds_too_long_are_cut_and_the_rest_goes_through",
    "tests/integration/test_faults_loki.py::test_entries_that_loki_finds_too_old_or_too_new_get_another_time",
    "tests/integration/test_faults_loki.py::test_a_loki_with_a_smaller_message_limit_takes_everything_in_parts",
    "tests/integration/test_faults_loki.py::test_streams_that_loki_has_no_room_for_give_up_labels",
)


@pytest.fixture(autouse=True)
def python(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKI_DOUBLE_PYTHON", sys.executable)


@pytest.fixture
def bin_loki() -> Iterator[RealLoki]:
    loki = RealLoki(str(LOKI), page=7)
    yield loki
    loki.close()


def some_streams() -> list[tuple[str, list[tuple[int, bytes, dict[str, str]]]]]:
    """Five streams of ten numbered entries, every other one with metadata."""
    now = time.time_ns()
    return [
        (
            f'{{job="j{stream}", host="h"}}',
            [(now + n, b"n=%d" % n, {"pid": f"{n}"} if n % 2 else {}) for n in range(stream, 50, 5)],
        )
        for stream in range(5)
    ]


@pytest.mark.slow
def test_integration_tests_pass_with_loki_bin() -> None:
    """A handful of them, in a run of their own, as `LOKI_BIN=/path/to/loki ./build.sh test` would have it."""
    result = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "--no-header", "-p", "no:cacheprovider", "-rs", *SOME],
        cwd=ROOT, env=os.environ | {"LOKI_BIN": str(LOKI)}, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert result.returncode == 0, result.stdout + result.stderr
    assert "skipped" not in result.stdout


def test_what_is_read_through_lokis_query_api_is_what_the_double_holds(bin_loki: RealLoki) -> None:
    """Seven lines a page of fifty: none twice, none missing, labels and metadata apart."""
    streams = some_streams()
    plain = InProcessLoki()
    try:
        for loki in (bin_loki, plain):
            assert post(loki.push_url, encode_push(streams))[0] == 204
        assert bin_loki.count() == plain.count() == 50
        assert bin_loki.count('{job="j1"}') == 10
        assert sorted(map(str, bin_loki.entries())) == sorted(map(str, plain.entries()))
        assert sorted(bin_loki.lines('{job=~"j[12]"}')) == sorted(plain.lines('{job=~"j[12]"}'))
        assert sorted(map(str, bin_loki.streams())) == sorted(map(str, plain.streams()))
        assert bin_loki.tally(51).as_dict() == plain.tally(51).as_dict()
        assert bin_loki.tally(51).first_lost == [50]
        assert bin_loki.count('{job="none"}') == 0
    finally:
        plain.close()


def test_faults_lie_in_front_of_it_and_its_answers_come_through(bin_loki: RealLoki) -> None:
    bin_loki.fault("status", times=1, status=503, body="away", headers={"Retry-After": "7"})
    status, body, headers = post(bin_loki.push_url, encode_push(some_streams()))
    assert (status, body, headers["Retry-After"]) == (503, "away", "7")
    bin_loki.fault("refuse")
    bin_loki.clear()
    assert post(bin_loki.push_url, b"no snappy")[:2] == (400, "snappy: corrupt input\n")
    assert bin_loki.stats()["statuses"] == {"503": 1, "400": 1}
    assert bin_loki.stats()["pushes"] == 2 and bin_loki.base_url in bin_loki.push_url


def test_each_limit_of_the_tests_is_written_where_loki_reads_it(bin_loki: RealLoki) -> None:
    assert post(bin_loki.push_url, encode_push(some_streams()))[0] == 204
    limits: dict[str, Any] = {
        field.name: int(getattr(Limits(), field.name) or 8 * real.MB) // 2
        for field in dataclasses.fields(Limits)
        if field.name != "names_streams"  # how the double speaks, no limit
    }
    bin_loki.set_limits(**limits)
    written = yaml.safe_load((bin_loki._directory / "loki.yaml").read_text())
    understood = dataclasses.asdict(limits_of(read(written, KEYS)))
    assert {name: round(value) for name, value in understood.items() if name in limits} == limits
    assert bin_loki.count() == 50, "a new start keeps what is stored"
    bin_loki.set_limits(max_line_size=3)
    assert "max entry size '3' bytes exceeded" in post(bin_loki.push_url, encode_push(some_streams()))[1]


def test_more_entries_of_one_moment_than_a_page_holds_are_said_and_not_looked_for_without_end(
    bin_loki: RealLoki,
) -> None:
    now = time.time_ns()
    post(bin_loki.push_url, encode_push([('{job="j"}', [(now, b"%d" % n, {}) for n in range(8)])]))
    with pytest.raises(RuntimeError, match="cannot be paged"):
        bin_loki.entries()


@pytest.mark.parametrize(
    ("where", "key", "said"),
    [
        (("limits_config",), "max_streams", "field max_streams not found in limits_config"),
        ((), "limits", "field limits not found in the file"),
        (("ingester",), "max_chunk_age", "cannot parse 'soon' as a duration"),
        (("limits_config",), "max_line_size", "cannot parse 'soon' as a size"),
        (("server",), "http_listen_port", "invalid literal"),
        (("server",), "log_level", "cannot play 'soon'"),
        ((), "auth_enabled", "cannot unmarshal 'soon' into bool"),
        ((), "querier", "cannot unmarshal 'soon' into a section"),
    ],
)
def test_what_lokis_reference_does_not_know_is_refused(
    bin_loki: RealLoki, tmp_path: Path, where: tuple[str, ...], key: str, said: str
) -> None:
    config = yaml.safe_load((bin_loki._directory / "loki.yaml").read_text())
    section = config
    for name in where:
        section = section[name]
    section[key] = "soon"
    file = tmp_path / "loki.yaml"
    file.write_text(json.dumps(config, default=str))
    result = subprocess.run([LOKI, f"-config.file={file}"], capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 1 and said in result.stderr


def test_a_command_line_that_is_not_lokis_is_refused() -> None:
    result = subprocess.run([LOKI, "--config", "x"], capture_output=True, text=True, check=False, timeout=30)
    assert result.returncode == 2 and "-config.file" in result.stderr
    assert size("2KB") == 2048
    with pytest.raises(ConfigError):
        size("2 potatoes")


def test_a_loki_that_ends_or_never_gets_ready_is_said_and_left_nowhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(RuntimeError, match="Loki ended with 1"):
        RealLoki("/bin/false")
    monkeypatch.setattr(real, "_START", 0.5)
    silent = tmp_path / "silent"
    silent.write_text(f"#!/bin/sh\necho $$ > {tmp_path}/pid\nexec sleep 600\n")
    silent.chmod(0o755)
    with pytest.raises(RuntimeError, match=r"is not ready after 0\.5 s"):
        RealLoki(str(silent))
    assert not Path("/proc", (tmp_path / "pid").read_text().strip()).exists()


def test_loki_bin_names_the_binary(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOKI_BIN", str(LOKI))
    assert real.real_loki_binary() == str(LOKI)
    monkeypatch.setenv("LOKI_BIN", "")
    assert real.real_loki_binary() is None
