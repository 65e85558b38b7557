"""Relabeling does what Prometheus does: its table of cases, and a plain reference over random rules."""

import hashlib
import re
from collections.abc import Sequence

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from appliance.config.model import RelabelRule
from appliance.errors import ApplianceError
from appliance.relay.labels.relabel import compile_rules, go_lower, go_upper

Labels = dict[str, str]


def rule(**fields: object) -> RelabelRule:
    return RelabelRule(**fields)  # type: ignore[arg-type]


def run(labels: Labels, *rules: RelabelRule) -> Labels | None:
    return compile_rules(rules).apply(labels)


# ---- the cases of Prometheus' own table (model/relabel/relabel_test.go), one each -----------------

ABC = {"a": "foo", "b": "bar", "c": "baz"}
PORTS = {"__tmp_port": "1234", "__port1": "1234", "__port2": "5678"}
NAMED = {"a": "some-name-value"}
TAGS = {"__meta_sd_tags": "path:/secret,job:some-job,label:foo=bar"}

CASES: list[tuple[str, Labels, list[RelabelRule], Labels | None]] = [
    (
        "a group is used twice",
        ABC,
        [rule(source_labels=["a"], regex="f(.*)", target_label="d", replacement="ch${1}-ch${1}")],
        ABC | {"d": "choo-choo"},
    ),
    (
        "a rule sees what the one before it wrote",
        ABC,
        [
            rule(source_labels=["a", "b"], regex="f(.*);(.*)r", target_label="a", replacement="b${1}${2}m"),
            rule(source_labels=["c", "a"], regex="(b).*b(.*)ba(.*)", target_label="d", replacement="$1$2$2$3"),
        ],
        {"a": "boobam", "b": "bar", "c": "baz", "d": "boooom"},
    ),
    (
        "drop ends it",
        {"a": "foo"},
        [
            rule(source_labels=["a"], regex=".*o.*", action="drop"),
            rule(source_labels=["a"], regex="f(.*)", target_label="d", replacement="ch$1-ch$1"),
        ],
        None,
    ),
    (
        "drop looks at its sources only",
        {"a": "foo", "b": "bar"},
        [rule(source_labels=["b"], regex="foo", action="drop")],
        {"a": "foo", "b": "bar"},
    ),
    (
        "the middle is cut out",
        {"a": "abc"},
        [rule(source_labels=["a"], regex=".*(b).*", target_label="d")],
        {"a": "abc", "d": "b"},
    ),
    ("drop without a match", {"a": "foo"}, [rule(source_labels=["a"], regex="no-match", action="drop")], {"a": "foo"}),
    (
        "both ends of an alternative are anchored",
        {"a": "foo"},
        [rule(source_labels=["a"], regex="f|o", action="drop")],
        {"a": "foo"},
    ),
    ("keep without a match", {"a": "foo"}, [rule(source_labels=["a"], regex="no-match", action="keep")], None),
    ("keep with a match", {"a": "foo"}, [rule(source_labels=["a"], regex="f.*", action="keep")], {"a": "foo"}),
    (
        "no match, no replacement",
        {"a": "boo"},
        [rule(source_labels=["a"], regex="f", target_label="b", replacement="bar")],
        {"a": "boo"},
    ),
    (
        "the documented hash",
        ABC,
        [rule(source_labels=["c"], target_label="d", action="hashmod", modulus=1000)],
        ABC | {"d": "976"},
    ),
    (
        "the hash of two lines",
        {"a": "foo\nbar"},
        [rule(source_labels=["a"], target_label="b", action="hashmod", modulus=1000)],
        {"a": "foo\nbar", "b": "734"},
    ),
    (
        "labelmap with a prefix",
        {"a": "foo", "b1": "bar", "b2": "baz"},
        [rule(regex="(b.*)", replacement="bar_${1}", action="labelmap")],
        {"a": "foo", "b1": "bar", "b2": "baz", "bar_b1": "bar", "bar_b2": "baz"},
    ),
    (
        "labelmap out of meta labels",
        {"a": "foo", "__meta_my_bar": "aaa", "__meta_my_baz": "bbb", "__meta_other": "ccc"},
        [rule(regex="__meta_(my.*)", replacement="${1}", action="labelmap")],
        {
            "a": "foo",
            "__meta_my_bar": "aaa",
            "__meta_my_baz": "bbb",
            "__meta_other": "ccc",
            "my_bar": "aaa",
            "my_baz": "bbb",
        },
    ),
    (
        "the target's name is a group",
        NAMED,
        [rule(source_labels=["a"], regex="some-([^-]+)-([^,]+)", replacement="${2}", target_label="${1}")],
        NAMED | {"name": "value"},
    ),
    (
        "a group that is not there makes an empty value",
        NAMED,
        [rule(source_labels=["a"], regex="some-([^-]+)-([^,]+)", replacement="${3}", target_label="${1}")],
        NAMED,
    ),
    (
        "invalid target names are no-ops",
        {"a": "some-name-0"},
        [
            rule(source_labels=["a"], regex="some-([^-]+)-([^,]+)", replacement="${1}", target_label="${3}"),
            rule(source_labels=["a"], regex="some-([^-]+)-([^,]+)", replacement="${1}", target_label="${2}"),
            rule(source_labels=["a"], regex="some-([^-]+)(-[^,]+)", replacement="${1}", target_label="${2}"),
        ],
        {"a": "some-name-0"},
    ),
    (
        "tags taken apart",
        TAGS,
        [
            rule(source_labels=["__meta_sd_tags"], regex="(?:.+,|^)path:(/[^,]+).*", target_label="__metrics_path__"),
            rule(source_labels=["__meta_sd_tags"], regex="(?:.+,|^)job:([^,]+).*", target_label="job"),
            rule(
                source_labels=["__meta_sd_tags"],
                regex="(?:.+,|^)label:([^=]+)=([^,]+).*",
                replacement="${2}",
                target_label="${1}",
            ),
        ],
        TAGS | {"__metrics_path__": "/secret", "job": "some-job", "foo": "bar"},
    ),
    (
        "a label dropped, written again and kept by (prometheus#12283)",
        {"__meta_name": "foo", "__meta_port": "9091"},
        [
            rule(regex="^__meta_name$", action="labeldrop"),
            rule(source_labels=["__meta_port"], regex="(.+)", replacement="metrics", target_label="__meta_name"),
            rule(source_labels=["__meta_name"], regex="^metrics$", action="keep"),
        ],
        {"__meta_name": "metrics", "__meta_port": "9091"},
    ),
    (
        "labelkeep",
        {"a": "foo", "b1": "bar", "b2": "baz"},
        [rule(regex="(b.*)", action="labelkeep")],
        {"b1": "bar", "b2": "baz"},
    ),
    ("labeldrop", {"a": "foo", "b1": "bar", "b2": "baz"}, [rule(regex="(b.*)", action="labeldrop")], {"a": "foo"}),
    (
        "case",
        {"foo": "bAr123Foo"},
        [
            rule(source_labels=["foo"], action="uppercase", target_label="up"),
            rule(source_labels=["foo"], action="lowercase", target_label="low"),
        ],
        {"foo": "bAr123Foo", "low": "bar123foo", "up": "BAR123FOO"},
    ),
    (
        "keepequal, equal",
        PORTS,
        [rule(source_labels=["__tmp_port"], action="keepequal", target_label="__port1")],
        PORTS,
    ),
    (
        "keepequal, different",
        PORTS,
        [rule(source_labels=["__tmp_port"], action="keepequal", target_label="__port2")],
        None,
    ),
    ("dropequal, equal", PORTS, [rule(source_labels=["__tmp_port"], action="dropequal", target_label="__port1")], None),
    (
        "dropequal, different",
        PORTS,
        [rule(source_labels=["__tmp_port"], action="dropequal", target_label="__port2")],
        PORTS,
    ),
]


