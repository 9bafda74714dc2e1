"""The types of the HybridInference resource: the source of the CRD and of the reference docs."""
