"""What Keras has: layer classes, their settings, variables, parts and defaults, objects, operations, activations."""
