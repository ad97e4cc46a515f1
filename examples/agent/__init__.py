"""An agent whose tools run code in sandboxes, and a table that shows how each tool call ended."""
