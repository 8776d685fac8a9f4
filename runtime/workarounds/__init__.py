"""Workarounds for shortcomings of libraries, one module per library.

Each workaround states the shortcoming, the version of the library that has it, and when it can be removed.
"""
