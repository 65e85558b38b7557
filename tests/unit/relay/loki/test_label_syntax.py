"""Stream labels as text: read as Loki reads them, written as Go quotes them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from appliance.relay.loki.label_syntax import LabelSyntaxError, format_labels, parse_labels, quote

NAMES = st.from_regex(r"[a-zA-Z_][a-zA-Z0-9_]{0,8}", fullmatch=True)
VALUES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ('{job="syslog"}', {"job": "syslog"}),
        ('{b="2", a="1"}', {"a": "1", "b": "2"}),
        ('{b="2",a="1",}', {"a": "1", "b": "2"}),
        ("{}", {}),
        ('{a=""}', {}),
        ('{a="",b="x"}', {"b": "x"}),
        ("{ a = 'it is' , b=`raw\\n` }", {"a": "it is", "b": "raw\\n"}),
        (r'{a="tab\there \"quoted\" \\ \x41\101\u00e9\U0001F600"}', {"a": 'tab\there "quoted" \\ AAé😀'}),
        (r'{a="\xc3\xa9 \xff"}', {"a": "é �"}),
        ("{a=\"1\" # a comment\n, b='2'}", {"a": "1", "b": "2"}),
        ('up{a="1"}', {"__name__": "up", "a": "1"}),
        ('{a="x}y,z=\\"q\\""}', {"a": 'x}y,z="q"'}),
    ],
)
def test_label_sets_are_read_as_prometheus_reads_them(text: str, labels: dict[str, str]) -> None:
    assert parse_labels(text) == labels


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{bad-name="x"}', "1:5: parse error: unexpected character inside braces: '-'"),
        ("", "1:1: parse error: unexpected end of input"),
        ("{", "1:2: parse error: unexpected end of input inside braces"),
        ('{a="x"', "1:7: parse error"),
        ('{a="x"} b', "1:9: parse error"),
        ('{a="x" b="y"}', "1:8: parse error"),
        ('{a="x}', "1:4: parse error: unterminated quoted string"),
        ('{a="\n"}', "1:4: parse error: unterminated quoted string"),
        (r'{a="\q"}', "parse error: unknown escape sequence"),
        (r'{a="\'"}', "parse error: unknown escape sequence"),
        (r'{a="\x4"}', "parse error: illegal character in escape sequence"),
        (r'{a="\ud800"}', "parse error: escape sequence is an invalid Unicode code point"),
        (r'{a="\777"}', "parse error: escape sequence is no byte"),
        ('{a="1", a="2"}', "1:9: parse error: duplicate label name"),
        ('{1a="x"}', "1:2: parse error"),
        ('{a~"x"}', "1:3: parse error: unexpected character inside braces: '~'"),
        ('{é="x"}', "1:2: parse error"),
        ("{a=x}", "1:4: parse error"),
    ],
)
def test_what_is_no_label_set_is_refused_with_lokis_words_and_place(text: str, message: str) -> None:
    with pytest.raises(LabelSyntaxError) as refused:
        parse_labels(text)
    assert message in str(refused.value)


@pytest.mark.parametrize(
    ("value", "quoted"),
    [
        ("plain", '"plain"'),
        ('a"b\\c', r'"a\"b\\c"'),
        ("\a\b\f\n\r\t\v", r'"\a\b\f\n\r\t\v"'),
        ("\x00\x1b\x7f", r'"\x00\x1b\x7f"'),
        ("é 世界 😀", '"é 世界 😀"'),
        ("\u00a0\u200b\ufeff\U000e0001", r'"\u00a0\u200b\ufeff\U000e0001"'),
        ("\ud800", '"\N{REPLACEMENT CHARACTER}"'),
    ],
)
def test_values_are_quoted_as_gos_percent_q_does(value: str, quoted: str) -> None:
    assert quote(value) == quoted


@given(st.dictionaries(NAMES, VALUES, max_size=6))
def test_what_is_written_is_read_back(labels: dict[str, str]) -> None:
    assert parse_labels(format_labels(labels)) == labels


@given(st.dictionaries(NAMES, VALUES, max_size=4))
def test_every_spelling_of_a_stream_becomes_the_same_one(labels: dict[str, str]) -> None:
    shuffled = "{" + ",".join(f" {name} = {quote(labels[name])}" for name in sorted(labels, reverse=True)) + " }"
    assert format_labels(parse_labels(shuffled)) == format_labels(labels)


@given(st.text(max_size=40) | st.from_regex(r"\{([a-z]{1,2}=[\"'`]?[^\"]{0,4}[\"'`]?,?){0,3}\}?", fullmatch=True))
def test_any_text_is_either_read_or_refused(text: str) -> None:
    try:
        labels = parse_labels(text)
    except LabelSyntaxError:
        return
    assert parse_labels(format_labels(labels)) == labels
