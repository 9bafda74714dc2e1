"""Training and measuring of the embedded classifier. The router imports nothing of it."""
