/* Declarations that all parts of the compiled hot path share. */
#ifndef SANDSCOPE_RECORD_H
#define SANDSCOPE_RECORD_H

#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <stdint.h>

typedef struct {
    PyObject_HEAD
    PyObject *site, *parent_context, *verdict, *details, *token;
    PyObject *identity;          /* a SpanContext, created when it is needed */
    PyObject *weak_references;
    int64_t started, ended;      /* perf_counter_ns */
    uint64_t trace_high, trace_low, span; /* ids for which there may be no SpanContext yet; span 0: no ids */
    uint64_t parent_span;        /* the parent's span id; 0: a root span */
    int flags;                   /* the trace flags */
    struct Slots *box;           /* the black box that has a slot of the record, or NULL */
    uint32_t slot;
} Record;

extern PyTypeObject RecordType;
extern PyTypeObject HotPathType;
extern PyTypeObject WrapperType;
extern PyTypeObject CountType;
extern PyTypeObject SlotsType;
extern PyTypeObject AttributeType;
extern PyTypeObject ModelCallType;

/* Make the type of the attribute that answers one caller ready; return -1 with an error set if it fails. */
int ready_attribute(void);

/* The same for the type of the calls of models. */
int ready_model_call(void);

/* Objects of Sandscope and OpenTelemetry, looked up once. */
typedef struct {
    PyObject *ok, *span_key, *context_type, *span_context, *trace_flags, *no_state, *recording, *clock,
        *shared_details, *with_details, *partial, *report, *missing_evidence;
} Known;

extern Known known;

int look_up_known(void);
int64_t clock_now(void);
int64_t clock_offset(void);

/* Return a new reference to an attribute, or NULL. An error is set unless the attribute does not exist. */
PyObject *optional_attribute(PyObject *object, PyObject *name);

/* Queue an ended record, as `recorder.take` does. Return 0, or -1 with an error set. */
int take_record(PyObject *recorder, Record *record);

/* Increment a `Count` or call any other callable. Return 0, or -1 with an error set. */
int count_one(PyObject *count);

/* Read an unsigned number of up to 16 bytes, big endian. Return 0, or -1 with an error set. */
int read_number(PyObject *number, unsigned char bytes[16]);

static inline int
is_none(PyObject *object)
{
    return object == NULL || object == Py_None;
}

/* Return 8 bytes as a number. */
uint64_t big_endian(const unsigned char *bytes);

/* The black box. None of these fails: errors are reported. `slots` may be any object, or NULL. */
void slots_begin(PyObject *slots, Record *record);
void slots_end(Record *record);
void slots_identify(Record *record);
void slots_leave(Record *record);

PyObject *give_ids(PyObject *module, PyObject *arguments);
PyObject *encode_spans(PyObject *module, PyObject *arguments);
PyObject *encode_logs(PyObject *module, PyObject *arguments);

#endif
