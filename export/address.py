"""Where `serve` listens unless told otherwise."""

HOST, PORT = "127.0.0.1", 8000
