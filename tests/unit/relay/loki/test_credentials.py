"""Secrets are read again when they change, and never shown."""

import os
from pathlib import Path

import pytest
from hypothesis import settings

from appliance.config import model
from appliance.relay.loki.credentials import SecretFile, SecretUnreadable

SECOND = 10**9
LIMITS = model.LokiLimits()
calmly = settings(deadline=None, max_examples=60)


def test_a_secret_is_read_again_when_its_file_is_replaced_or_rewritten(tmp_path: Path) -> None:
    path = tmp_path / "token"
    path.write_text("one\n")
    secret = SecretFile(str(path))
    assert secret.read() == "one"
    (tmp_path / "new").write_text("two\n")
    os.replace(tmp_path / "new", path)
    assert secret.read() == "two"
    path.write_text("")  # just being rewritten
    assert secret.read() == "two"
    path.write_text("three")
    assert secret.read() == "three"


def test_a_secret_that_never_was_readable_is_said_without_its_content(tmp_path: Path) -> None:
    path = tmp_path / "token"
    with pytest.raises(SecretUnreadable, match="token"):
        SecretFile(str(path)).read()
    path.write_text("first\nsecond")
    with pytest.raises(SecretUnreadable) as error:
        SecretFile(str(path)).read()
    assert "first" not in str(error.value)
