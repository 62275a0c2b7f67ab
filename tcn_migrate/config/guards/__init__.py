"""What a config must be before anything is built from it: bounded, acyclic, known settings, fitting shapes."""
