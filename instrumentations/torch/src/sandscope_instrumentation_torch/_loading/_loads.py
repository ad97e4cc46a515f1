"""The outermost load of a thread is an execution. Loads inside it are its files."""

from __future__ import annotations

import functools
import pickle
import sys
import threading
from collections.abc import Callable
from types import FrameType
from typing import Any

import wrapt

from sandscope.instrumentation import Execution, Recorder, Site, Value, report_error
from sandscope_instrumentation_torch._dynamo import skip_frames, uncompiled
from sandscope_instrumentation_torch._loading._load_attributes import file_attributes, source_of, weights_only
from sandscope_instrumentation_torch._loading._model_file import read_content
from sandscope_instrumentation_torch._loading._risk import Risk, risk_of
from sandscope_instrumentation_torch._loading._suspicious import report_suspicious_load
from sandscope_instrumentation_torch._measures._memory import PEAK_ATTRIBUTE, resident_peak
from sandscope_instrumentation_torch._messages import message_without_folders
from sandscope_instrumentation_torch._verdicts import UNSAFE_PICKLE, is_refusal, load_verdict

_Function = Callable[..., Any]


class _Thread(threading.local):
    """The load that runs in this thread.

    Attributes:
        execution: the outermost load, or None.
        files: the number of files that it has read so far.
        size: their bytes.
        risk: of the last pickle that was read where only weights are allowed.
        file: the attributes of the last file.
    """

    execution: Execution | None = None
    files = 0
    size = 0
    risk: Risk | None = None
    file: dict[str, Value] = {}  # noqa: RUF012 -- replaced, never changed


