"""The deferred recorder: the calling thread leaves a record, the work is done in batches elsewhere.

It is used when Sandscope's own distro has set the SDK up, and nobody needs to see each span: see
`sandscope._setup._recorder_setup`.
"""

from sandscope._deferred._deferred_recorder import DeferredRecorder
from sandscope._deferred._pipeline import Pipeline

__all__ = ["DeferredRecorder", "Pipeline"]
