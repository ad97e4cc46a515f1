/* The wrapper of a patched method. See `HotPath.wrap_method` in `_hot_path.py` for the documentation. */
#include "hot_path.h"
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    HotPath *path;
    PyObject *method, *attribute, *site, *start;
    vectorcallfunc call_method;
    PyObject *shared;   /* the attribute of the second argument that holds shared details, or NULL */
    PyObject *measured; /* called instead of the method for calls that are measured, or NULL */
    int measures_all;   /* whether all calls are measured */
    PyObject *last_site; /* the site of the last call; sites are immutable */
    int current;         /* whether the site's executions become current */
    PyObject *attributes; /* the wrapper's own __dict__ */
    PyObject *weak_references;
} Wrapper;

static PyObject *
site_of(Wrapper *self, PyObject *const *args, size_t count)
{
    PyObject *site = NULL;
    if (count > 0) {
        site = optional_attribute(args[0], self->attribute);
        if (site == NULL && PyErr_Occurred()) {
            return NULL;
        }
    }
    return site == NULL ? Py_NewRef(self->site) : site;
}

static size_t
count_all(size_t count, PyObject *keywords)
{
    return count + (keywords == NULL ? 0 : (size_t)PyTuple_GET_SIZE(keywords));
}

/* Return the shared details of the second argument, positional or keyword, or NULL. */
static PyObject *
shared_details(Wrapper *self, PyObject *const *args, size_t all)
{
    PyObject *details = NULL;
    if (self->shared != NULL && all > 1) {
        details = optional_attribute(args[1], self->shared);
        if (details == NULL && PyErr_Occurred()) {
            report_error("recorder.begin");
        }
    }
    if (details != NULL && !PyObject_TypeCheck(details, (PyTypeObject *)known.shared_details)) {
        Py_CLEAR(details);
    }
    return details;
}

/* Return whether a call is measured. See `is_measured` in `_recorder.py`. */
static int
is_measured(PyObject *details, int measures_all)
{
    static PyObject *skip_name, *running_name;
    PyObject *running, *skip;
    long calls;
    int result;
    if (skip_name == NULL) {
        skip_name = PyUnicode_InternFromString("skip");
        running_name = PyUnicode_InternFromString("running");
    }
    if (!measures_all) {
        skip = PyObject_GetAttr(details, skip_name);
        calls = skip == NULL ? -1 : PyLong_AsLong(skip);
        Py_XDECREF(skip);
        if (calls > 0) {
            skip = PyLong_FromLong(calls - 1);
            if (skip == NULL || PyObject_SetAttr(details, skip_name, skip) < 0) {
                report_error("recorder.begin");
            }
            Py_XDECREF(skip);
            return 0;
        }
        if (calls < 0) {
            if (PyErr_Occurred()) {
                report_error("recorder.begin");
            }
            return 0;
        }
    }
    running = PyObject_GetAttr(details, running_name);
    result = running == NULL ? -1 : PyObject_Not(running);
    Py_XDECREF(running);
    if (result < 0) {
        report_error("recorder.begin");
    }
    return result > 0;
}

/* Return what calls the method inside an execution that other code begins:
   `partial(recording, begin, site, method)`, where `begin` is `with_details(begin, details)` if there are details. */
static PyObject *
recorded_elsewhere(Wrapper *self, PyObject *begin, PyObject *site, PyObject *details)
{
    PyObject *partial, *with_details = NULL;
    if (details != NULL) {
        with_details = PyObject_CallFunctionObjArgs(known.with_details, begin, details, NULL);
        if (with_details == NULL) {
            report_error("recorder.begin");
        }
    }
    partial = PyObject_CallFunctionObjArgs(known.partial, known.recording,
                                           with_details == NULL ? begin : with_details, site, self->method, NULL);
    Py_XDECREF(with_details);
    return partial;
}

