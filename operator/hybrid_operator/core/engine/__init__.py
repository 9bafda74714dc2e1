"""What is known of engines: GPUs, models, vLLM's releases and their arguments."""
