"""The one table of recipes: every module of `recipes/`, found by looking; command and console read it.

To add a kind of device, write one file there that defines `KIND`; its order is that of `Kind.title`.
"""

import functools
import importlib
import pkgutil

from appliance.sources import recipes
from appliance.sources.recipe import Kind


@functools.cache
def kinds() -> dict[str, Kind]:
    """Return every kind by its name, those of the user's own installation first."""
    found = [
        importlib.import_module(f"{recipes.__name__}.{module.name}").KIND
        for module in pkgutil.iter_modules(recipes.__path__)
        if not module.name.startswith("_")
    ]
    for kind in found:
        assert isinstance(kind, Kind), kind
    return {kind.name: kind for kind in sorted(found, key=lambda kind: (_rank(kind), kind.title.lower()))}


_FIRST = ("vyos", "xcp-ng", "truenas", "linux", "kubernetes")


def _rank(kind: Kind) -> int:
    return _FIRST.index(kind.name) if kind.name in _FIRST else len(_FIRST)
