/* What the parts of the compiled hot path share. */
#ifndef SANDSCOPE_RECORD_H
#define SANDSCOPE_RECORD_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

typedef struct {
    PyObject_HEAD
    PyObject *site, *parent_context, *verdict, *details, *token;
    PyObject *identity;          /* a SpanContext, once somebody has asked for it */
    PyObject *weak_references;
    int64_t started, ended;      /* nanoseconds of perf_counter_ns */
    uint64_t trace_high, trace_low, span; /* ids that nobody has asked for yet; no span: none */
    uint64_t parent_span;        /* with them; none: a root */
    int flags;                   /* of those ids */
} Record;

extern PyTypeObject RecordType;
extern PyTypeObject HotPathType;
extern PyTypeObject WrapperType;
extern PyTypeObject CountType;

/* The project's and OpenTelemetry's objects, looked up once. */
typedef struct {
    PyObject *ok, *span_key, *context_type, *span_context, *trace_flags, *no_state, *recording, *clock,
        *shared_details, *sharing;
} Known;

extern Known known;

int find_known(void);
int64_t clock_now(void);
int64_t clock_offset(void);

/* Return a new reference to an attribute, or NULL; set an error only if it is not that there is none. */
PyObject *optional_attribute(PyObject *object, PyObject *name);

/* Take a record that has ended, as `recorder.take` does; return -1 with an error. */
int take_record(PyObject *recorder, Record *record);

/* Count one, whatever kind of callable counts; return -1 with an error. */
int count_one(PyObject *count);

PyObject *give_ids(PyObject *module, PyObject *arguments);
PyObject *encode_spans(PyObject *module, PyObject *arguments);
PyObject *encode_logs(PyObject *module, PyObject *arguments);

#endif
