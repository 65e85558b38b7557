"""Says what is inside the image: the package manifest and a CycloneDX SBOM.

Debian packages come from the image's own dpkg status, Python packages from what the project needs and
the lock pins; both are facts of the thing built, not of the build's wishes. Pure, but for asking
Python which packages need which.
"""

import json
import re
import tomllib
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime


@dataclass(frozen=True, slots=True, order=True)
class DebianPackage:
    """An installed package; `source` is its source package, as `name` or `name (version)`."""

    name: str
    version: str
    architecture: str
    source: str
    installed_kib: int
    summary: str


@dataclass(frozen=True, slots=True, order=True)
class PythonPackage:
    """A wheel that is part of the packed command."""

    name: str
    version: str


def debian_packages(status: str) -> list[DebianPackage]:
    """Installed packages of a dpkg status file, sorted by name."""
    from debian.deb822 import Deb822

    found = []
    for paragraph in Deb822.iter_paragraphs(status, use_apt_pkg=False):
        if paragraph.get("Status", "").split()[-1:] == ["installed"]:
            found.append(
                DebianPackage(
                    paragraph["Package"],
                    paragraph["Version"],
                    paragraph["Architecture"],
                    paragraph.get("Source", paragraph["Package"]),
                    int(paragraph.get("Installed-Size", "0")),
                    paragraph.get("Description", "").split("\n", 1)[0],
                )
            )
    return sorted(found)


def manifest(packages: Iterable[DebianPackage]) -> str:
    """`name version architecture`, one package a line."""
    return "".join(f"{each.name} {each.version} {each.architecture}\n" for each in packages)


@dataclass(frozen=True, slots=True, order=True)
class PackedLibrary:
    """A library outside Python's packages that is packed into the command; apt never updates it there."""

    name: str
    version: str


def packed_libraries() -> list[PackedLibrary]:
    """Return what the packed command carries of the Python that runs this: the same that PyInstaller packs."""
    import platform
    import pyexpat
    import ssl
    import zlib

    openssl = ssl.OPENSSL_VERSION.split()[1]
    return [
        PackedLibrary("expat", pyexpat.EXPAT_VERSION.removeprefix("expat_")),
        PackedLibrary("openssl", openssl),
        PackedLibrary("python", platform.python_version()),
        PackedLibrary("zlib", zlib.ZLIB_RUNTIME_VERSION),
    ]


_PIN = re.compile(r"^([A-Za-z0-9._-]+)==([^\s;\\]+)", re.MULTILINE)


def canonical(name: str) -> str:
    """Return a Python package's name as PyPI compares it (PEP 503)."""
    return re.sub(r"[-_.]+", "-", name).lower()


def installed_requirements(name: str) -> list[str]:
    """What the installed package `name` requires, as written in its metadata; nothing when it is not installed."""
    from importlib import metadata

    try:
        return metadata.requires(name) or []
    except metadata.PackageNotFoundError:
        return []


def python_packages(
    pyproject: str, lock: str, requirements_of: Callable[[str], list[str]] = installed_requirements
) -> list[PythonPackage]:
    """Return what the product needs, directly or not, at the versions the lock pins, sorted by name."""
    from packaging.requirements import Requirement

    pins = {canonical(name): version for name, version in _PIN.findall(lock)}
    waiting = [Requirement(each) for each in tomllib.loads(pyproject)["project"]["dependencies"]]
    seen: set[str] = set()
    while waiting:
        wanted = waiting.pop()
        name = canonical(wanted.name)
        if name in seen or name not in pins or (wanted.marker and not wanted.marker.evaluate({"extra": ""})):
            continue
        seen.add(name)
        waiting += map(Requirement, requirements_of(wanted.name))
    return sorted(PythonPackage(name, pins[name]) for name in seen)


def sbom(
    version: str,
    debian: Iterable[DebianPackage],
    python: Iterable[PythonPackage],
    packed: Iterable[PackedLibrary] = (),
    *,
    epoch: int,
    release: str = "bookworm",
) -> str:
    """Return a CycloneDX 1.5 document in JSON; `epoch`, seconds since 1970, is its timestamp.

    The same packages at the same time give the same text.
    """
    from cyclonedx.model import Property
    from cyclonedx.model.bom import Bom, BomMetaData
    from cyclonedx.model.component import Component, ComponentType
    from cyclonedx.model.license import DisjunctiveLicense
    from cyclonedx.output.json import JsonV1Dot5
    from packageurl import PackageURL

    root = Component(
        name="forwarder-appliance",
        version=version,
        type=ComponentType.OPERATING_SYSTEM,
        bom_ref="appliance",
        licenses=[DisjunctiveLicense(id="Apache-2.0")],
    )
    components = []
    for each in debian:
        purl = PackageURL("deb", "debian", each.name, each.version, {"arch": each.architecture, "distro": release})
        components.append(
            Component(
                name=each.name,
                version=each.version,
                description=each.summary or None,
                type=ComponentType.LIBRARY,
                purl=purl,
                bom_ref=str(purl),
                properties=[Property(name="debian:source", value=each.source)],
            )
        )
    for wheel in python:
        purl = PackageURL("pypi", None, wheel.name, wheel.version)
        components.append(
            Component(name=wheel.name, version=wheel.version, type=ComponentType.LIBRARY, purl=purl, bom_ref=str(purl))
        )
    for library in packed:
        purl = PackageURL("generic", None, library.name, library.version)
        note = Property(name="appliance:packed", value="inside the appliance command; updated with it, not by apt")
        components.append(
            Component(
                name=library.name,
                version=library.version,
                type=ComponentType.LIBRARY,
                purl=purl,
                bom_ref=str(purl),
                properties=[note],
            )
        )
    bom = Bom(components=components, metadata=BomMetaData(component=root, timestamp=datetime.fromtimestamp(epoch, UTC)))
    bom.serial_number = uuid.uuid5(
        uuid.NAMESPACE_URL, f"{version} {epoch} " + " ".join(str(c.purl) for c in components)
    )
    bom.register_dependency(root, components)
    return json.dumps(json.loads(JsonV1Dot5(bom).output_as_string()), indent=1, sort_keys=True) + "\n"
