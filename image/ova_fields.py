"""What ova.xml has to hold: every field of every object, with type, value and who insists on it.

Data only, gathered from the importer's own decoders (xapi 1.249-lcm for XCP-ng 8.2, 24.19 for 8.3
and its development branch): a host fails an import with "Field X not present in rpc" when a field
marked ALWAYS is missing, and XCP-ng 8.2 does also for ON_8_2. `ova.py` writes from these tables,
`xva_verify.py` checks against them.
"""

from dataclasses import dataclass
from enum import Enum

NULL_REF = "OpaqueRef:NULL"

Value = str | int | bool | float | dict[str, str] | tuple[str, ...]


class Kind(Enum):
    """Types of XML-RPC values as xapi's importer reads them."""

    STRING = "string"
    INT = "integer"
    BOOL = "boolean"
    DOUBLE = "number"
    MAP = "map of strings"
    ARRAY = "array"
    REF = "reference"
    ENUM = "word"


class Need(Enum):
    """Who refuses an object without the field."""

    ALWAYS = "every host"
    ON_8_2 = "XCP-ng 8.2"
    NEVER = "no host"


@dataclass(frozen=True, slots=True)
class Field:
    """One member of an object: name, type, the value written by default, who insists on it."""

    name: str
    kind: Kind
    default: Value
    need: Need = Need.ALWAYS
    words: tuple[str, ...] = ()  # what an ENUM may be, in lower case


S, N, B, D, M, A, R, E = Kind.STRING, Kind.INT, Kind.BOOL, Kind.DOUBLE, Kind.MAP, Kind.ARRAY, Kind.REF, Kind.ENUM
F = Field
OLD, MAY = Need.ON_8_2, Need.NEVER
AFTER = ("destroy", "restart")
AFTER_CRASH = ("destroy", "coredump_and_destroy", "restart", "coredump_and_restart", "preserve", "rename_restart")

# Importer: (major, minor) must not be newer than the host's; 8.2 demands an equal major and minor ≤ 20.
VERSION: tuple[Field, ...] = (
    F("hostname", S, "localhost"),
    F("date", S, "2024-01-01"),
    F("product_version", S, "8.2.1"),
    F("product_brand", S, "XCP-ng"),
    F("build_number", S, "1"),
    F("xapi_major", N, 1),
    F("xapi_minor", N, 9),
    F("export_vsn", N, 2),
)

VM: tuple[Field, ...] = (
    F("uuid", S, ""),
    F("power_state", E, "Halted", OLD, ("halted", "paused", "running", "suspended")),
    F("name_label", S, "", MAY),
    F("name_description", S, "", MAY),
    F("user_version", N, 1),
    F("is_a_template", B, False),
    F("suspend_VDI", R, NULL_REF, OLD),
    F("resident_on", R, NULL_REF),
    F("affinity", R, NULL_REF),
    F("metrics", R, NULL_REF),
    F("guest_metrics", R, NULL_REF),
    F("memory_static_max", N, 0),
    F("memory_dynamic_max", N, 0),
    F("memory_dynamic_min", N, 0),
    F("memory_static_min", N, 0),
    F("VCPUs_params", M, {}),
    F("VCPUs_max", N, 1),
    F("VCPUs_at_startup", N, 1),
    F("actions_after_shutdown", E, "destroy", words=AFTER),
    F("actions_after_reboot", E, "restart", words=AFTER),
    F("actions_after_crash", E, "restart", words=AFTER_CRASH),
    F("PV_bootloader", S, ""),
    F("PV_kernel", S, ""),
    F("PV_ramdisk", S, ""),
    F("PV_args", S, ""),
    F("PV_bootloader_args", S, ""),
    F("PV_legacy_args", S, ""),
    F("HVM_boot_policy", S, "BIOS order"),
    F("HVM_boot_params", M, {}),
    F("platform", M, {}),
    F("PCI_bus", S, ""),
    F("other_config", M, {"base_template_name": "Debian Bookworm 12", "linux_template": "true"}),
    F("domid", N, -1),
    F("domarch", S, ""),
    F("last_boot_CPU_flags", M, {}, OLD),
    F("is_control_domain", B, False),
    F("recommendations", S, ""),
    # Its presence matters: without it the importer sets all dynamic memory to the static maximum.
    F("parent", R, NULL_REF, MAY),
    # 8.2 does not know "pvh" and fails on it.
    F("domain_type", E, "hvm", MAY, ("hvm", "pv", "pv_in_pvh", "unspecified")),
    F("HVM_shadow_multiplier", D, 1.0, MAY),
    F("has_vendor_device", B, False, MAY),
    F("hardware_platform_version", N, 0, MAY),
    F("reference_label", S, "debian-12", MAY),
    F("is_a_snapshot", B, False, MAY),
    F("is_default_template", B, False, MAY),
    F("ha_always_run", B, False, MAY),
    F("ha_restart_priority", S, "", MAY),
    F("order", N, 0, MAY),
    F("start_delay", N, 0, MAY),
    F("shutdown_delay", N, 0, MAY),
    F("version", N, 0, MAY),
    F("generation_id", S, "", MAY),
    F("NVRAM", M, {}, MAY),
    F("xenstore_data", M, {}, MAY),
    F("blocked_operations", M, {}, MAY),
    F("bios_strings", M, {}, MAY),
    F("tags", A, (), MAY),
    F("VBDs", A, (), MAY),
    F("VIFs", A, (), MAY),
)

