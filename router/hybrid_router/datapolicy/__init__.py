"""What of a request may leave the cluster: found, judged, replaced, and restored in the answer."""
