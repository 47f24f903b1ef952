"""The first floor: API keys, from minting to verification."""
