"""What the routers say of themselves, and what the operator says of itself."""
