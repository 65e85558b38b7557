"""A random walk through the settings that an administrator changes, as values: which, in which order, to what.

Pure: it changes a configuration (a dictionary as in appliance.yaml); applying it is the test's.
"""

import random
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import dataclass
from typing import Any

TCP_PORTS, RELP_PORTS, UDP_PORTS, TLS_PORT = (514, 5140), (2514, 2600), (514, 5514), 6514
NAMES = ("forwarder", "logs-a", "logs-b", "logs-c")
ZONES = ("UTC", "Europe/Paris", "Asia/Kathmandu", "America/St_Johns")

Config = dict[str, Any]


@dataclass(frozen=True)
class Change:
    """What one apply changes: the configuration as it is then, in words, and whether certificates are renewed first."""

    words: str
    config: Config
    renews: bool = False


class Walk:
    """Changes after one another; two walks with the same seed are the same."""

    def __init__(self, seed: int, start: Config, loki_right: str, loki_wrong: str) -> None:
        self._random = random.Random(seed)
        self.config = deepcopy(start)
        self._loki = (loki_right, loki_wrong)

    def changes(self, count: int) -> Iterator[Change]:
        """Yield so many: RELP off, on and to another port come first, alone; then two settings at a time.

        Ten of them change everything once, and twice what has to come back.
        """
        first: tuple[Callable[[], str], ...] = (self._relp_off, self._relp_on, self._relp_to_another_port)
        deck: list[Callable[[], str]] = []
        for step in range(count):
            if step < len(first):
                chosen = [first[step]]
            else:
                if len(deck) < 2:
                    deck = self._deck()
                chosen = [deck.pop(), deck.pop()]
            words = ", ".join(setting() for setting in chosen)
            yield Change(words, deepcopy(self.config), renews=self._certificate in chosen)

    def back(self) -> Change:
        """Return the change after which all that waits can leave: RELP is on and Loki's address right."""
        self.config["loki"]["url"] = self._loki[0]
        self._listeners.setdefault("relp", {"port": RELP_PORTS[0]})
        return Change("RELP on and Loki's address right", deepcopy(self.config))

    def _deck(self) -> list[Callable[[], str]]:
        deck: list[Callable[[], str]] = [
            self._relp, self._tls, self._tls, self._tcp, self._udp, self._limits, self._certificate, self._labels,
            self._spool, self._queue, self._loki_address, self._loki_address, self._host_name, self._time_zone,
        ]  # fmt: skip
        self._random.shuffle(deck)
        # What comes twice is not changed and changed back by one apply.
        while any(first == second for first, second in zip(deck[::2], deck[1::2], strict=True)):
            self._random.shuffle(deck)
        return deck

    @property
    def _listeners(self) -> Config:
        listeners: Config = self.config["listeners"]
        return listeners

    def _other(self, values: tuple[Any, ...], now: Any) -> Any:
        return self._random.choice([value for value in values if value != now])

    def _relp_off(self) -> str:
        del self._listeners["relp"]
        return "RELP off"

    def _relp_on(self) -> str:
        self._listeners["relp"] = {"port": RELP_PORTS[0]}
        return "RELP on"

    def _relp_to_another_port(self) -> str:
        relp = self._listeners["relp"]
        relp["port"] = self._other(RELP_PORTS, relp["port"])
        return f"RELP to port {relp['port']}"

    def _relp(self) -> str:
        if "relp" not in self._listeners:
            return self._relp_on()
        return self._random.choice((self._relp_off, self._relp_to_another_port))()

    def _tls(self) -> str:
        if self._listeners.pop("tls", None) is not None:
            return "TLS off"
        self._listeners["tls"] = {"port": TLS_PORT}
        return "TLS on"

    def _tcp(self) -> str:
        tcp = self._listeners["tcp"]
        tcp["port"] = self._other(TCP_PORTS, tcp["port"])
        return f"TCP to port {tcp['port']}"

    def _udp(self) -> str:
        udp = self._listeners["udp"]
        udp["port"] = self._other(UDP_PORTS, udp["port"])
        return f"UDP to port {udp['port']}"

    def _limits(self) -> str:
        bounds = {
            "max": self._random.randint(100, 4000),
            "per_sender": self._random.randint(50, 100),
            "idle_timeout": f"{self._random.randint(5, 60)}m",
            "max_message": f"{self._random.choice((8, 64, 256))}KiB",
        }
        self.config.setdefault("relay", {})["connections"] = bounds
        self._listeners["tcp"]["max_connections"] = self._random.randint(20, 4000)
        return f"bounds of connections {bounds}"

    def _certificate(self) -> str:
        return "certificate renewed"

    def _labels(self) -> str:
        site = f"site{self._random.randrange(1000)}"
        self.config["labels"] = {"static": {"job": "syslog", "site": site}}
        return f"label site={site}"

    def _spool(self) -> str:
        size = f"{self._random.randint(300, 900)}MiB"
        self.config.setdefault("relay", {})["spool"] = {"max_size": size}
        return f"spool of {size}"

    def _queue(self) -> str:
        size = f"{self._random.randint(300, 900)}MiB"
        self._listeners["queue"] = {"max_disk": size}
        return f"{size} between listeners and relay"

    def _loki_address(self) -> str:
        right, wrong = self._loki
        back = self.config["loki"]["url"] == wrong
        self.config["loki"]["url"] = right if back else wrong
        return "Loki's address right" if back else "Loki's address wrong"

    def _host_name(self) -> str:
        system = self.config.setdefault("system", {})
        system["hostname"] = self._other(NAMES, system.get("hostname", NAMES[0]))
        return f"named {system['hostname']}"

    def _time_zone(self) -> str:
        system = self.config.setdefault("system", {})
        system["timezone"] = self._other(ZONES, system.get("timezone", ZONES[0]))
        return f"time zone {system['timezone']}"
