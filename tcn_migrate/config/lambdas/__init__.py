"""Lambda layers: their bytecode is read as data, and known functions become operations."""
