"""OpenAI's Responses API, without any I/O: requests, events, answers and errors."""
