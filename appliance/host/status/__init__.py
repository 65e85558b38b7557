"""The health of this machine: facts about it, and the verdict on them."""
