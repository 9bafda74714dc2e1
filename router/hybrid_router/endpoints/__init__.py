"""The API surfaces: which path and method lead where."""
