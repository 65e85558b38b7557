"""The receiver: a process of its own that owns the plain TCP port, and forgets nothing it has read.

It cuts what senders write into messages and appends them to hand-over files, which the relay reads.
Only what is in such a file is taken out of the socket, so that being killed, restarted or out of disk
space loses nothing: the kernel still has it. It parses nothing and knows nothing of Loki.
"""
