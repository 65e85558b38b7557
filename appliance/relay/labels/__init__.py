"""From a record to its stream: default labels, relabelling, and the bound on the number of streams."""