@pytest.mark.parametrize(("labels", "rules", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_the_table_of_prometheus(labels: Labels, rules: list[RelabelRule], expected: Labels | None) -> None:
    given_labels = dict(labels)
    assert run(labels, *rules) == expected
    assert labels == given_labels, "the input must not change"


# ---- what the table does not say -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("replacement", "expected"),
    [
        ("$1x", ""),  # the name is `1x`: longest run of letters, digits and _
        ("${1}x", "ax"),
        ("$0", "a-b"),
        ("$$1", "$1"),
        ("$", "$"),
        ("a$", "a$"),
        ("${", "${"),
        ("${}", "${}"),
        ("${1", "${1"),
        ("$-1", "$-1"),
        ("$word", "b"),
        ("${word}s", "bs"),
        ("$01", ""),
        ("$9$1", "a"),
        ("$1$2", "ab"),
        ("é$1-é", "éa-é"),
        ("$1é", ""),  # é is a letter
    ],
)
def test_references_expand_as_in_go(replacement: str, expected: str) -> None:
    done = run(
        {"v": "a-b", "t": "was"},
        rule(source_labels=["v"], regex="(.)-(?P<word>.)", target_label="t", replacement=replacement),
    )
    assert done == {"v": "a-b"} | ({"t": expected} if expected else {})


def test_a_dot_matches_a_line_feed_and_the_end_is_the_end() -> None:
    dropped = rule(source_labels=["v"], regex="a.b", action="drop")
    assert run({"v": "a\nb"}, dropped) is None
    assert run({"v": "a\nb\n"}, dropped) is not None


def test_missing_sources_are_empty_and_joined() -> None:
    assert run({"a": "x"}, rule(source_labels=["a", "no", "b"], separator="/", target_label="t")) == {
        "a": "x",
        "t": "x//",
    }


def test_an_empty_result_deletes_the_target() -> None:
    assert run({"a": "x", "t": "y"}, rule(target_label="t", replacement="")) == {"a": "x"}


def test_labels_with_empty_values_are_no_labels() -> None:
    assert run({"a": "", "b": "x"}, rule(source_labels=["b"], target_label="c")) == {"b": "x", "c": "x"}


def test_labelmap_never_makes_a_name_that_loki_refuses() -> None:
    assert run({"__sd_x": "1"}, rule(regex="__sd_(.*)", replacement="9$1", action="labelmap")) == {"__sd_x": "1"}


def test_case_is_changed_character_by_character() -> None:
    assert go_upper("straße ᾳ ﬁ é") == "STRASSE".replace("SS", "ß") + " ᾼ ﬁ É"
    assert go_lower("ΑΣ İ É") == "ασ i é"


def test_sources_name_what_the_rules_read() -> None:
    reads = [
        rule(source_labels=["a", "b"], target_label="t"),
        rule(source_labels=["c"], target_label="d", action="keepequal"),
        rule(regex="x.*", action="labeldrop"),
    ]
    assert compile_rules(reads).sources == frozenset("abcd")
    assert compile_rules([rule(regex="x(.*)", action="labelmap")]).sources is None
    assert compile_rules([]).sources == frozenset()


def test_an_expression_that_re2_refuses_names_the_rule() -> None:
    with pytest.raises(ApplianceError, match=r"relabel_configs\[1\]\.regex"):
        compile_rules([rule(target_label="a"), rule(regex="(?=x)", target_label="a")])


def test_an_expression_that_backtracks_elsewhere_takes_linear_time() -> None:
    assert run({"a": "a" * 20000}, rule(source_labels=["a"], regex="(a*)*b", action="keep")) is None


# ---- against a plain reference over random rules --------------------------------------------------
# The reference uses Python's re on expressions that mean the same to both, and expands by hand.


def reference(labels: Labels, rules: Sequence[RelabelRule]) -> Labels | None:
    base = {name: value for name, value in sorted(labels.items()) if value}
    written: Labels = {}

    def lookup(name: str) -> str:
        return written[name] if name in written else base.get(name, "")

    def put(name: str, value: str) -> None:
        if value == "":
            written.pop(name, None)
            base.pop(name, None)
        else:
            written[name] = value

    for one in rules:
        value = one.separator.join(lookup(name) for name in one.source_labels)
        everything = [item for item in base.items() if item[0] not in written] + list(written.items())
        match = re.match(rf"\A(?:{one.regex})\Z", value, re.DOTALL)
        if one.action == "keep" and not match:
            return None
        if one.action == "drop" and match:
            return None
        if one.action == "keepequal" and lookup(one.target_label or "") != value:
            return None
        if one.action == "dropequal" and lookup(one.target_label or "") == value:
            return None
        if one.action == "replace" and match:
            name = by_hand(one.target_label or "", match)
            if re.fullmatch("[a-zA-Z_][a-zA-Z_0-9]*", name):
                put(name, by_hand(one.replacement, match))
        if one.action == "hashmod":
            number = int(hashlib.md5(value.encode()).hexdigest()[16:], 16)
            put(one.target_label or "", str(number % (one.modulus or 1)))
        if one.action == "lowercase":
            put(one.target_label or "", value.lower())
        if one.action == "uppercase":
            put(one.target_label or "", value.upper())
        if one.action in ("labelmap", "labeldrop", "labelkeep"):
            for name, content in everything:
                found = re.match(rf"\A(?:{one.regex})\Z", name, re.DOTALL)
                if one.action == "labelmap" and found:
                    new = by_hand(one.replacement, found)
                    if re.fullmatch("[a-zA-Z_][a-zA-Z_0-9]*", new):
                        put(new, content)
                if (one.action == "labeldrop" and found) or (one.action == "labelkeep" and not found):
                    put(name, "")
    return base | written


def by_hand(template: str, match: "re.Match[str]") -> str:
    """regexp.Expand, one character after the other."""
    out, at = "", 0
    while at < len(template):
        if template[at] != "$":
            out += template[at]
            at += 1
            continue
        at += 1
        if template[at : at + 1] == "$":
            out += "$"
            at += 1
            continue
        braces = template[at : at + 1] == "{"
        start = end = at + braces
        while end < len(template) and (template[end].isalnum() or template[end] == "_"):
            end += 1
        if end == start or (braces and template[end : end + 1] != "}"):
            out += "$"
            continue
        name = template[start:end]
        at = end + braces
        if name.isdigit() and not (len(name) > 1 and name[0] == "0"):
            if int(name) <= (match.re.groups or 0):
                out += match.group(int(name)) or ""
        elif name in match.re.groupindex:
            out += match.group(name) or ""
    return out


names = st.sampled_from(["a", "b", "host", "__meta_x", "__meta_y", "b1"])
values = st.text(alphabet="ab.-\n1;xé€", max_size=6)
pieces = st.sampled_from(
    [
        "a",
        "b",
        ".",
        ".*",
        "(a*)",
        "(.)",
        "(?P<g>b?)",
        "|",
        "x+",
        "[^a]",
        "(a|b)",
        "(?:b)",
        r"\d",
        "_",
        "(.*)",
        ";",
        "__meta_",
    ]
)
regexes = st.lists(pieces, max_size=5).map("".join).filter(lambda text: text.count("?P<g>") < 2)
templates = st.lists(
    st.sampled_from(["$1", "${1}", "${2}", "$g", "${g}", "$$", "$", "x", "_", "a", "$0", "é", "${", "}", "$9"]),
    max_size=4,
).map("".join)


@st.composite
def rules(draw: st.DrawFn) -> RelabelRule:
    action = draw(
        st.sampled_from(
            [
                "replace",
                "replace",
                "keep",
                "drop",
                "keepequal",
                "dropequal",
                "hashmod",
                "labelmap",
                "labeldrop",
                "labelkeep",
                "lowercase",
                "uppercase",
            ]
        )
    )
    return rule(
        action=action,
        source_labels=draw(st.lists(names, max_size=3)),
        separator=draw(st.sampled_from([";", "", "-", "é"])),
        regex=draw(regexes) if draw(st.booleans()) else "(.*)",
        target_label=draw(templates.filter(bool) if action == "replace" and draw(st.booleans()) else names),
        replacement=draw(templates),
        modulus=draw(st.integers(1, 2**64)),
    )


@settings(max_examples=600, deadline=None)
@given(st.dictionaries(names, values, max_size=5), st.lists(rules(), max_size=5))
@example({"b": "1", "b1": "2"}, [rule(regex="b1?", replacement="host", action="labelmap")])
def test_random_rules_do_what_the_plain_reference_does(labels: Labels, some_rules: list[RelabelRule]) -> None:
    assert run(labels, *some_rules) == reference(labels, some_rules)
