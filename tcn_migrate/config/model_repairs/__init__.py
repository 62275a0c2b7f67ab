"""Repairs that need to see the whole model, not one layer alone."""
