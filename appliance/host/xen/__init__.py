"""What the VM tells a Xen host about itself."""