/* Begin an execution. */
static PyObject *
begin_record(Wrapper *self, PyObject *site, PyObject *context, PyObject *details)
{
    Record *record = new_record(self->path, site, context);
    if (record == NULL) {
        return NULL;
    }
    if (site != self->last_site) {
        self->current = is_current(site);
        Py_XSETREF(self->last_site, Py_NewRef(site));
    }
    if (count_one(self->start) < 0 || self->current < 0
        || (self->current && (record->token = make_current(self->path, (PyObject *)record, context)) == NULL)) {
        report_error("recorder.begin"); /* the execution does not become current */
    }
    record->details = Py_XNewRef(details);
    record->started = clock_now();
    slots_begin(self->path->slots, record);
    return (PyObject *)record;
}

/* Return the record of a call that begins, or else what to call instead of the method. */
static SEPARATE_FRAME PyObject *
begin_call(Wrapper *self, PyObject *const *args, size_t count, PyObject *keywords)
{
    PyObject *instead, *context, *details, *begun = NULL, *site = site_of(self, args, count);
    if (site == NULL) {
        return NULL;
    }
    details = shared_details(self, args, count_all(count, keywords));
    if (count > 0 && details != NULL && self->measured != NULL && is_measured(details, self->measures_all)) {
        Py_DECREF(details);
        Py_DECREF(site);
        return Py_NewRef(self->measured);
    }
    context = context_or_begin(self->path, &instead);
    if (instead != NULL) {
        begun = recorded_elsewhere(self, instead, site, details);
        Py_DECREF(instead);
    } else if (context != NULL) {
        begun = begin_record(self, site, context, details);
    }
    if (begun == NULL) {
        report_error("recorder.begin");
        begun = Py_NewRef(self->method);
    }
    Py_XDECREF(context);
    Py_XDECREF(details);
    Py_DECREF(site);
    return begun;
}

/* End an execution. Takes over the references to the record and the result. */
static SEPARATE_FRAME PyObject *
end_call(Wrapper *self, Record *record, PyObject *result)
{
    if (result != NULL) {
        end_ok(self->path, record, clock_now());
    } else {
        PyObject *error = fetch_exception();
        fail(self->path, record, error);
        restore_exception(error);
    }
    Py_DECREF(record);
    return result;
}

/* Call what is called instead of the method. Takes over the reference to it. */
static SEPARATE_FRAME PyObject *
call_instead(PyObject *instead, PyObject *const *args, size_t count, PyObject *keywords)
{
    PyObject *result = PyObject_Vectorcall(instead, args, count, keywords);
    Py_DECREF(instead);
    return result;
}

/* Guests and hosts that call each other have this frame on the stack at each level, so it is as small as possible. */
static PyObject *
wrapper_call(Wrapper *self, PyObject *const *args, size_t flagged, PyObject *keywords)
{
    size_t count = PyVectorcall_NARGS(flagged);
    PyObject *begun = begin_call(self, args, count, keywords);
    if (begun == NULL) {
        return NULL;
    }
    if (!PyObject_TypeCheck(begun, &RecordType)) {
        return call_instead(begun, args, count, keywords);
    }
    return end_call(self, (Record *)begun, self->call_method(self->method, args, count, keywords));
}

