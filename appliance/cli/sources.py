"""`appliance sources [DEVICE]`: the exact lines to paste into the devices that send logs."""

from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from appliance.config.load import DEFAULT_PATH, load

if TYPE_CHECKING:
    from appliance.sources.recipe import Recipe

EXAMPLE = "Example: appliance sources vyos"


class Device(StrEnum):
    """Kinds of devices that there are lines for."""

    VYOS = "vyos"
    XCP_NG = "xcp-ng"
    TRUENAS = "truenas"
    LINUX = "linux"
    KUBERNETES = "kubernetes"


def command(
    device: Annotated[Device | None, typer.Argument(help="The kind of device; all when absent.")] = None,
    address: Annotated[
        str, typer.Option("--address", help="Address or name by which devices reach this forwarder; found when absent.")
    ] = "",
    config: Annotated[Path, typer.Option("--config", "-c", help="The configuration.", metavar="FILE")] = DEFAULT_PATH,
) -> None:
    """Show the exact lines to paste into devices, with this forwarder's address and ports."""
    from dataclasses import replace

    from appliance.host.addresses import own_addresses
    from appliance.sources.devices import RECIPES
    from appliance.sources.recipe import forwarder

    at = forwarder(load(config), own_addresses())
    if address:
        at = replace(at, address=address)
    for name in [device.value] if device else RECIPES:
        typer.echo(as_text(RECIPES[name](at)))


def as_text(recipe: "Recipe") -> str:
    """Return a recipe for people; the lines to paste stand alone and at the margin."""
    lines = [f"== {recipe.device}: {recipe.summary}", ""]
    for missing in recipe.missing:
        lines += ["Switch on first, in the configuration (`appliance config edit`):", "", missing, ""]
    for variant in recipe.variants:
        lines += [f"# {variant.title}", "", *variant.lines, ""]
        if variant.note:
            lines += [f"  {variant.note}", ""]
    lines += [f"  {note}" for note in recipe.notes]
    return "\n".join(lines).rstrip() + "\n"
