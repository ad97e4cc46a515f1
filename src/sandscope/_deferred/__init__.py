"""The deferred recorder: the calling thread queues a record, and another thread processes records in batches.

It is used if Sandscope's distro has set up the SDK and the program has not added span or log record processors. See
`sandscope._setup._recorder_setup`.
"""
