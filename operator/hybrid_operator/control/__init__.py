"""The loops: observe, plan, apply, status; the queue and the Lease that they run under."""
