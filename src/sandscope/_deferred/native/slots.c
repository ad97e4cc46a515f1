/* Writes records into the slots of a black box. See `Slots` in `_slots.py` for the documentation. */
#include "hot_path.h"
#include <stddef.h>
#include <structmember.h>
#ifndef _WIN32
#include <pthread.h>
#endif

enum { FREE, RUNNING, ENDED };
enum { ALL_DONE = 7, HAS_DETAILS = 16 }; /* marks; the first: of spans, log records and metrics */
enum { RESERVE = 1024 };

typedef struct {
    uint64_t trace_high, trace_low, span, parent;
    int64_t started, ended; /* perf_counter_ns */
    uint32_t site, outcome; /* numbers of the legend */
    uint8_t flags, marks;
    uint16_t unused;
    uint32_t state; /* stored last, so that a process can die between any two stores */
} Slot;

typedef struct Slots {
    PyObject_HEAD
    Py_buffer buffer;
    Slot *slots; /* NULL: not in use any more, or of the parent process */
    uint32_t count, *free, free_count;
    uint32_t generation; /* of the process that has the slots */
    PyObject *sites, *site_number, *outcome_number;
    PyObject *last_site; /* sites are immutable */
    uint32_t last_number;
    long long left_out;
} Slots;

typedef char slot_is_as_in_box_layout[sizeof(Slot) == 64 ? 1 : -1];

/* Incremented in each forked child, before it can run anything that would write to its parent's slots. */
static uint32_t generation;

#ifndef _WIN32
static void
in_forked_child(void)
{
    generation++;
}
#endif

static void
watch_forks(void)
{
#ifndef _WIN32
    static int watched;
    if (!watched) {
        watched = pthread_atfork(NULL, NULL, in_forked_child) == 0;
    }
#endif
}

static int
in_use(Slots *self)
{
    return self->slots != NULL && self->generation == generation;
}

static uint32_t
number_from(PyObject *object)
{
    unsigned long number = object == NULL ? 0 : PyLong_AsUnsignedLong(object);
    if (PyErr_Occurred()) {
        report_error("black_box");
        return 0;
    }
    return (uint32_t)number;
}

/* Return the number of a record's site; 0 if the legend has none. */
static uint32_t
site_number(Slots *self, Record *record)
{
    PyObject *number;
    uint32_t found;
    if (record->site == self->last_site) {
        return self->last_number;
    }
    number = Py_XNewRef(PyDict_GetItemWithError(self->sites, record->site));
    if (number == NULL && !PyErr_Occurred()) {
        number = PyObject_CallOneArg(self->site_number, (PyObject *)record);
    }
    found = number_from(number);
    Py_XDECREF(number);
    if (found != 0) {
        self->last_number = found;
        Py_XSETREF(self->last_site, Py_NewRef(record->site));
    }
    return found;
}

static Slot *
slot_of(Record *record)
{
    return record->box == NULL || !in_use(record->box) ? NULL : &record->box->slots[record->slot];
}

static void
set_state(Slot *slot, uint32_t state)
{
#if defined(__GNUC__) || defined(__clang__)
    __atomic_store_n(&slot->state, state, __ATOMIC_RELEASE);
#else
    *(volatile uint32_t *)&slot->state = state;
#endif
}

void
slots_begin(PyObject *slots, Record *record)
{
    Slots *self = (Slots *)slots;
    Slot *slot;
    uint32_t site;
    if (slots == NULL || !Py_IS_TYPE(slots, &SlotsType) || !in_use(self)) {
        return;
    }
    slot = slot_of(record);
    if (slot != NULL) { /* it begins earlier than was assumed */
        slot->started = record->started;
        return;
    }
    site = site_number(self, record);
    if (site == 0 || !in_use(self) || self->free_count == 0) {
        self->left_out++;
        return;
    }
    record->slot = self->free[--self->free_count];
    Py_XSETREF(record->box, (Slots *)Py_NewRef(self));
    slot = &self->slots[record->slot];
    slot->started = record->started;
    slot->site = site;
    set_state(slot, RUNNING);
    if (record->span != 0 || record->identity != NULL) {
        slots_identify(record);
    }
}

