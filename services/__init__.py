"""The five services. They share contracts and runtime, and never import each other."""
