"""What every section of the configuration is: a frozen mapping with a fixed set of keys."""

import msgspec


class Section(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A mapping of the file with a fixed set of keys."""
