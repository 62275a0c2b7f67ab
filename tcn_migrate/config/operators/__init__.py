"""Operators of TensorFlow between layers become operations of Keras 3."""
