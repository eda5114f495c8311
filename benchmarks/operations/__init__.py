"""The parts of operations.py: servers, load, scenarios, report."""
