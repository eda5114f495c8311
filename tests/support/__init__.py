"""What the tests share: a raw client, recording applications, a running server."""
