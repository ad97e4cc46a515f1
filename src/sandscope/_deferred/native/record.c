/* The record of an execution. See `Record` in `_hot_path.py` for the documentation. */
#include "record.h"
#include <structmember.h>

static int
record_traverse(Record *self, visitproc visit, void *arg)
{
    Py_VISIT(self->site);
    Py_VISIT(self->parent_context);
    Py_VISIT(self->verdict);
    Py_VISIT(self->details);
    Py_VISIT(self->token);
    Py_VISIT(self->identity);
    return 0;
}

static int
record_clear(Record *self)
{
    Py_CLEAR(self->site);
    Py_CLEAR(self->parent_context);
    Py_CLEAR(self->verdict);
    Py_CLEAR(self->details);
    Py_CLEAR(self->token);
    Py_CLEAR(self->identity);
    return 0;
}

static void
record_dealloc(Record *self)
{
    PyObject_GC_UnTrack(self);
    if (self->weak_references != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    slots_leave(self);
    record_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyObject *
identity_get(Record *self, void *Py_UNUSED(closure))
{
    if (self->identity == NULL && self->span != 0) {
        PyObject *trace, *identity;
        PyObject *high = PyLong_FromUnsignedLongLong(self->trace_high);
        PyObject *low = PyLong_FromUnsignedLongLong(self->trace_low);
        PyObject *width = PyLong_FromLong(64);
        PyObject *shifted = high && width ? PyNumber_Lshift(high, width) : NULL;
        trace = shifted && low ? PyNumber_Or(shifted, low) : NULL;
        Py_XDECREF(high);
        Py_XDECREF(low);
        Py_XDECREF(width);
        Py_XDECREF(shifted);
        if (trace == NULL) {
            return NULL;
        }
        identity = PyObject_CallFunction(known.span_context, "NKON", trace,
                                         (unsigned long long)self->span, Py_False,
                                         PyObject_CallFunction(known.trace_flags, "i", self->flags));
        if (identity == NULL) {
            return NULL;
        }
        if (self->identity == NULL) { /* the calls above may have set it */
            self->identity = identity;
        } else {
            Py_DECREF(identity);
        }
    }
    return Py_NewRef(self->identity == NULL ? Py_None : self->identity);
}

static int
identity_set(Record *self, PyObject *value, void *Py_UNUSED(closure))
{
    self->span = 0;
    Py_XSETREF(self->identity, value == NULL || value == Py_None ? NULL : Py_NewRef(value));
    return 0;
}

/* The GIL is held between the check and the assignment, so all threads see the same ids. */
static PyObject *
record_adopt(Record *self, PyObject *identity)
{
    if (self->identity == NULL && self->span == 0) {
        self->identity = Py_NewRef(identity);
        slots_identify(self);
    }
    return identity_get(self, NULL);
}

static PyObject *
record_finish(Record *self, PyObject *const *args, Py_ssize_t count, PyObject *names)
{
    static PyObject *verdict_name, *end_time_name, *recorder_name;
    PyObject *verdict = known.ok, *end_time = NULL;
    int64_t ended = clock_now();
    Py_ssize_t named = names == NULL ? 0 : PyTuple_GET_SIZE(names);

    if (recorder_name == NULL) {
        verdict_name = PyUnicode_InternFromString("verdict");
        end_time_name = PyUnicode_InternFromString("end_time");
        recorder_name = PyUnicode_InternFromString("recorder");
    }
    if (count > 1) {
        PyErr_SetString(PyExc_TypeError, "finish() takes at most 1 positional argument");
        return NULL;
    }
    if (count == 1) {
        verdict = args[0];
    }
    for (Py_ssize_t i = 0; i < named; i++) {
        PyObject *name = PyTuple_GET_ITEM(names, i);
        if (PyUnicode_Compare(name, end_time_name) == 0) {
            end_time = args[count + i];
        } else if (count == 0 && PyUnicode_Compare(name, verdict_name) == 0) {
            verdict = args[count + i];
        } else {
            PyErr_Format(PyExc_TypeError, "finish() got an unexpected keyword argument %R", name);
            return NULL;
        }
    }
    if (end_time != NULL && end_time != Py_None) {
        int overflow;
        long long given = PyLong_AsLongLongAndOverflow(end_time, &overflow);
        if (given == -1 && PyErr_Occurred()) {
            return NULL;
        }
        if (!overflow && given >= 0) {
            given -= clock_offset();
            ended = given < self->started ? self->started : given;
        }
    }
    if (self->verdict == NULL || self->verdict == Py_None) {
        PyObject *recorder;
        int result;
        self->ended = ended;
        Py_XSETREF(self->verdict, Py_NewRef(verdict));
        recorder = PyObject_GetAttr((PyObject *)self, recorder_name);
        if (recorder == NULL) {
            return NULL;
        }
        result = take_record(recorder, self);
        Py_DECREF(recorder);
        if (result < 0) {
            return NULL;
        }
    }
    Py_RETURN_NONE;
}

static PyMemberDef record_members[] = {
    {"site", T_OBJECT, offsetof(Record, site), 0, NULL},
    {"parent_context", T_OBJECT, offsetof(Record, parent_context), 0, NULL},
    {"verdict", T_OBJECT, offsetof(Record, verdict), 0, NULL},
    {"details", T_OBJECT, offsetof(Record, details), 0, NULL},
    {"token", T_OBJECT, offsetof(Record, token), 0, NULL},
    {"started", T_LONGLONG, offsetof(Record, started), 0, NULL},
    {"ended", T_LONGLONG, offsetof(Record, ended), 0, NULL},
    {NULL},
};

static PyGetSetDef record_properties[] = {
    {"identity", (getter)identity_get, (setter)identity_set, NULL, NULL},
    {NULL},
};

static PyMethodDef record_methods[] = {
    {"adopt", (PyCFunction)record_adopt, METH_O, NULL},
    {"finish", (PyCFunction)(void (*)(void))record_finish, METH_FASTCALL | METH_KEYWORDS, NULL},
    {NULL},
};

PyTypeObject RecordType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "sandscope._deferred._native.Record",
    .tp_basicsize = sizeof(Record),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_traverse = (traverseproc)record_traverse,
    .tp_clear = (inquiry)record_clear,
    .tp_dealloc = (destructor)record_dealloc,
    .tp_weaklistoffset = offsetof(Record, weak_references),
    .tp_members = record_members,
    .tp_getset = record_properties,
    .tp_methods = record_methods,
};
