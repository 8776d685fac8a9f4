"""Workarounds for shortcomings of libraries, one module per library.

Each workaround states the shortcoming, the version of the library that has it, and when the workaround can be
removed.
"""
