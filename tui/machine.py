"""What the console asks of the machine: one object, so that tests and demonstrations can bring their own.

Every method may block and is called from worker threads, never from the interface's own.
"""

import crypt
import os
import secrets as random
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import msgspec

from appliance.config.load import load, read
from appliance.config.model import Config, Loki
from appliance.errors import ApplianceError
from appliance.host.apply import Host, Plan, Result, Step, apply, confirm, host_at, make_plan, revert_unconfirmed
from appliance.host.journal import said_once
from appliance.host.layout import SECRETS, TLS
from appliance.host.status.facts import Facts
from appliance.host.status.gather import gather
from appliance.relay.probe.check import Finding, check_loki
from tui.found import Interface, gateways, interfaces

if TYPE_CHECKING:
    from appliance.host.tls.presented import Presented

DRAFT = "/etc/appliance/setup.yaml"
CONFIRM_WITHIN = 60.0


class Machine:
    """The machine at a root; `/` is this one."""

    read_back_within = 20.0  # seconds until lines that were pushed must be found

    def __init__(self, root: Path | str = "/") -> None:
        self.host: Host = host_at(root)

    # ---- looking ----------------------------------------------------------------------------

    @property
    def draft_path(self) -> Path:
        return self.host.layout.at(DRAFT)

    @property
    def config_path(self) -> Path:
        return self.host.layout.config

    def now(self) -> float:
        """Return Unix seconds."""
        return time.time()

    def facts(self) -> Facts:
        return gather(self.host.layout)

    def interfaces(self) -> list[Interface]:
        return interfaces(self.host.readers)

    def journal(self, unit: str, lines: int = 400) -> str:
        """Return the last lines of a unit's journal, of the whole machine when it is empty."""
        which = ["--unit", unit] if unit else []
        answer = self.host.readers(
            ["journalctl", *which, "--no-pager", "--output=short-iso", f"--lines={lines}"], timeout=15
        )
        return (
            "\n".join(said_once(answer.out.splitlines()))
            if answer.ok
            else f"the journal cannot be read: {answer.reason}"
        )

    def authority(self) -> str:
        """Return the certificate of our own authority for senders to trust, with its fingerprint."""
        from appliance.host.tls.judge import describe

        try:
            pem = (self.host.layout.tls / "ca.crt").read_bytes()
        except OSError:
            return "There is none yet: it is made when a listener uses TLS (settings, Listeners)."
        facts = describe(pem)
        return (
            f"TLS senders have to trust this CA. Valid until {facts.not_after:%Y-%m-%d}; SHA-256\n"
            f"{facts.fingerprint}\n\n{pem.decode()}\n`appliance tls export-ca` prints it, for instance over SSH."
        )

    # ---- trying -----------------------------------------------------------------------------

    def test_network(self, config: Config) -> Iterator[Finding]:
        """Yield how the network is now, and whether what is to be used answers."""
        from appliance.host.self_test import check_name_servers

        links = self.interfaces()
        if not any(link.up for link in links):
            yield Finding("link", False, "no network card is connected", "connect the VM's network interface")
            return
        yield Finding("link", True, ", ".join(link.name for link in links if link.up) + " connected")
        addresses = [address for link in links for address in link.addresses]
        if addresses:
            yield Finding("address", True, ", ".join(addresses[:3]))
        else:
            yield Finding("address", None, "none yet: DHCP offers none", "choose static, or check the DHCP server")
        ipv4 = config.system.network.ipv4
        for gateway in [ipv4.gateway] if ipv4.method == "static" and ipv4.gateway else gateways(self.host.readers):
            answer = self.host.readers(["ping", "-n", "-c", "1", "-W", "2", gateway], timeout=5)
            if answer.ok:
                yield Finding("gateway", True, f"{gateway} answers")
            else:
                remedy = "fine only if it ignores pings; an address set here takes effect after Apply"
                yield Finding("gateway", None, f"{gateway} does not answer", remedy)
        yield from check_name_servers(config)

    def test_time(self, servers: list[str]) -> Iterator[Finding]:
        from appliance.host.self_test import check_time_servers

        yield from check_time_servers(servers)

    def test_loki(self, loki: Loki) -> Iterator[Finding]:
        """Yield name, connection, TLS, HTTP and authentication, then push lines and count them back."""
        from appliance.relay.probe.read_back import verify

        loki = self._rebased(loki)
        for finding in check_loki(loki):
            yield finding
            if finding.ok is False:
                return
        result = verify(loki, random.token_hex(6), streams=3, entries=4, timeout=self.read_back_within)
        yield Finding("push, read", result.ok, result.finding.detail, result.finding.remedy)

    def loki_certificate(self, url: str, server_name: str | None) -> "Presented":
        """Return the certificate that Loki shows, without trusting it. Raise ApplianceError."""
        from datetime import UTC, datetime

        from appliance.host.tls.presented import take

        return take(url, datetime.now(UTC), server_name=server_name)

    def trust(self, shown: "Presented") -> str:
        """Keep a certificate as the one to trust; return its file. Raise ApplianceError."""
        from appliance.host.tls.presented import keep

        try:
            return keep(shown, self.host.layout)
        except OSError as error:
            raise ApplianceError(f"it cannot be saved: {error.strerror}", hint="run as root") from None

    def test_message(self) -> Iterator[Finding]:
        """Send a message as a device would and look for it in Loki."""
        from appliance.relay.probe import test_message

        config = load(self.config_path)
        found = test_message.ways(config)
        if not found:
            yield Finding("sent", False, "no listener accepts plain syslog", "switch UDP or TCP on: S, Listeners")
            return
        try:
            yield from test_message.trial(config, found[0], "a test from the console", timeout=30)
        except ApplianceError as error:
            yield Finding("test", False, error.message, error.hint)

    # ---- changing ---------------------------------------------------------------------------

    def write_secret(self, name: str, value: str) -> str:
        """Keep a secret in a new file, so that the active configuration keeps its own until the change is applied."""
        from appliance.host.system.secrets import write_secret

        try:
            return write_secret(self.host.layout, f"{name}-{random.token_hex(4)}", value)
        except OSError as error:
            raise ApplianceError(f"the secret cannot be saved: {error.strerror}", hint="run as root") from None

    def hash_password(self, password: str) -> str:
        return crypt.crypt(password, crypt.mksalt(crypt.METHOD_SHA512))

    def password_is_right(self, password: str) -> bool:
        """Return whether this is the administrator's password; a wrong one takes a second to say so."""
        try:
            name = load(self.config_path).access.password_file or ""
            kept = self.host.layout.at(name).read_text().splitlines()[0].strip()
        except (OSError, IndexError, ApplianceError):
            return False
        if kept and crypt.crypt(password, kept) == kept:
            return True
        time.sleep(1)
        return False

    def is_locked(self) -> bool:
        """Return whether changes ask for the password. A configuration that cannot be read is no reason to let in."""
        if not self.config_path.exists():
            return False
        try:
            return load(self.config_path).access.console_lock
        except ApplianceError:
            return True

    def plan(self, text: str) -> Plan:
        """Raise ConfigError, ApplianceError; nothing is changed.

        Answers that mean what the file says already leave it as it is, with its comments.
        """
        plan = self._plan(text)
        return self._plan(read(self.config_path)) if plan.changes_nothing and self.config_path.exists() else plan

    def _plan(self, text: str) -> Plan:
        return make_plan(text, self.host, comment="console")

    def apply(self, plan: Plan, progress: Callable[[Step], None]) -> Result:
        first = plan.base is None or not self.config_path.exists()
        return apply(plan, self.host, progress, confirm_within=None if first else CONFIRM_WITHIN)

    def confirm(self) -> None:
        confirm(self.host)

    def revert(self) -> None:
        revert_unconfirmed(self.host)

    def import_certificate(self, path: str, password: str) -> str:
        """Use a certificate and key from a file. Return its facts in a line. Raise ApplianceError."""
        from datetime import UTC, datetime

        from appliance.host.tls.judge import describe, sound_pair
        from appliance.host.tls.store import TlsStore

        try:
            data = self.host.layout.at(path).read_bytes()
        except OSError as error:
            reason = error.strerror or "cannot be read"
            raise ApplianceError(f"{path}: {reason}", hint="a PEM or PKCS #12 file with certificate and key") from None
        pair, doubts = sound_pair(data, None, datetime.now(UTC), password=password or None)
        TlsStore(self.host.layout).set_server(pair)
        facts = describe(pair.certificate)
        names = ", ".join(facts.names) or facts.subject
        return "; ".join([f"{names}, valid until {facts.not_after:%Y-%m-%d}", *doubts])

    def load_keyboard(self, layout: str, variant: str) -> None:
        """Load a layout into the kernel's console, if this is one; what is kept is the matter of an apply."""
        if os.environ.get("TERM") != "linux" or not self.host.layout.is_machine:
            return
        more = ["-variant", variant] if variant else []
        made = self.host.readers(["ckbcomp", "-layout", layout, *more], timeout=120)
        if made.ok:
            self.host.runner(["loadkeys", "--unicode"], stdin=made.out)

    def restart(self) -> str:
        return self._systemctl("reboot")

    def power_off(self) -> str:
        return self._systemctl("poweroff")

    def shell(self) -> None:
        """Give the terminal to a shell until it ends."""
        # The kernel's screen has no second page: what stood there would stay.
        sys.stdout.write("\x1b[0m\x1b[2J\x1b[HA shell on this machine; `exit` returns to the dashboard.\n")
        sys.stdout.flush()
        environment = {key: value for key, value in os.environ.items() if key != "LD_LIBRARY_PATH"}
        if self.is_locked():
            environment["TMOUT"] = "600"  # seconds; then bash ends by itself
        # A service's standard error is the journal: with it bash would be no interactive shell and prompt for nothing.
        subprocess.run(["/bin/bash", "--login"], check=False, env=environment, cwd="/", stderr=sys.stdout.fileno())

    def _systemctl(self, verb: str) -> str:
        answer = self.host.runner(["systemctl", verb], timeout=30)
        return "" if answer.ok else answer.reason

    def _rebased(self, loki: Loki) -> Loki:
        """Return the settings with secrets found below the root that is worked on."""
        place = self.host.layout.at

        def moved(path: str | None) -> str | None:
            return str(place(path)) if path and path.startswith((SECRETS, TLS)) else path

        basic = loki.basic_auth
        if basic:
            basic = msgspec.structs.replace(basic, password_file=moved(basic.password_file))
        tls = msgspec.structs.replace(loki.tls, ca_file=moved(loki.tls.ca_file))
        token = moved(loki.bearer_token_file)
        return msgspec.structs.replace(loki, basic_auth=basic, bearer_token_file=token, tls=tls)
