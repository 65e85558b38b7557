"""From a record to its stream: default labels, relabeling, and the bound on the number of streams."""
