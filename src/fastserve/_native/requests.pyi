# For cimport alone.
