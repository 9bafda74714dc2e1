"""The Kubernetes adapter: plain dicts in and out, errors translated once, nothing decided here."""
