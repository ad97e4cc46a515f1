/* What `hot_path.c` has for the wrapper of a method. */
#ifndef SANDSCOPE_HOT_PATH_H
#define SANDSCOPE_HOT_PATH_H

#include "record.h"

typedef struct {
    PyObject_HEAD
    PyObject *checked, *variable, *starts, *queue, *append;
    PyObject *met, *start; /* the site met last, and what counts its executions: sites never change */
    int current;           /* whether its executions are to be */
    PyTypeObject *record;
    Py_ssize_t high_water;
} HotPath;

/* Call a method of telemetry's own, which must not raise into the program. */
void call_quietly(PyObject *object, PyObject *name, PyObject *argument);

/* Return the exception that is set, as an `except` clause would hand it over; and set it again. */
PyObject *caught(void);
void raise_again(PyObject *error);

/* Return the context, or NULL and, if another recorder is to begin instead, that one's `begin`. */
PyObject *context_or_begin(HotPath *self, PyObject **begin);

Record *new_record(HotPath *self, PyObject *site, PyObject *context);

/* Return whether a site's executions are to be current; -1 with an error. */
int is_current(PyObject *site);

/* Make a record's span the current one; return what restores the context, or NULL with an error. */
PyObject *make_current(HotPath *self, PyObject *record, PyObject *context);

/* Restore the parent's context, and let the record wait in the queue. */
void queue_up(HotPath *self, Record *record, PyObject *token);

/* Return what to patch a method with. */
PyObject *wrap_method(HotPath *self, PyObject *arguments, PyObject *keywords);

#endif
