"""The parts of compare.py and instructions.py: servers, workloads, load, measurement, report."""
