"""Recipes written out: as text to read and paste from, as Markdown, as JSON. Pure."""

import json
from collections.abc import Iterable, Iterator

from appliance.sources.recipe import Recipe, Variant

_HOW_TO_SWITCH_ON = "in appliance.yaml (`appliance config edit`, or the console's settings)"


def as_text(recipe: Recipe) -> str:
    """Return a recipe for a terminal; the lines to paste stand alone and at the margin."""
    return "\n".join(_text(recipe)).rstrip() + "\n"


def _text(recipe: Recipe) -> Iterator[str]:
    kind = recipe.kind
    yield from (f"== {kind.title} ({kind.name})", "", *_wrapped(kind.summary), "")
    if recipe.first:
        yield from (f"Switch on one of these first, {_HOW_TO_SWITCH_ON}:", "", *recipe.first, "")
    for variant in recipe.variants:
        yield from (f"# {variant.title}", "", *variant.lines, "")
        if variant.note:
            yield from (*_wrapped(variant.note, "  "), "")
    if recipe.better:
        yield from (f"Better for this kind, {_HOW_TO_SWITCH_ON}:", "", *recipe.better, "")
    for caption, items in _lists(recipe):
        yield caption
        for item in items:
            yield from _wrapped(item, "  - ")
        yield ""


def as_markdown(recipe: Recipe) -> str:
    """Return a recipe as a page in Markdown."""
    return "\n".join(_markdown(recipe)).rstrip() + "\n"


def _markdown(recipe: Recipe) -> Iterator[str]:
    kind = recipe.kind
    yield from (f"# {kind.title}", "", kind.summary, "")
    if recipe.first:
        yield from ("Switch on one of these first, in `appliance.yaml`:", "", *_fenced(recipe.first, "yaml"), "")
    for variant in recipe.variants:
        yield from (f"## {variant.title}", "", *_fenced(variant.lines, variant.language), "")
        if variant.note:
            yield from (variant.note, "")
    if recipe.better:
        yield from ("Better for this kind, in `appliance.yaml`:", "", *_fenced(recipe.better, "yaml"), "")
    for caption, items in _lists(recipe):
        yield from (f"**{caption}**", "", *(f"- {item}" for item in items), "")


def as_json(recipes: Iterable[Recipe]) -> str:
    """Return recipes as a JSON list."""
    return json.dumps([_plain(recipe) for recipe in recipes], indent=2, ensure_ascii=False) + "\n"


def _plain(recipe: Recipe) -> dict[str, object]:
    kind = recipe.kind
    return {
        "kind": kind.name,
        "title": kind.title,
        "summary": kind.summary,
        "switch_on_first": list(recipe.first),
        "variants": [_plain_variant(variant) for variant in recipe.variants],
        "better": list(recipe.better),
        "check": list(kind.check),
        "traps": list(kind.traps),
        "sources": [{"where": source.where, "seen": source.seen} for source in kind.sources],
    }


def _plain_variant(variant: Variant) -> dict[str, object]:
    return {
        "title": variant.title,
        "transport": variant.transport,
        "language": variant.language,
        "lines": list(variant.lines),
        "note": variant.note,
    }


def _lists(recipe: Recipe) -> Iterator[tuple[str, list[str]]]:
    kind = recipe.kind
    yield "How to check:", list(kind.check)
    if kind.traps:
        yield "Known traps:", list(kind.traps)
    yield "Sources:", [f"{source.where} ({source.seen})" for source in kind.sources]


def _fenced(lines: Iterable[str], language: str) -> Iterator[str]:
    yield from (f"```{language}", *lines, "```")


def _wrapped(text: str, first: str = "", width: int = 100) -> list[str]:
    import textwrap

    return textwrap.wrap(
        text,
        width,
        initial_indent=first,
        subsequent_indent=" " * len(first),
        break_long_words=False,
        break_on_hyphens=False,
    )
