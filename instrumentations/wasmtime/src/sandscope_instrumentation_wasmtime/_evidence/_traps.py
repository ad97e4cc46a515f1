"""The verdict on each trap of the engine, by the name of its code and by its message."""

from __future__ import annotations

from sandscope.instrumentation import Verdict

MEMORY_BOUNDS = Verdict("SV", "engine", "sv_memory_bounds")
TABLE_BOUNDS = Verdict("SV", "engine", "sv_table_bounds")
COMPONENT_VALUE = Verdict("SV", "engine", "sv_component_value")
EXCEPTION = Verdict("RE", "guest", "re_exception")

_TRAPS: dict[Verdict, dict[str, str]] = {  # messages by code
    Verdict("TLE", "engine", "tle_fuel", "fuel"): {"OUT_OF_FUEL": "all fuel consumed by WebAssembly"},
    Verdict("TLE", "engine", "tle_epoch", "epoch"): {"INTERRUPT": "interrupt"},
    Verdict("MLE", "engine", "mle_stack", "stack"): {"STACK_OVERFLOW": "call stack exhausted"},
    Verdict("MLE", "engine", "mle_allocation", "memory"): {
        "ALLOCATION_TOO_LARGE": "allocation size too large"
    },
    Verdict("RE", "guest", "re_unreachable"): {"UNREACHABLE": "wasm `unreachable` instruction executed"},
    Verdict("RE", "guest", "re_arithmetic"): {
        "INTEGER_OVERFLOW": "integer overflow",
        "INTEGER_DIVISION_BY_ZERO": "integer divide by zero",
        "BAD_CONVERSION_TO_INTEGER": "invalid conversion to integer",
    },
    Verdict("RE", "guest", "re_reference"): {
        "NULL_REFERENCE": "null reference",
        "CAST_FAILURE": "cast failure",
        "ARRAY_OUT_OF_BOUNDS": "out of bounds array access",
    },
    EXCEPTION: {"UNCAUGHT_EXCEPTION": "uncaught exception propagated out of component"},
    Verdict("RE", "guest", "re_stack_switching"): {
        "UNHANDLED_TAG": "unhandled tag",
        "CONTINUATION_ALREADY_CONSUMED": "continuation already consumed",
    },
    Verdict("RE", "guest", "re_async"): {
        "ATOMIC_WAIT_NON_SHARED_MEMORY": "atomic wait on non-shared memory",
        "NO_ASYNC_RESULT": "async-lifted export failed to produce a result",
        "ASYNC_DEADLOCK": "deadlock detected: event loop cannot make further progress",
        "CANNOT_BLOCK_SYNC_TASK": "cannot block a synchronous task before returning",
        "TASK_CANCEL_NOT_CANCELLED": "`task.cancel` called by task which has not been cancelled",
        "TASK_CANCEL_OR_RETURN_TWICE": (
            "`task.return` or `task.cancel` called more than once for current task"
        ),
        "TASK_RETURN_INVALID": "invalid `task.return` signature and/or options for current task",
        "SUBTASK_CANCEL_AFTER_TERMINAL": "`subtask.cancel` called after terminal status delivered",
        "SUBTASK_DROP_NOT_RESOLVED": "cannot drop a subtask which has not yet resolved",
        "WAITABLE_SET_DROP_HAS_WAITERS": "cannot drop waitable set with waiters",
        "WAITABLE_SYNC_AND_ASYNC": "waitable cannot be used synchronously while added to a waitable set",
        "THREAD_NEW_INDIRECT_INVALID_TYPE": (
            "start function does not match expected type (currently only `(i32) -> ()` is supported)"
        ),
        "THREAD_NEW_INDIRECT_UNINITIALIZED": ("the start function index points to an uninitialized function"),
        "BACKPRESSURE_OVERFLOW": "backpressure counter overflow",
        "UNSUPPORTED_CALLBACK_CODE": "unsupported callback code",
        "CANNOT_RESUME_THREAD": "cannot resume thread which is not suspended",
        "CONCURRENT_FUTURE_STREAM_OP": "cannot have concurrent operations active on a future/stream",
        "REFERENCE_COUNT_OVERFLOW": "reference count overflow",
        "STREAM_OP_TOO_BIG": "stream read/write count too large",
    },
    MEMORY_BOUNDS: {
        "MEMORY_OUT_OF_BOUNDS": "out of bounds memory access",
        "STRING_OUT_OF_BOUNDS": "string content out-of-bounds",
        "LIST_OUT_OF_BOUNDS": "list content out-of-bounds",
    },
    TABLE_BOUNDS: {"TABLE_OUT_OF_BOUNDS": "undefined element: out of bounds table access"},
    Verdict("SV", "engine", "sv_indirect_call"): {
        "INDIRECT_CALL_TO_NULL": "uninitialized element",
        "BAD_SIGNATURE": "indirect call type mismatch",
    },
    Verdict("SV", "engine", "sv_misaligned"): {"HEAP_MISALIGNED": "unaligned atomic"},
    Verdict("SV", "engine", "sv_component_boundary"): {
        "CANNOT_ENTER_COMPONENT": "cannot enter component instance",
        "CANNOT_LEAVE_COMPONENT": "cannot leave component instance",
    },
    COMPONENT_VALUE: {
        "UNALIGNED_POINTER": "unaligned pointer",
        "INVALID_CHAR": "invalid `char` bit pattern",
        "INVALID_DISCRIMINANT": "invalid variant discriminant",
    },
    Verdict("IE", "engine", "ie_engine"): {
        "DISABLED_OPCODE": "pulley opcode disabled at compile time was executed",
        "DEBUG_ASSERT_STRING_ENCODING_FINISHED": "should have finished string encoding",
        "DEBUG_ASSERT_EQUAL_CODE_UNITS": "code units should be equal",
        "DEBUG_ASSERT_POINTER_ALIGNED": "pointer should be aligned",
        "DEBUG_ASSERT_UPPER_BITS_UNSET": "upper bits should be unset",
    },
}

BY_CODE = {code: verdict for verdict, traps in _TRAPS.items() for code in traps}
BY_MESSAGE = {message: verdict for verdict, traps in _TRAPS.items() for message in traps.values()}
