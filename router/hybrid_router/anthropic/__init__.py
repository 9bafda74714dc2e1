"""Anthropic's Messages API, without any I/O: requests, events, answers and errors."""
