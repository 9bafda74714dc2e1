"""Everything that talks to a backend: connections, attempts, deadlines, streams."""