class Loads:
    """Makes the wrappers of the functions that load, which share the state of their threads."""

    def __init__(self, recorder: Recorder, *, sha256: bool) -> None:
        self._recorder, self._sha256 = recorder, sha256
        self._thread = _Thread()
        self._uncompiled: Callable[..., Any] = _call

    def wrapper_of(self, api: str) -> Callable[[_Function], _Function]:
        """Return what wraps a function that loads.

        Args:
            api: a value of ``torch.load.api``.
        """
        site = Site(
            "torch", "load", f"load {api}", attributes={"torch.load.api": api}, verdict_of=load_verdict
        )

        torch = sys.modules.get("torch")
        is_compiling: Callable[[], bool] = bool
        if torch is not None:
            is_compiling, self._uncompiled = torch.compiler.is_compiling, uncompiled(torch)

        def make(original: _Function) -> _Function:
            @functools.wraps(original)
            def load(*args: Any, **kwargs: Any) -> Any:
                if is_compiling():
                    return original(*args, **kwargs)
                return self._record(site, original, args, kwargs)

            _skip(load)
            return load

        _skip(Loads._record)
        return make

    def wrap_class_method(self, api: str) -> Callable[[Any], Any]:
        """Return what wraps a class method that loads."""
        wrap = self.wrapper_of(api)
        return lambda original: classmethod(wrap(original.__func__))

    def wrap_class(self, api: str) -> Callable[[Any], Any]:
        """Return what wraps a class whose instances load when they are made. It stays a class for ``isinstance``."""

        def make(original: Any) -> Any:
            load = self.wrapper_of(api)(original)
            return wrapt.FunctionWrapper(original, lambda _class, _self, args, kwargs: load(*args, **kwargs))

        return make

    def _record(self, site: Site, original: _Function, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        thread = self._thread
        if thread.execution is not None:
            self._uncompiled(self._examine, thread.execution, site, args, kwargs)
            return original(*args, **kwargs)
        if self._uncompiled(_is_part_of_a_pickle, sys._getframe(1).f_back, args):
            return original(*args, **kwargs)
        execution: Execution | None = self._uncompiled(self._recorder.begin, site)
        if execution is None:
            return original(*args, **kwargs)
        thread.execution, thread.files, thread.size, thread.risk = execution, 0, 0, None
        try:
            self._uncompiled(self._examine, execution, site, args, kwargs)
            result = original(*args, **kwargs)
        except BaseException as error:
            self._uncompiled(self._fail, execution, error, site, args, kwargs)
            raise
        finally:
            thread.execution = None
        self._uncompiled(self._finish, execution, site, result)
        return result

    def _examine(
        self, execution: Execution, site: Site, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> None:
        """Read what is about to be loaded: its size, its format, and what its pickles name."""
        found: dict[str, Value] = {}
        try:
            source = source_of(site, args, kwargs)
            found |= file_attributes(site.attributes["torch.load.api"], source, sha256=self._sha256)
            self._count_file(found)
            if site.attributes["torch.load.api"] == "torch":
                self._grade(execution, source, weights_only(sys.modules["torch"], args, kwargs), found)
        except (OSError, ValueError):
            pass  # The file does not exist or is closed: the load is about to raise an error that says so.
        except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.load", error)
        if site is execution.site:
            execution.set_attributes(found)

    def _count_file(self, found: dict[str, Value]) -> None:
        thread, size = self._thread, found.get("torch.model.size")
        thread.file = found
        if isinstance(size, int):
            thread.files, thread.size = thread.files + 1, thread.size + size

    def _grade(self, execution: Execution, source: Any, only_weights: bool, found: dict[str, Value]) -> None:
        torch, thread = sys.modules["torch"], self._thread
        found["torch.load.weights_only"] = only_weights
        thread.risk = None
        content = read_content(torch, source)
        if content.format is not None:
            found["torch.model.format"] = content.format
        risk = risk_of(torch, content.named)
        if risk is not None and not only_weights:
            report_suspicious_load(self._recorder, execution, risk, found, refused=False)
        elif only_weights:
            thread.risk = risk

    def _fail(
        self,
        execution: Execution,
        error: BaseException,
        site: Site,
        args: tuple[Any, ...],
        kwargs: dict[str, Any],
    ) -> None:
        try:
            source = source_of(site, args, kwargs)
            risk, verdict, paths = self._thread.risk, None, []
            if risk is not None and isinstance(error, pickle.UnpicklingError) and is_refusal(error):
                verdict = UNSAFE_PICKLE
            if risk is not None and (verdict or load_verdict(error)).status == "SV":
                report_suspicious_load(self._recorder, execution, risk, self._thread.file, refused=True)
            if isinstance(source, str):
                paths = [source]
            message = message_without_folders(error, *paths)
        except Exception as broken:  # noqa: BLE001 -- telemetry never raises into the program
            report_error("torch.load", broken)
            verdict, message = None, ""
        execution.fail(error, verdict, message=message)

    def _finish(self, execution: Execution, site: Site, result: Any) -> None:
        thread = self._thread
        if thread.files and site.attributes["torch.load.api"] == "transformers":
            execution.set_attributes({"torch.load.files": thread.files, "torch.model.size": thread.size})
            model = result[0] if isinstance(result, tuple) else result
            execution.set_attributes({"torch.module": type(model).__name__})
        peak = resident_peak()
        if peak is not None:
            execution.set_attributes({PEAK_ATTRIBUTE: peak})
        execution.finish()


def _is_part_of_a_pickle(caller: FrameType | None, args: tuple[Any, ...]) -> bool:
    """Return whether a load is that of a tensor by Python's own `pickle`, and names only what tensors need."""
    try:
        torch = sys.modules["torch"]
        if caller is None or caller.f_code is not torch.storage._load_from_bytes.__code__:
            return False
        return risk_of(torch, read_content(torch, args[0]).named) is None
    except Exception as error:  # noqa: BLE001 -- telemetry never raises into the program
        report_error("torch.load", error)
        return False


def _call(function: _Function, *args: Any) -> Any:
    return function(*args)


def _skip(function: Any) -> None:
    torch = sys.modules.get("torch")
    if torch is not None:
        skip_frames(torch, function)
