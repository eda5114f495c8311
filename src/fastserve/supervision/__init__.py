"""Several workers: who starts, watches, replaces and ends them."""
