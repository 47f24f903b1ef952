"""The doors: each knows how to ask for an operation in its own way, and how to read the answer. None knows the rule."""
