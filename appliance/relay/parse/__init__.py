"""From the bytes of a message to a record: headers, dialects, time stamps. Pure functions."""
