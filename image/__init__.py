"""What makes the VM image: pipeline, elements, disk formats. Runs on the workstation."""
