"""The pure core: no I/O and no clock; what changes with time gets `now` passed in."""
