"""Listeners: sockets, framing and acknowledgements, and the intake that fills batches from them."""
