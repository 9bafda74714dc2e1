"""Between API surfaces: what a client asks in one form and a backend answers in another.

Everything goes through one middle: a chat completion. A request is turned into a chat, and the chat
into what the backend reads; the answer is read into pieces (`pieces`), and the pieces are written
in the client's form. Without any I/O.
"""
