/* Creates OTLP bytes for batches of records. Records that need Python code are passed to Python one by one. */
#include "record.h"

static struct {
    PyObject *attributes, *keys, *numbers;
} names;

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
put_bytes(Buffer *buffer, const char *bytes, size_t size)
{
    if (reserve(buffer, size) < 0) {
        return -1;
    }
    if (size > 0) {
        memcpy(buffer->data + buffer->size, bytes, size);
    }
    buffer->size += size;
    return 0;
}

static int
put(Buffer *buffer, PyObject *bytes)
{
    if (!PyBytes_Check(bytes)) {
        PyErr_SetString(PyExc_TypeError, "not bytes");
        return -1;
    }
    return put_bytes(buffer, PyBytes_AS_STRING(bytes), (size_t)PyBytes_GET_SIZE(bytes));
}

static int
put_varint(Buffer *buffer, uint64_t number)
{
    if (reserve(buffer, 10) < 0) {
        return -1;
    }
    for (; number > 0x7F; number >>= 7) {
        buffer->data[buffer->size++] = (char)(0x80 | (number & 0x7F));
    }
    buffer->data[buffer->size++] = (char)number;
    return 0;
}

static size_t
varint_size(uint64_t number)
{
    size_t size = 1;
    for (; number > 0x7F; number >>= 7) {
        size++;
    }
    return size;
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

/* Write an attribute whose value is an int. Return 1, 0 if the value has another type, or -1 with an error set. */
static int
put_attribute(Buffer *buffer, char tag, PyObject *key, PyObject *value)
{
    Py_ssize_t length;
    const char *name = PyUnicode_Check(key) ? PyUnicode_AsUTF8AndSize(key, &length) : NULL;
    int overflow = 0;
    long long number = PyLong_CheckExact(value) ? PyLong_AsLongLongAndOverflow(value, &overflow) : -1;
    size_t name_size, value_size;
    if (PyErr_Occurred() || name == NULL || overflow || !PyLong_CheckExact(value)) {
        PyErr_Clear(); /* the Python code reports the same error */
        return 0;
    }
    name_size = 1 + varint_size((uint64_t)length) + (size_t)length;
    value_size = 1 + varint_size((uint64_t)number);
    return put_bytes(buffer, &tag, 1) < 0 || put_varint(buffer, name_size + 2 + value_size) < 0
                   || put_bytes(buffer, "\x0a", 1) < 0 || put_varint(buffer, (uint64_t)length) < 0
                   || put_bytes(buffer, name, (size_t)length) < 0 || put_bytes(buffer, "\x12", 1) < 0
                   || put_varint(buffer, value_size) < 0 || put_bytes(buffer, "\x18", 1) < 0
                   || put_varint(buffer, (uint64_t)number) < 0
               ? -1
               : 1;
}

/* Write the attributes of shared details. Return the same values as `put_attribute`. */
static int
put_shared(Buffer *buffer, char tag, PyObject *details)
{
    PyObject *keys = PyObject_GetAttr(details, names.keys);
    PyObject *numbers = keys == NULL ? NULL : PyObject_GetAttr(details, names.numbers);
    int state = numbers == NULL ? -1 : 0;
    if (state == 0 && PyTuple_CheckExact(keys) && PyTuple_CheckExact(numbers)
        && PyTuple_GET_SIZE(keys) == PyTuple_GET_SIZE(numbers)) {
        state = 1;
        for (Py_ssize_t i = 0; state == 1 && i < PyTuple_GET_SIZE(keys); i++) {
            state = put_attribute(buffer, tag, PyTuple_GET_ITEM(keys, i), PyTuple_GET_ITEM(numbers, i));
        }
    }
    Py_XDECREF(keys);
    Py_XDECREF(numbers);
    return state;
}

/* Write the attributes of a record's details. Return the same values as `put_attribute`. */
static int
put_details(Buffer *buffer, char tag, PyObject *details)
{
    PyObject *attributes, *key, *value;
    Py_ssize_t position = 0;
    int state;
    if (is_none(details)) {
        return 1;
    }
    if (PyObject_TypeCheck(details, (PyTypeObject *)known.shared_details)) {
        return put_shared(buffer, tag, details);
    }
    attributes = PyObject_GetAttr(details, names.attributes);
    if (attributes == NULL) {
        return -1;
    }
    state = PyDict_CheckExact(attributes);
    while (state == 1 && PyDict_Next(attributes, &position, &key, &value)) {
        state = put_attribute(buffer, tag, key, value);
    }
    Py_DECREF(attributes);
    return state;
}

/* Write the start of a record, with the length of its template increased by `more` bytes. */
static int
put_start(Buffer *buffer, PyObject *start, size_t more)
{
    const char *bytes;
    size_t length = 0, at = 1;
    int shift = 0;
    if (more == 0 || !PyBytes_Check(start)) {
        return put(buffer, start);
    }
    bytes = PyBytes_AS_STRING(start);
    do {
        length |= (size_t)(bytes[at] & 0x7F) << shift;
        shift += 7;
    } while (bytes[at++] & 0x80);
    return put_bytes(buffer, bytes, 1) < 0 || put_varint(buffer, length + more) < 0
                   || put_bytes(buffer, bytes + at, (size_t)PyBytes_GET_SIZE(start) - at) < 0
               ? -1
               : 0;
}

#define LITTLE(number, bytes) put_number(buffer, (uint64_t)(number), bytes, 0)
#define BIG(number) put_number(buffer, number, 8, 1)
#define PIECE(index) put(buffer, PyTuple_GET_ITEM(pieces, index))
#define START(index) put_start(buffer, PyTuple_GET_ITEM(pieces, index), own->size)
#define OWN() put_bytes(buffer, own->data, own->size)

/* Write a span. Pieces: start of a root span, start of a child span, tag of the span id, tag of the parent id, head,
   tag of the end time, the fields before and after the execution's own attributes.
   The flags field is part of the last piece: parents from other processes are left to Python.
   Return 1, 0 if Python has to do it, or -1 with an error set. */
static int
put_span(Buffer *buffer, Record *record, PyObject *pieces, int64_t offset, Buffer *own)
{
    int is_root = record->parent_span == 0;
    int failed = START(is_root ? 0 : 1) < 0 || BIG(record->trace_high) < 0 || BIG(record->trace_low) < 0
             || PIECE(2) < 0 || BIG(record->span) < 0
             || (!is_root && (PIECE(3) < 0 || BIG(record->parent_span) < 0)) || PIECE(4) < 0
             || LITTLE(record->started + offset, 8) < 0 || PIECE(5) < 0
             || LITTLE(record->ended + offset, 8) < 0 || PIECE(6) < 0 || OWN() < 0 || PIECE(7) < 0;
    return failed ? -1 : 1;
}

/* Write a log record. Pieces: start, the fields before and after the execution's own attributes, the fields after the
   duration, tag of the trace id, tag of the span id, tag of the observed time, end.
   Return 1, 0 if Python has to do it, or -1 with an error set. */
static int
put_log(Buffer *buffer, Record *record, PyObject *pieces, int64_t offset, Buffer *own)
{
    int64_t duration = record->ended - record->started;
    double seconds = (double)(duration > 0 ? duration : 0) / 1e9;
    uint64_t bits;
    int failed;
    if (record->flags == 0) {
        return 0;
    }
    memcpy(&bits, &seconds, 8);
    failed = START(0) < 0 || LITTLE(record->ended + offset, 8) < 0 || PIECE(1) < 0 || OWN() < 0
             || PIECE(2) < 0 || LITTLE(bits, 8) < 0 || PIECE(3) < 0 || LITTLE(record->flags, 4) < 0
             || PIECE(4) < 0 || BIG(record->trace_high) < 0 || BIG(record->trace_low) < 0 || PIECE(5) < 0
             || BIG(record->span) < 0 || PIECE(6) < 0 || LITTLE(record->ended + offset, 8) < 0
             || PIECE(7) < 0;
    return failed ? -1 : 1;
}

static int
put_with_python(Buffer *buffer, PyObject *record, PyObject *encode_one)
{
    PyObject *parts = PyObject_CallOneArg(encode_one, record);
    int failed = parts == NULL || !PyTuple_Check(parts);
    for (Py_ssize_t i = 0; !failed && i < PyTuple_GET_SIZE(parts); i++) {
        failed = put(buffer, PyTuple_GET_ITEM(parts, i)) < 0;
    }
    Py_XDECREF(parts);
    return failed ? -1 : 1;
}

typedef struct {
    int (*put)(Buffer *, Record *, PyObject *, int64_t, Buffer *);
    char attribute; /* the tag of an attribute */
} Kind;

/* The template of the previous record. */
typedef struct {
    PyObject *site, *verdict, *details_type; /* borrowed from the previous record */
    PyObject *pieces;
} LastTemplate;

/* Find the pieces of a record. The pieces of the previous record are reused if site and verdict are the same and the
   record has no details or shared details. Return 0, or -1 with an error set. */
static int
find_pieces(LastTemplate *last, Record *record, PyObject *find)
{
    PyObject *type = is_none(record->details) ? NULL : (PyObject *)Py_TYPE(record->details);
    int same = record->site == last->site && record->verdict == last->verdict && type == last->details_type;
    if (same && (type == NULL || PyType_IsSubtype((PyTypeObject *)type, (PyTypeObject *)known.shared_details))) {
        return 0;
    }
    Py_XSETREF(last->pieces, PyObject_CallOneArg(find, (PyObject *)record));
    last->site = record->site;
    last->verdict = record->verdict;
    last->details_type = type;
    return last->pieces == NULL ? -1 : 0;
}

/* Write a record with its template. Return 1, 0 if Python has to do it, or -1 with an error set. */
static int
put_with_template(Buffer *buffer, Buffer *own, Record *record, LastTemplate *last, PyObject *find,
                  const Kind *kind, int64_t offset)
{
    size_t size = buffer->size;
    int state;
    if (record->span == 0) {
        return 0;
    }
    if (find_pieces(last, record, find) < 0) {
        return -1;
    }
    if (!PyTuple_Check(last->pieces) || PyTuple_GET_SIZE(last->pieces) != 8) {
        return 0;
    }
    own->size = 0;
    state = put_details(own, kind->attribute, record->details);
    if (state == 1) {
        state = kind->put(buffer, record, last->pieces, offset, own);
    }
    buffer->size = state == 1 ? buffer->size : size;
    return state;
}

static int
put_records(Buffer *buffer, Buffer *own, PyObject *records, PyObject *find, PyObject *encode_one,
            const Kind *kind)
{
    LastTemplate last = {NULL, NULL, NULL, NULL};
    int64_t offset = clock_offset();
    int state = 1;
    for (Py_ssize_t i = 0; state >= 0 && i < PyList_GET_SIZE(records); i++) {
        PyObject *object = PyList_GET_ITEM(records, i);
        state = PyObject_TypeCheck(object, &RecordType)
                    ? put_with_template(buffer, own, (Record *)object, &last, find, kind, offset)
                    : 0;
        if (state == 0) {
            state = put_with_python(buffer, object, encode_one);
        }
    }
    Py_XDECREF(last.pieces);
    return state;
}

static PyObject *
encode(PyObject *arguments, const Kind *kind)
{
    PyObject *records, *find, *encode_one, *result;
    Buffer buffer = {NULL, 0, 0}, own = {NULL, 0, 0};
    if (!PyArg_ParseTuple(arguments, "O!OO", &PyList_Type, &records, &find, &encode_one)) {
        return NULL;
    }
    if (names.attributes == NULL) {
        names.attributes = PyUnicode_InternFromString("attributes");
        names.keys = PyUnicode_InternFromString("keys");
        names.numbers = PyUnicode_InternFromString("numbers");
    }
    result = put_records(&buffer, &own, records, find, encode_one, kind) < 0
                 ? NULL
                 : PyBytes_FromStringAndSize(buffer.data, (Py_ssize_t)buffer.size);
    PyMem_Free(buffer.data);
    PyMem_Free(own.data);
    return result;
}

/* encode_spans(records: list, find, encode_one) -> bytes
   find(record) -> the pieces of a template that can encode the record, or None; encode_one(record) -> tuple of bytes */
PyObject *
encode_spans(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    static const Kind spans = {put_span, '\x4a'};
    return encode(arguments, &spans);
}

/* encode_logs(records: list, find, encode_one) -> bytes */
PyObject *
encode_logs(PyObject *Py_UNUSED(module), PyObject *arguments)
{
    static const Kind logs = {put_log, '\x32'};
    return encode(arguments, &logs);
}