VBD: tuple[Field, ...] = (
    F("uuid", S, ""),
    F("VM", R, ""),
    F("VDI", R, NULL_REF),
    F("device", S, "xvda", OLD),
    F("userdevice", S, "0"),
    F("bootable", B, True),
    F("mode", E, "RW", words=("ro", "rw")),
    F("type", E, "Disk", words=("disk", "cd", "floppy")),
    F("storage_lock", B, False),
    F("empty", B, False),
    F("other_config", M, {}),
    F("currently_attached", B, False, OLD),
    F("status_code", N, 0),
    F("status_detail", S, ""),
    F("runtime_properties", M, {}),
    F("qos_algorithm_type", S, ""),
    F("qos_algorithm_params", M, {}),
    F("qos_supported_algorithms", A, ()),
    F("metrics", R, NULL_REF, OLD),
    F("unpluggable", B, False, MAY),
)

VDI: tuple[Field, ...] = (
    F("uuid", S, ""),
    F("name_label", S, "", MAY),
    F("name_description", S, "", MAY),
    F("SR", R, ""),
    F("virtual_size", N, 0),
    F("physical_utilisation", N, 0),
    F(
        "type",
        E,
        "user",
        words=(
            "system",
            "user",
            "ephemeral",
            "suspend",
            "crashdump",
            "metadata",
            "rrd",
            "pvs_cache",
            "ha_statefile",
            "redo_log",
            "cbt_metadata",
        ),
    ),
    F("sharable", B, False),
    F("read_only", B, False),
    F("other_config", M, {}),
    F("storage_lock", B, False),
    F("managed", B, True),
    F("missing", B, False),
    F("parent", R, NULL_REF),
)

SR: tuple[Field, ...] = (
    F("uuid", S, ""),
    F("name_label", S, "Local storage", MAY),
    F("virtual_allocation", N, 0),
    F("physical_utilisation", N, 0),
    F("physical_size", N, 0),
    F("type", S, "ext"),
    F("content_type", S, "user"),
    F("shared", B, False),
    F("other_config", M, {}),
)

NETWORK: tuple[Field, ...] = (
    F("uuid", S, ""),
    F("name_label", S, "", MAY),
    F("bridge", S, "", MAY),
    F("MTU", N, 1500, MAY),
    F("managed", B, True, MAY),
    F("other_config", M, {}),
)

VIF: tuple[Field, ...] = (
    F("uuid", S, ""),
    F("device", S, "0"),
    F("network", R, ""),
    F("VM", R, ""),
    F("MAC", S, ""),  # empty: the host makes one; a shipped one would be the same on every import
    F("MTU", N, 1500),
    F("other_config", M, {}),
    F("currently_attached", B, False, OLD),
    F("status_code", N, 0),
    F("status_detail", S, ""),
    F("runtime_properties", M, {}),
    F("qos_algorithm_type", S, ""),
    F("qos_algorithm_params", M, {}),
    F("qos_supported_algorithms", A, ()),
    F("metrics", R, NULL_REF, OLD),
    F("MAC_autogenerated", B, True, MAY),
    F("locking_mode", E, "network_default", MAY, ("network_default", "locked", "unlocked", "disabled")),
)

CLASSES: dict[str, tuple[Field, ...]] = {"VM": VM, "VBD": VBD, "VDI": VDI, "SR": SR, "network": NETWORK, "VIF": VIF}
