# Exceeds the file size limit. Python ignores SIGXFSZ and would get an error; `yes` is ended by the signal.
exec yes > output
