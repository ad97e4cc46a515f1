/* Ids and OTLP bytes for batches of records of the usual kind; Python does the others, one by one. */
#include "record.h"

static int
is_none(PyObject *object)
{
    return object == NULL || object == Py_None;
}

static uint64_t
big_endian(const unsigned char *bytes)
{
    uint64_t number = 0;
    for (int i = 0; i < 8; i++) {
        number = number << 8 | bytes[i];
    }
    return number;
}

/* -- ids -- */

typedef struct {
    const unsigned char *next, *end;
    int flags;
} Entropy;

/* Give a root its ids; return whether that could be done. */
static int
give_root(Record *record, Entropy *entropy)
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
    return 1;
}

/* Return the parent of a record, borrowed: NULL if it has none, which may be an error. */
static PyObject *
parent_of(Record *record)
{
    if (PyDict_GET_SIZE(record->parent_context) == 0) {
        return NULL;
    }
    return PyDict_GetItemWithError(record->parent_context, known.span_key);
}

/* Make a record the child of a span, whose trace and flags it takes. */
static int
be_child(Record *record, uint64_t trace_high, uint64_t trace_low, uint64_t parent, int flags, Entropy *entropy)
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
    return 1;
}

/* Read an unsigned number of up to 16 bytes; return 0, or -1 with an error. */
static int
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

/* Give a record ids by what its parent, a span of somebody else's, says of itself. */
static int
give_child_of(PyObject *parent, Record *record, Entropy *entropy)
{
    unsigned char trace[16], span[16];
    PyObject *context = PyObject_CallMethod(parent, "get_span_context", NULL);
    int given = 0;
    /* trace id, span id, is remote, flags, state, is valid */
    if (context != NULL && PyTuple_Check(context) && PyTuple_GET_SIZE(context) == 6
        && PyTuple_GET_ITEM(context, 2) == Py_False && PyTuple_GET_ITEM(context, 4) == known.no_state
        && PyTuple_GET_ITEM(context, 5) == Py_True && read_number(PyTuple_GET_ITEM(context, 0), trace) == 0
        && read_number(PyTuple_GET_ITEM(context, 1), span) == 0) {
        long flags = PyLong_AsLong(PyTuple_GET_ITEM(context, 3));
        given = !PyErr_Occurred()
                && be_child(record, big_endian(trace), big_endian(trace + 8), big_endian(span + 8),
                            (int)flags & (entropy->flags | 1), entropy);
    }
    Py_XDECREF(context);
    PyErr_Clear(); /* the slow way finds and reports it */
    return given;
}

/* Give a record that has a parent its ids; return whether that could be done. */
static int
give_child(Record *record, Entropy *entropy)
{
    PyObject *found = parent_of(record);
    Record *parent = (Record *)found;
    if (is_none(found)) {
        PyErr_Clear();
        return 0;
    }
    if (!PyObject_TypeCheck(found, &RecordType)) {
        return give_child_of(found, record, entropy);
    }
    if (parent->span == 0 && (!is_none(parent->identity) || !give_root(parent, entropy))) {
        return 0;
    }
    return be_child(record, parent->trace_high, parent->trace_low, parent->span, parent->flags, entropy);
}

