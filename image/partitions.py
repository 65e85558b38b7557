"""Block-device plugin for diskimage-builder: partitions as the kernel's own /dev/loopNpM devices.

DIB's `partitioning` maps partitions with kpartx, which needs device mapper; many build machines
have none. The kernel can partition loop devices itself, with and without device mapper, so this
plugin makes the partition table as DIB does and then uses `partx`. It is found through the entry
point group `diskimage_builder.block_device.plugin` as `kernel_partitioning`, and takes what
`partitioning` takes. File systems, mounts and fstab stay DIB's.
"""

import os
import time
import uuid
from pathlib import Path
from typing import Any

from diskimage_builder.block_device.exception import BlockDeviceSetupException
from diskimage_builder.block_device.level1.partitioning import Partitioning
from diskimage_builder.block_device.utils import exec_sudo

_NODE_TIMEOUT_SECONDS = 10.0


def _identifier(name: str) -> str:
    return str(uuid.uuid5(uuid.NAMESPACE_DNS, f"{name}.forwarder-appliance"))


def kernel_partition(device: str, number: int) -> str:
    """Return the node of a partition of a loop device: `/dev/loop3`, 2 → `/dev/loop3p2`."""
    return f"{device}p{number}"


def make_node(node: str) -> None:
    """Make a partition's device node where no udev does, from what the kernel says of it.

    Raises BlockDeviceSetupException if the kernel does not know the partition.
    """
    numbers = Path("/sys/class/block", os.path.basename(node), "dev")
    deadline = time.monotonic() + _NODE_TIMEOUT_SECONDS
    while not numbers.exists():
        if time.monotonic() > deadline:
            raise BlockDeviceSetupException(f"the kernel shows no partition {node}")
        time.sleep(0.05)
    major, minor = numbers.read_text().strip().split(":")
    wanted = os.makedev(int(major), int(minor))
    if os.path.exists(node) and os.stat(node).st_rdev == wanted:
        return
    # A stale node of an earlier build points at another minor number: replace it.
    exec_sudo(["rm", "-f", node])
    exec_sudo(["mknod", "-m", "0660", node, "b", major, minor])


class KernelPartitioning(Partitioning):  # type: ignore[misc]
    """`Partitioning` with kernel partitions; GPT only, as that is all our images use."""

    def __init__(self, config: dict[str, Any], default_config: dict[str, Any], state: Any) -> None:
        super().__init__(config, default_config, state)
        if self.label != "gpt":
            raise BlockDeviceSetupException("kernel_partitioning makes GPT only")

    def create(self) -> None:
        """Called once for each partition; the first call makes the table and all nodes."""
        self.number_of_partitions += 1
        if self.number_of_partitions > 1:
            return
        blockdev = self.state["blockdev"]
        self.image_path = blockdev[self.base]["image"]
        self.device_path = blockdev[self.base]["device"]
        self.disk_size = self._size_of_block_dev(self.image_path)
        # A loop device keeps the partitions of a build that was killed: they would be treated as ours.
        _forget_partitions(self.device_path)
        self._create_gpt()
        # Fixed identifiers: two builds of the same sources make the same partition table.
        identifiers = [f"--disk-guid={_identifier('disk')}"]
        for number, partition in enumerate(self.partitions, start=1):
            identifiers.append(f"--partition-guid={number}:{_identifier(partition.get_name())}")
        exec_sudo(["sgdisk", *identifiers, self.device_path])
        exec_sudo(["partx", "--update", self.device_path])
        for number, partition in enumerate(self.partitions, start=1):
            node = kernel_partition(self.device_path, number)
            make_node(node)
            blockdev[partition.get_name()] = {"device": node}
            # DIB's own rollback would call dmsetup for a mapping that does not exist.
            partition.rollbacks.clear()
        self.partitions[0].add_rollback(_forget_partitions, self.device_path)

    def umount(self) -> None:
        """Called once for each partition; the last call forgets them all."""
        self.number_of_partitions -= 1
        if self.number_of_partitions == 0:
            _forget_partitions(self.state["blockdev"][self.base]["device"])


def _forget_partitions(device: str) -> None:
    if any(Path("/sys/class/block", os.path.basename(device)).glob("loop*p*")):
        exec_sudo(["partx", "--delete", device])
    for node in Path("/dev").glob(os.path.basename(device) + "p*"):
        if not Path("/sys/class/block", node.name).exists():
            exec_sudo(["rm", "-f", str(node)])
