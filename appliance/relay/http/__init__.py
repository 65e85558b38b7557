"""The HTTP server that the push API and the report endpoints share."""
