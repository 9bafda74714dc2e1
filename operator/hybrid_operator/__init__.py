"""The operator: HybridInference resources in, engines and routers out."""
