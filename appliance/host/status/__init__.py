"""Is all well, and if not, what to do: facts about this machine, and the verdict on them."""
