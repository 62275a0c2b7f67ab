"""A whole project: its models, the code that loads them, and the patch that makes it run in today's Keras."""
