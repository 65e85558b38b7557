"""Promtail's configuration, and the rsyslog file that fed it, as ours.

`convert` is the entrance. Pure: texts to a text and notes. Nothing is dropped silently: each setting
is taken over, or has a note with its line that says what became of it. Secrets are not copied.
Source: loki@v3.5.12, clients/pkg/promtail/{client,scrapeconfig}/.
"""

from appliance.config.promtail.convert import Conversion, Given, convert, convert_all
from appliance.config.promtail.notes import Fate, Note

__all__ = ["Conversion", "Fate", "Given", "Note", "convert", "convert_all"]
