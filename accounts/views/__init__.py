"""The pages of the ground floor: each view builds an Actor, cleans the input, calls one verb, dresses the result."""
