"""`make demo`: one HybridInference answers prompts from a real vLLM and from an external API."""
