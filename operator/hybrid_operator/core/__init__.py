"""Pure: frozen values in, frozen results out. No I/O, no clock, no Kubernetes client."""
