"""Functional graphs as data: entries of a config, calls between them, operations drawn, layers replaced."""
