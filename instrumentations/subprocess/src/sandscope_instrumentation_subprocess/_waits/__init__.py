"""How children are waited for: by the program, by asyncio, and by a thread that only observes."""
