"""Replaying traces: what scaling policies cost, and what they do to requests."""
