"""Finds disruptions of this installation in its health signals."""
