"""Clusters that pkigen did not make: what is found on their nodes, and what is wrong with it."""
