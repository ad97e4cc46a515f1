/* The hot path, and the functions that `wrapper.c` and `model_call.c` share with it. */
#ifndef SANDSCOPE_HOT_PATH_H
#define SANDSCOPE_HOT_PATH_H

#include "record.h"

typedef struct {
    PyObject_HEAD
    PyObject *checked, *slots, *variable, *starts, *queue, *append;
    PyObject *last_site, *start; /* the site of the last execution, and its count; sites are immutable */
    int current;                 /* whether the site's executions become current */
    PyTypeObject *record;
    Py_ssize_t high_water;
} HotPath;

/* A function whose frame must not become part of its caller's, which stays on the stack. */
#if defined(__GNUC__) || defined(__clang__)
#define SEPARATE_FRAME __attribute__((noinline))
#elif defined(_MSC_VER)
#define SEPARATE_FRAME __declspec(noinline)
#else
#define SEPARATE_FRAME
#endif

/* Return the function that calls an object with the arguments of `PyObject_Vectorcall`. */
vectorcallfunc vectorcall_of(PyObject *callable);

/* Report the current exception to `_guard`, and clear it. */
void report_error(const char *component);

/* End an execution with an exception. */
void fail(HotPath *self, Record *record, PyObject *error);

/* Call a method of the recorder. Exceptions are reported and not raised into the program. */
void call_and_report(PyObject *object, PyObject *name, PyObject *argument);

/* Return and clear the current exception, normalized and with its traceback; set it again. */
PyObject *fetch_exception(void);
void restore_exception(PyObject *error);

/* Return the current context. If executions must be begun by other code, return NULL and set `begin` to it.
   Otherwise, NULL means that an error is set. */
PyObject *context_or_begin(HotPath *self, PyObject **begin);

Record *new_record(HotPath *self, PyObject *site, PyObject *context);

/* Begin an execution of a site in a context. Return NULL with an error set if it cannot be begun. */
Record *begin_in(HotPath *self, PyObject *site, PyObject *context);

/* End an execution that has succeeded, at a time of `clock_now`. */
void end_ok(HotPath *self, Record *record, int64_t ended);

/* Return whether a site's executions become current, or -1 with an error set. */
int is_current(PyObject *site);

/* Make a record the current span. Return the token that restores the context, or NULL with an error set. */
PyObject *make_current(HotPath *self, PyObject *record, PyObject *context);

/* Restore the parent context, and append the record to the queue. */
void enqueue(HotPath *self, Record *record, PyObject *token);

/* Return a wrapper of a method. */
PyObject *wrap_method(HotPath *self, PyObject *arguments, PyObject *keywords);

#endif
