"""The router: each prompt to the local model when that is good enough, else to an external API."""
