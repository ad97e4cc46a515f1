"""What is done at the end of a call of a model: its peak of memory, and its failure."""

from __future__ import annotations

from sandscope.instrumentation import Execution
from sandscope_instrumentation_torch._measures._memory import peak_setter
from sandscope_instrumentation_torch._messages import message_without_folders
from sandscope_instrumentation_torch._training._training import Training


class Ends:
    """Describes calls that are about to end.

    Attributes:
        before_end: sets the peak of memory of an execution. Never raises.
    """

    def __init__(self, training: Training) -> None:
        """Begin.

        Args:
            training: is told of calls that fail.
        """
        self._training = training
        self.before_end = peak_setter()

    def failed(self, execution: Execution, error: BaseException) -> None:
        """End the execution of a call that has raised."""
        self.before_end(execution)
        execution.fail(error, message=message_without_folders(error))
        self._training.forget_forward()
