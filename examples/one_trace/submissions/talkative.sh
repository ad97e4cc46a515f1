# Writes more than it may. A Python program would get an error here; this one gets the signal.
exec yes > output
