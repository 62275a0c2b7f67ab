"""Lambda layers: their bytecode is read as data, and the formulas in it become operations."""
