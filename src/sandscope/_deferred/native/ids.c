/* Creates the ids of batches of records. Records that need Python code are left to Python. */
#include "record.h"

uint64_t
big_endian(const unsigned char *bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

typedef struct {
    const unsigned char *next, *end;
    int flags;
} Entropy;

/* Set the ids of a root span. Return 1, or 0 if Python has to do it. */
static int
set_root_ids(Record *record, Entropy *entropy)
{
    if (PyDict_GET_SIZE(record->parent_context) > 0 || entropy->end - entropy->next < 24) {
        return 0;
    }
    record->trace_high = big_endian(entropy->next);
    record->trace_low = big_endian(entropy->next + 8);
    record->span = big_endian(entropy->next + 16);
    record->trace_low += record->trace_high == 0 && record->trace_low == 0;
    record->span += record->span == 0;
    record->flags = entropy->flags;
    entropy->next += 24;
    slots_identify(record);
    return 1;
}

/* Return a borrowed reference to the parent span of a record. NULL if there is none, or with an error set. */
static PyObject *
parent_of(Record *record)
{
    if (PyDict_GET_SIZE(record->parent_context) == 0) {
        return NULL;
    }
    return PyDict_GetItemWithError(record->parent_context, known.span_key);
}

/* Set the ids of a child span, with the trace id and the flags of its parent. Return 1, or 0 if Python has to do it. */
static int
set_child_ids(Record *record, uint64_t trace_high, uint64_t trace_low, uint64_t parent, int flags,
              Entropy *entropy)
{
    if (entropy->end - entropy->next < 8) {
        return 0;
    }
    record->trace_high = trace_high;
    record->trace_low = trace_low;
    record->parent_span = parent;
    record->flags = flags;
    record->span = big_endian(entropy->next);
    record->span += record->span == 0;
    entropy->next += 8;
    slots_identify(record);
    return 1;
}

int
read_number(PyObject *number, unsigned char bytes[16])
{
    if (!PyLong_Check(number)) {
        PyErr_SetString(PyExc_TypeError, "not a number");
        return -1;
    }
#if PY_VERSION_HEX >= 0x030D0000
    return PyLong_AsNativeBytes(number, bytes, 16,
                                Py_ASNATIVEBYTES_BIG_ENDIAN | Py_ASNATIVEBYTES_UNSIGNED_BUFFER) < 0
               ? -1
               : 0;
#else
    return _PyLong_AsByteArray((PyLongObject *)number, bytes, 16, 0, 0);
#endif
}

/* Set the ids of a child of a span that is not a record. Return 1, or 0 if Python has to do it. */
static int
set_ids_from_parent(PyObject *parent, Record *record, Entropy *entropy)
{
    unsigned char trace[16], span[16];
    PyObject *context = PyObject_CallMethod(parent, "get_span_context", NULL);
    int done = 0;
    /* trace id, span id, is remote, flags, state, is valid */
    if (context != NULL && PyTuple_Check(context) && PyTuple_GET_SIZE(context) == 6
        && PyTuple_GET_ITEM(context, 2) == Py_False && PyTuple_GET_ITEM(context, 4) == known.no_state
        && PyTuple_GET_ITEM(context, 5) == Py_True && read_number(PyTuple_GET_ITEM(context, 0), trace) == 0
        && read_number(PyTuple_GET_ITEM(context, 1), span) == 0) {
        long flags = PyLong_AsLong(PyTuple_GET_ITEM(context, 3));
        done = !PyErr_Occurred()
               && set_child_ids(record, big_endian(trace), big_endian(trace + 8), big_endian(span + 8),
                                (int)flags & (entropy->flags | 1), entropy);
    }
    Py_XDECREF(context);
    PyErr_Clear(); /* the Python code reports the same error */
    return done;
}

/* Set the ids of a record that has a parent. Return 1, or 0 if Python has to do it. */
static int
set_ids_from_context(Record *record, Entropy *entropy)
{
    PyObject *span = parent_of(record);
    Record *parent = (Record *)span;
    if (is_none(span)) {
        PyErr_Clear();
        return 0;
    }
    if (!PyObject_TypeCheck(span, &RecordType)) {
        return set_ids_from_parent(span, record, entropy);
    }
    if (parent->span == 0 && (!is_none(parent->identity) || !set_root_ids(parent, entropy))) {
        return 0;
    }
    return set_child_ids(record, parent->trace_high, parent->trace_low, parent->span, parent->flags, entropy);
}

/* Return the flags of a record, creating its ids if necessary. Return -1 with an error set. */
static long
flags_of(Record *record, Entropy *entropy)
{
    PyObject *identity;
    long flags;
    if (record->span == 0 && is_none(record->identity)) {
        if (!set_root_ids(record, entropy)) {
            set_ids_from_context(record, entropy);
        }
    }
    if (record->span != 0) {
        return record->flags;
    }
    identity = PyObject_CallMethod((PyObject *)record, "get_span_context", NULL);
    if (identity == NULL) {
        return -1;
    }
    flags = PyTuple_Check(identity) && PyTuple_GET_SIZE(identity) > 3
                ? PyLong_AsLong(PyTuple_GET_ITEM(identity, 3))
                : 0;
    Py_DECREF(identity);
    return flags;
}

/* give_ids(records: list, entropy: bytes, flags: int) -> list of the sampled records */
PyObject *
give_ids(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    PyObject *records, *sampled;
    const char *bytes;
    Py_ssize_t size;
    Entropy entropy;
    if (!PyArg_ParseTuple(arguments, "O!y#i", &PyList_Type, &records, &bytes, &size, &entropy.flags)) {
        return NULL;
    }
    entropy.next = (const unsigned char *)bytes;
    entropy.end = entropy.next + size;
    sampled = PyList_New(0);
    for (Py_ssize_t i = 0; sampled != NULL && i < PyList_GET_SIZE(records); i++) {
        PyObject *record = PyList_GET_ITEM(records, i);
        long flags = PyObject_TypeCheck(record, &RecordType) ? flags_of((Record *)record, &entropy) : 0;
        if ((flags == -1 && PyErr_Occurred()) || (flags & 1 && PyList_Append(sampled, record) < 0)) {
            Py_CLEAR(sampled);
        }
    }
    return sampled;
}
