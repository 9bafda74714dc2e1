"""The OpenAI wire format, without any I/O: requests, answers, server-sent events, errors."""
