"""What the VM is made to be: rendering, applying and judging its configuration."""
