"""Keeps this package's frames out of torch.compile, without importing torch's compiler."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any


def skip_frames(torch: Any, *functions: Callable[..., Any]) -> None:
    """Have torch.compile run functions as they are, and compile what they call.

    Where a model breaks the graph, each module is called by Python. One function serves them all: compiled, it
    would be compiled again for each class, until torch's limit stops it from compiling the modules themselves.

    Args:
        torch: the module.
        functions: plain functions.
    """
    frames = torch._C._dynamo.eval_frame
    for function in functions:
        if hasattr(frames, "skip_code"):  # torch before 2.6
            frames.skip_code(function.__code__)
        else:
            action = frames._FrameAction
            strategy = frames._FrameExecStrategy(action.SKIP, action.DEFAULT)
            frames.set_code_exec_strategy(function.__code__, strategy)


def compiler_getter(torch: Any) -> Callable[[], Any]:
    """Return a function that returns what compiles the calls of this thread, or None if nothing does.

    Args:
        torch: the module.
    """
    frames = torch._C._dynamo.eval_frame
    if hasattr(frames, "get_eval_frame_callback"):
        get: Callable[[], Any] = frames.get_eval_frame_callback
        return get
    set_eval_frame = frames.set_eval_frame

    def exchange() -> Any:  # torch before 2.6 tells it only to who replaces it
        callback = set_eval_frame(None)
        set_eval_frame(callback)
        return callback

    skip_frames(torch, exchange)
    return exchange


def uncompiled(torch: Any) -> Callable[..., Any]:
    """Return a function that calls another one with arguments, and compiles neither it nor what it calls.

    Args:
        torch: the module.
    """
    set_eval_frame = torch._C._dynamo.eval_frame.set_eval_frame

    def call(function: Callable[..., Any], *args: Any) -> Any:
        callback = set_eval_frame(None)
        try:
            return function(*args)
        finally:
            set_eval_frame(callback)

    skip_frames(torch, call)
    return call
