"""One application a framework, all with the same routes."""
