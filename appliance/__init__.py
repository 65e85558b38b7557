"""The log forwarder appliance: everything that runs in the VM, and the relay on its own."""

__version__ = "1.0.0"
