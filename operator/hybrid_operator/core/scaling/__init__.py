"""How many replicas a model should have: pure values in, a decision with its reasons out."""
