"""One builder per kind of child: pure functions that return dicts for server-side apply.

No builder emits an empty map or list unless its presence says something (`emptyDir: {}`).
"""