static void
put_back(Slots *self, uint32_t index)
{
    Slot *slot = &self->slots[index];
    set_state(slot, FREE);
    memset(slot, 0, sizeof(Slot));
    self->free[self->free_count++] = index;
}

void
slots_leave(Record *record)
{
    if (slot_of(record) != NULL) {
        put_back(record->box, record->slot);
    }
    Py_CLEAR(record->box);
}

void
slots_end(Record *record)
{
    Slot *slot = slot_of(record);
    if (slot == NULL) {
        return;
    }
    if (record->box->free_count < RESERVE) { /* for those that will run, which nobody else can tell of */
        record->box->left_out++;
        slots_leave(record);
        return;
    }
    if (record->verdict == known.ok) {
        slot->outcome = 1;
    } else {
        PyObject *number = PyObject_CallOneArg(record->box->outcome_number, (PyObject *)record);
        uint32_t outcome = number_from(number);
        Py_XDECREF(number);
        slot = slot_of(record); /* the call above may have closed the box */
        if (slot == NULL) {
            return;
        }
        slot->outcome = outcome;
    }
    if (record->details != NULL && record->details != Py_None) {
        slot->marks |= HAS_DETAILS;
    }
    slot->ended = record->ended;
    set_state(slot, ENDED);
}

/* Read the ids and the flags of a SpanContext. Return 0, or -1 with an error set. */
static int
read_ids(PyObject *context, uint64_t *high, uint64_t *low, uint64_t *span, long *flags)
{
    unsigned char trace_bytes[16], span_bytes[16];
    if (!PyTuple_Check(context) || PyTuple_GET_SIZE(context) < 4) {
        PyErr_SetString(PyExc_TypeError, "not a span context");
        return -1;
    }
    if (read_number(PyTuple_GET_ITEM(context, 0), trace_bytes) < 0
        || read_number(PyTuple_GET_ITEM(context, 1), span_bytes) < 0) {
        return -1;
    }
    *high = big_endian(trace_bytes);
    *low = big_endian(trace_bytes + 8);
    *span = big_endian(span_bytes + 8);
    *flags = PyLong_AsLong(PyTuple_GET_ITEM(context, 3));
    return PyErr_Occurred() ? -1 : 0;
}

/* Write the ids of a record that has a SpanContext. Return 0, or -1 with an error set. */
static int
identify_by_context(Record *record)
{
    uint64_t high, low, span, parent = 0, ignored;
    long flags, of_parent;
    Slot *slot;
    PyObject *context = PyObject_GetAttrString((PyObject *)record, "parent");
    if (context == NULL) {
        return -1;
    }
    if (context != Py_None && read_ids(context, &ignored, &ignored, &parent, &of_parent) < 0) {
        Py_DECREF(context);
        return -1;
    }
    Py_DECREF(context);
    if (record->identity == NULL || read_ids(record->identity, &high, &low, &span, &flags) < 0) {
        return PyErr_Occurred() ? -1 : 0;
    }
    slot = slot_of(record); /* the calls above may have closed the box */
    if (slot != NULL) {
        slot->trace_high = high;
        slot->trace_low = low;
        slot->parent = parent;
        slot->flags = (uint8_t)flags;
        slot->span = span;
    }
    return 0;
}

void
slots_identify(Record *record)
{
    Slot *slot = slot_of(record);
    if (slot == NULL) {
        return;
    }
    if (record->span != 0) {
        slot->trace_high = record->trace_high;
        slot->trace_low = record->trace_low;
        slot->parent = record->parent_span;
        slot->flags = (uint8_t)record->flags;
        slot->span = record->span;
    } else if (identify_by_context(record) < 0) {
        report_error("black_box");
    }
}

static PyObject *
method_begin(PyObject *self, PyObject *record)
{
    if (PyObject_TypeCheck(record, &RecordType)) {
        slots_begin(self, (Record *)record);
    }
    Py_RETURN_NONE;
}

