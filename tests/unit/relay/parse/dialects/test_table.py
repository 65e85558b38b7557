"""The table of dialects: each module is in it, says where its form is documented, and has a test of its own."""

import importlib
import pkgutil
from pathlib import Path

from appliance.relay.parse import dialects

SHARED = {"dialect", "keyvalue", "unpunctuated"}
MODULES = sorted({module.name for module in pkgutil.iter_modules(dialects.__path__)} - SHARED)


def test_each_module_is_in_the_table() -> None:
    modules = [importlib.import_module(f"{dialects.__name__}.{name}") for name in MODULES]
    assert {id(module.DIALECT) for module in modules} == {id(dialect) for dialect in dialects.TABLE}


def test_each_module_says_where_its_form_is_documented() -> None:
    for name in MODULES:
        documented = importlib.import_module(f"{dialects.__name__}.{name}").__doc__ or ""
        assert any(word in documented for word in ("Documented in", "the forms are those", "Forms from", "Log Format"))


def test_each_dialect_is_tested() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.parent.rglob("test_*.py"))
    for dialect in dialects.TABLE:
        assert not dialect.vendor or dialect.vendor in tests or dialect.product in tests, dialect.vendor


def test_no_two_dialects_claim_an_application() -> None:
    names = [name for dialect in dialects.TABLE for name in dialect.applications]
    assert len(names) == len(set(names))
