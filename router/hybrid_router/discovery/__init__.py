"""What the router serves and where it is: tables, endpoints and secrets, followed live."""
