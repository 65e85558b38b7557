"""Hand-over by append-only files: what rsyslogd and the receiver write, and the relay reads.

A directory belongs to one writer. Its files bear sequence numbers, are appended to and never changed;
each begins with a whole record, and is complete as soon as a later one holds anything. The reader
deletes a file when everything in it is durable elsewhere.
"""