/* Return the flags of a record, whose ids are made if it has none; -1 with an error. */
static long
flags_of(Record *record, Entropy *entropy)
{
    PyObject *identity;
    long flags;
    if (record->span == 0 && is_none(record->identity)) {
        if (!give_root(record, entropy)) {
            give_child(record, entropy);
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

/* give_ids(records: list, entropy: bytes, flags: int) -> list of those that are sampled */
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

/* -- bytes -- */

typedef struct {
    char *data;
    size_t size, room;
} Buffer;

static int
reserve(Buffer *buffer, size_t more)
{
    if (buffer->size + more > buffer->room) {
        size_t room = (buffer->size + more) * 2;
        char *data = PyMem_Realloc(buffer->data, room);
        if (data == NULL) {
            PyErr_NoMemory();
            return -1;
        }
        buffer->data = data;
        buffer->room = room;
    }
    return 0;
}

static int
put(Buffer *buffer, PyObject *bytes)
{
    size_t size;
    if (!PyBytes_Check(bytes)) {
        PyErr_SetString(PyExc_TypeError, "not bytes");
        return -1;
    }
    size = (size_t)PyBytes_GET_SIZE(bytes);
    if (reserve(buffer, size) < 0) {
        return -1;
    }
    memcpy(buffer->data + buffer->size, PyBytes_AS_STRING(bytes), size);
    buffer->size += size;
    return 0;
}

static int
put_number(Buffer *buffer, uint64_t number, int bytes, int big)
{
    if (reserve(buffer, 8) < 0) {
        return -1;
    }
    for (int i = 0; i < bytes; i++) {
        int shift = 8 * (big ? bytes - 1 - i : i);
        buffer->data[buffer->size++] = (char)(number >> shift & 0xFF);
    }
    return 0;
}

#define LITTLE(number, bytes) put_number(buffer, (uint64_t)(number), bytes, 0)
#define BIG(number) put_number(buffer, number, 8, 1)
#define PIECE(index) put(buffer, PyTuple_GET_ITEM(pieces, index))

/* Pieces: start of a root, start of a child, tags of span and parent id, head, tag of end time, tail.
   A parent of the usual kind is of this process: nothing else stands in the flags.
   Return 1 if written, 0 if it is not of the usual kind, -1 with an error. */
static int
put_span(Buffer *buffer, Record *record, PyObject *pieces, int64_t offset)
{
    int is_root = record->parent_span == 0;
    int failed = PIECE(is_root ? 0 : 1) < 0 || BIG(record->trace_high) < 0 || BIG(record->trace_low) < 0
             || PIECE(2) < 0 || BIG(record->span) < 0
             || (!is_root && (PIECE(3) < 0 || BIG(record->parent_span) < 0)) || PIECE(4) < 0
             || LITTLE(record->started + offset, 8) < 0 || PIECE(5) < 0
             || LITTLE(record->ended + offset, 8) < 0 || PIECE(6) < 0;
    return failed ? -1 : 1;
}

/* Pieces: start, middle, what follows the duration, tags of trace id, span id and observed time, end. */
static int
put_log(Buffer *buffer, Record *record, PyObject *pieces, int64_t offset)
{
    int64_t taken = record->ended - record->started;
    double seconds = (double)(taken > 0 ? taken : 0) / 1e9;
    uint64_t bits;
    int failed;
    if (record->flags == 0) {
        return 0;
    }
    memcpy(&bits, &seconds, 8);
    failed = PIECE(0) < 0 || LITTLE(record->ended + offset, 8) < 0 || PIECE(1) < 0 || LITTLE(bits, 8) < 0
             || PIECE(2) < 0 || LITTLE(record->flags, 4) < 0 || PIECE(3) < 0
             || BIG(record->trace_high) < 0 || BIG(record->trace_low) < 0 || PIECE(4) < 0
             || BIG(record->span) < 0 || PIECE(5) < 0 || LITTLE(record->ended + offset, 8) < 0
             || PIECE(6) < 0;
    return failed ? -1 : 1;
}

static int
put_slowly(Buffer *buffer, PyObject *record, PyObject *slow)
{
    PyObject *parts = PyObject_CallOneArg(slow, record);
    int failed = parts == NULL || !PyTuple_Check(parts);
    for (Py_ssize_t i = 0; !failed && i < PyTuple_GET_SIZE(parts); i++) {
        failed = put(buffer, PyTuple_GET_ITEM(parts, i)) < 0;
    }
    Py_XDECREF(parts);
    return failed ? -1 : 1;
}

typedef int (*Put)(Buffer *, Record *, PyObject *, int64_t);

static int
put_records(Buffer *buffer, PyObject *records, PyObject *find, PyObject *slow, Put put_one)
{
    PyObject *site = NULL, *verdict = NULL, *pieces = NULL; /* borrowed from the record before; our own */
    int64_t offset = clock_offset();
    int state = 1;
    for (Py_ssize_t i = 0; state >= 0 && i < PyList_GET_SIZE(records); i++) {
        PyObject *object = PyList_GET_ITEM(records, i);
        Record *record = (Record *)object;
        state = 0;
        if (PyObject_TypeCheck(object, &RecordType) && record->span != 0 && is_none(record->details)) {
            if (record->site != site || record->verdict != verdict) {
                Py_XSETREF(pieces, PyObject_CallOneArg(find, object));
                site = record->site;
                verdict = record->verdict;
                if (pieces == NULL) {
                    return -1;
                }
            }
            if (PyTuple_Check(pieces) && PyTuple_GET_SIZE(pieces) == 7) {
                size_t size = buffer->size;
                state = put_one(buffer, record, pieces, offset);
                buffer->size = state == 1 ? buffer->size : size;
            }
        }
        if (state == 0) {
            state = put_slowly(buffer, object, slow);
        }
    }
    Py_XDECREF(pieces);
    return state;
}

static PyObject *
encode(PyObject *arguments, Put put_one)
{
    PyObject *records, *find, *slow, *result;
    Buffer buffer = {NULL, 0, 0};
    if (!PyArg_ParseTuple(arguments, "O!OO", &PyList_Type, &records, &find, &slow)) {
        return NULL;
    }
    result = put_records(&buffer, records, find, slow, put_one) < 0
                 ? NULL
                 : PyBytes_FromStringAndSize(buffer.data, (Py_ssize_t)buffer.size);
    PyMem_Free(buffer.data);
    return result;
}

/* encode_spans(records: list, find, slow) -> bytes
   find(record) -> the pieces of a template, or None; slow(record) -> tuple of bytes */
PyObject *
encode_spans(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    return encode(arguments, put_span);
}

/* encode_logs(records: list, find, slow) -> bytes */
PyObject *
encode_logs(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    return encode(arguments, put_log);
}