PyObject *
wrap_method(HotPath *self, PyObject *args, PyObject *keywords)
{
    static char *parameters[] = {"method", "attribute", "default", "shared", "measured", "measures_all", NULL};
    PyObject *method, *attribute, *site, *shared = Py_None, *measured = Py_None, *functools, *updated;
    int measures_all = 0;
    Wrapper *wrapper;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OUO|OOp", parameters, &method, &attribute, &site, &shared,
                                     &measured, &measures_all)) {
        return NULL;
    }
    if (shared != Py_None && !PyUnicode_Check(shared)) {
        PyErr_SetString(PyExc_TypeError, "shared must be the name of an attribute");
        return NULL;
    }
    wrapper = PyObject_GC_New(Wrapper, &WrapperType);
    if (wrapper == NULL) {
        return NULL;
    }
    wrapper->call = (vectorcallfunc)wrapper_call;
    wrapper->path = (HotPath *)Py_NewRef(self);
    wrapper->method = Py_NewRef(method);
    wrapper->call_method = vectorcall_of(method);
    wrapper->measured = measured == Py_None ? NULL : Py_NewRef(measured);
    wrapper->measures_all = measures_all;
    wrapper->attribute = Py_NewRef(attribute);
    PyUnicode_InternInPlace(&wrapper->attribute);
    wrapper->site = Py_NewRef(site);
    wrapper->shared = shared == Py_None ? NULL : Py_NewRef(shared);
    if (wrapper->shared != NULL) {
        PyUnicode_InternInPlace(&wrapper->shared);
    }
    wrapper->attributes = PyDict_New();
    wrapper->weak_references = NULL;
    wrapper->last_site = NULL;
    wrapper->current = 0;
    wrapper->start = PyObject_GetItem(self->starts, site);
    PyObject_GC_Track(wrapper);
    functools = PyImport_ImportModule("functools");
    updated = functools == NULL || wrapper->start == NULL || wrapper->attributes == NULL
                  ? NULL
                  : PyObject_CallMethod(functools, "update_wrapper", "OO", wrapper, method);
    Py_XDECREF(functools);
    Py_DECREF(wrapper);
    return updated; /* the wrapper itself */
}

static PyObject *
wrapper_bind(PyObject *self, PyObject *instance, PyObject *Py_UNUSED(type))
{
    return instance == NULL || instance == Py_None ? Py_NewRef(self) : PyMethod_New(self, instance);
}

static PyObject *
wrapper_repr(Wrapper *self)
{
    return PyObject_Repr(self->method);
}

static int
wrapper_traverse(Wrapper *self, visitproc visit, void *arg)
{
    Py_VISIT(self->path);
    Py_VISIT(self->method);
    Py_VISIT(self->measured);
    Py_VISIT(self->site);
    Py_VISIT(self->last_site);
    Py_VISIT(self->start);
    Py_VISIT(self->attributes);
    return 0;
}

static int
wrapper_clear(Wrapper *self)
{
    Py_CLEAR(self->path);
    Py_CLEAR(self->method);
    Py_CLEAR(self->attribute);
    Py_CLEAR(self->shared);
    Py_CLEAR(self->measured);
    Py_CLEAR(self->site);
    Py_CLEAR(self->last_site);
    Py_CLEAR(self->start);
    Py_CLEAR(self->attributes);
    return 0;
}

static void
wrapper_dealloc(Wrapper *self)
{
    PyObject_GC_UnTrack(self);
    if (self->weak_references != NULL) {
        PyObject_ClearWeakRefs((PyObject *)self);
    }
    wrapper_clear(self);
    Py_TYPE(self)->tp_free(self);
}

/* Pickle by qualified name, in the same way as functions. */
static PyObject *
wrapper_reduce(PyObject *self, PyObject *Py_UNUSED(version))
{
    return PyObject_GetAttrString(self, "__qualname__");
}

static PyMethodDef wrapper_methods[] = {
    {"__reduce_ex__", wrapper_reduce, METH_O, NULL},
    {NULL},
};

static PyGetSetDef wrapper_properties[] = {
    {"__dict__", PyObject_GenericGetDict, PyObject_GenericSetDict, NULL, NULL},
    {NULL},
};

PyTypeObject WrapperType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "sandscope._deferred._native.Wrapper",
    .tp_basicsize = sizeof(Wrapper),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL
                | Py_TPFLAGS_METHOD_DESCRIPTOR,
    .tp_vectorcall_offset = offsetof(Wrapper, call),
    .tp_call = PyVectorcall_Call,
    .tp_descr_get = wrapper_bind,
    .tp_repr = (reprfunc)wrapper_repr,
    .tp_dictoffset = offsetof(Wrapper, attributes),
    .tp_weaklistoffset = offsetof(Wrapper, weak_references),
    .tp_methods = wrapper_methods,
    .tp_getset = wrapper_properties,
    .tp_traverse = (traverseproc)wrapper_traverse,
    .tp_clear = (inquiry)wrapper_clear,
    .tp_dealloc = (destructor)wrapper_dealloc,
    .tp_free = PyObject_GC_Del,
};
