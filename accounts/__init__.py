"""The ground floor: who there is, where, what they may do, and what they did."""
