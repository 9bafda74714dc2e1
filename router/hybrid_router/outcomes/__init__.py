"""How good answers were: who may say so, what clients' own behaviour says, and what is counted."""
