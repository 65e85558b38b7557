"""Hand-over by append-only files: what rsyslogd and the receiver write, and the relay reads.

A directory belongs to one writer. Its files have sequence numbers, are appended to and never changed;
each begins with a whole record, and is complete as soon as the writer has gone over to a later one:
one that is there, or, where files are prepared, the one that is called `current`. The reader deletes a
file when everything in it is durable elsewhere.
"""
