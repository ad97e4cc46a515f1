"""An agent whose tools run code in sandboxes, and the table that says how each tool call ended."""