static PyObject *
method_mark(Slots *self, PyObject *args)
{
    PyObject *records;
    int marks;
    if (!PyArg_ParseTuple(args, "O!i", &PyList_Type, &records, &marks)) {
        return NULL;
    }
    for (Py_ssize_t i = 0; i < PyList_GET_SIZE(records); i++) {
        Record *record = (Record *)PyList_GET_ITEM(records, i);
        Slot *slot;
        if (!PyObject_TypeCheck((PyObject *)record, &RecordType) || record->box != self
            || (slot = slot_of(record)) == NULL) {
            continue;
        }
        slot->marks |= (uint8_t)marks;
        if ((slot->marks & ALL_DONE) == ALL_DONE) {
            slots_leave(record);
        }
    }
    Py_RETURN_NONE;
}

static PyObject *
method_close(Slots *self, PyObject *Py_UNUSED(ignored))
{
    if (self->slots != NULL) {
        self->slots = NULL;
        PyBuffer_Release(&self->buffer);
    }
    Py_RETURN_NONE;
}

static int
slots_init(Slots *self, PyObject *args, PyObject *keywords)
{
    static char *parameters[] = {"buffer", "sites", "site_number", "outcome_number", NULL};
    PyObject *sites, *site_number, *outcome_number;
    Py_buffer buffer;
    if (self->slots != NULL
        || !PyArg_ParseTupleAndKeywords(args, keywords, "w*O!OO", parameters, &buffer, &PyDict_Type, &sites,
                                        &site_number, &outcome_number)) {
        return -1;
    }
    self->count = (uint32_t)(buffer.len / (Py_ssize_t)sizeof(Slot));
    self->free = PyMem_Calloc(self->count + 1, sizeof(uint32_t));
    if (self->free == NULL || (uintptr_t)buffer.buf % sizeof(Slot) != 0) {
        PyBuffer_Release(&buffer);
        PyErr_SetString(PyExc_ValueError, "no buffer of slots");
        return -1;
    }
    for (uint32_t index = 0; index < self->count; index++) {
        self->free[index] = self->count - 1 - index; /* the first slots first */
    }
    self->free_count = self->count;
    watch_forks();
    self->generation = generation;
    self->buffer = buffer;
    self->slots = buffer.buf;
    self->sites = Py_NewRef(sites);
    self->site_number = Py_NewRef(site_number);
    self->outcome_number = Py_NewRef(outcome_number);
    return 0;
}

static int
slots_traverse(Slots *self, visitproc visit, void *arg)
{
    Py_VISIT(self->sites);
    Py_VISIT(self->site_number);
    Py_VISIT(self->outcome_number);
    Py_VISIT(self->last_site);
    return 0;
}

static int
slots_clear(Slots *self)
{
    Py_CLEAR(self->sites);
    Py_CLEAR(self->site_number);
    Py_CLEAR(self->outcome_number);
    Py_CLEAR(self->last_site);
    return 0;
}

static void
slots_dealloc(Slots *self)
{
    PyObject_GC_UnTrack(self);
    Py_XDECREF(method_close(self, NULL));
    PyMem_Free(self->free);
    slots_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyMethodDef slots_methods[] = {
    {"begin", method_begin, METH_O, NULL},
    {"mark", (PyCFunction)method_mark, METH_VARARGS, NULL},
    {"close", (PyCFunction)method_close, METH_NOARGS, NULL},
    {NULL},
};

static PyMemberDef slots_members[] = {
    {"left_out", T_LONGLONG, offsetof(Slots, left_out), READONLY, NULL},
    {NULL},
};

PyTypeObject SlotsType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "sandscope._deferred._native.Slots",
    .tp_basicsize = sizeof(Slots),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_init = (initproc)slots_init,
    .tp_new = PyType_GenericNew,
    .tp_traverse = (traverseproc)slots_traverse,
    .tp_clear = (inquiry)slots_clear,
    .tp_dealloc = (destructor)slots_dealloc,
    .tp_methods = slots_methods,
    .tp_members = slots_members,
};
