"""The model documents itself, and the JSON Schema printed from it says the same as the loader."""

from collections.abc import Iterator
from typing import Any

import jsonschema
import pytest
import yaml
from msgspec import inspect

from appliance.config.dump import to_plain
from appliance.config.load import parse
from appliance.config.model import Config, Loki
from appliance.config.problems import ConfigError
from appliance.config.schema import json_schema

URL = "http://127.0.0.1:3100/loki/api/v1/push"


def keys(kind: inspect.Type, path: str = "") -> Iterator[tuple[str, inspect.Type]]:
    match kind:
        case inspect.Metadata():
            yield from keys(kind.type, path)
        case inspect.UnionType():
            for inner in kind.types:
                yield from keys(inner, path)
        case inspect.ListType():
            yield from keys(kind.item_type, f"{path}[]")
        case inspect.StructType():
            for item in kind.fields:
                where = f"{path}.{item.encode_name}".strip(".")
                yield where, item.type
                yield from keys(item.type, where)


ALL_KEYS = dict(keys(inspect.type_info(Config)))


def test_every_key_has_a_description() -> None:
    assert len(ALL_KEYS) > 150
    for path, kind in ALL_KEYS.items():
        assert isinstance(kind, inspect.Metadata), path
        description = (kind.extra_json_schema or {}).get("description", "")
        assert description.endswith("."), f"{path} has no sentence that describes it"


def test_the_names_that_others_rely_on_are_there() -> None:
    for path in (
        "loki.url",
        "relay.listen.relp",
        "relay.listen.syslog_tcp",
        "relay.listen.push",
        "relay.listen.http",
        "relay.spool.path",
        "relay.spool.max_size",
        "labels.static",
        "labels.relabel_configs",
    ):
        assert path in ALL_KEYS


def test_the_schema_is_valid_and_has_each_key_with_meaning_and_default() -> None:
    schema = json_schema()
    jsonschema.Draft202012Validator.check_schema(schema)
    loki = schema["$defs"]["Loki"]["properties"]
    assert loki["timeout"]["default"] == "30s"
    assert loki["connections"] == {
        "description": "Maximum number of concurrent pushes.",
        "type": "integer",
        "minimum": 1,
        "maximum": 32,
        "default": 4,
    }
    assert schema["$defs"]["Loki"]["required"] == ["url"]
    assert schema["$defs"]["Spool"]["properties"]["max_size"]["default"] == "2GiB"


@pytest.mark.parametrize("full", [False, True])
def test_the_schema_takes_what_the_loader_takes(full: bool) -> None:
    config, _ = parse(
        f"loki:\n  url: {URL}\nlisteners: {{udp: {{}}, tls: {{}}}}\n"
        "relay: {listen: {push: ':3500'}, push: {anyone: true}}\n"
    )
    jsonschema.validate(to_plain(config, full=full), json_schema())


@pytest.mark.parametrize(
    "wrong",
    [
        {"loki": {}},
        {"loki": {"url": URL, "tenat": "x"}},
        {"loki": {"url": URL, "connections": 99}},
        {"loki": {"url": URL}, "labels": {"level": "loud"}},
        {"loki": {"url": URL}, "labels": {"include": "host"}},
        {},
    ],
)
def test_the_schema_refuses_what_the_loader_refuses(wrong: dict[str, Any]) -> None:
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(wrong, json_schema())
    with pytest.raises(ConfigError):
        parse(yaml.safe_dump(wrong))


def test_a_configuration_of_defaults_is_valid() -> None:
    text = yaml.safe_dump(to_plain(Config(loki=Loki(url=URL)), full=True))
    assert parse(text).config == Config(loki=Loki(url=URL))
