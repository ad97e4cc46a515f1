/* The wrapper of a patched method. See `HotPath.wrap_method` in `_hot_path.py` for the documentation. */
#include "hot_path.h"
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    HotPath *path;
    PyObject *method, *attribute, *site, *start;
    PyObject *shared; /* the attribute of the second argument that holds shared details, or NULL */
    PyObject *last_site; /* the site of the last call; sites are immutable */
    int current;         /* whether the site's executions become current */
    PyObject *attributes; /* the wrapper's own __dict__ */
    PyObject *weak_references;
} Wrapper;

static PyObject *fail_name;

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
            PyErr_WriteUnraisable(self->method);
        }
    }
    if (details != NULL && !PyObject_TypeCheck(details, (PyTypeObject *)known.shared_details)) {
        Py_CLEAR(details);
    }
    return details;
}

/* Call `recording(begin, site, method, *args, **kwargs)`, where `begin` is `with_details(begin, details)` if the second
   argument has shared details. */
static PyObject *
call_with_begin(Wrapper *self, PyObject *instead, PyObject *site, PyObject *const *args, size_t count,
                PyObject *keywords)
{
    size_t all = count_all(count, keywords);
    PyObject *small[16], **arguments = all + 3 > 16 ? PyMem_New(PyObject *, all + 3) : small, *result;
    PyObject *begin, *details;
    if (arguments == NULL) {
        return PyErr_NoMemory();
    }
    details = shared_details(self, args, all);
    begin = details == NULL ? Py_NewRef(instead)
                            : PyObject_CallFunctionObjArgs(known.with_details, instead, details, NULL);
    Py_XDECREF(details);
    if (begin == NULL) {
        PyErr_WriteUnraisable(self->method);
        begin = Py_NewRef(instead);
    }
    arguments[0] = begin;
    arguments[1] = site;
    arguments[2] = self->method;
    if (all > 0) {
        memcpy(arguments + 3, args, all * sizeof(PyObject *));
    }
    result = PyObject_Vectorcall(known.recording, arguments, count + 3, keywords);
    Py_DECREF(begin);
    if (arguments != small) {
        PyMem_Free(arguments);
    }
    return result;
}

static PyObject *
call_recorded(Wrapper *self, Record *record, PyObject *site, PyObject *context,
              PyObject *const *args, size_t count, PyObject *keywords)
{
    HotPath *path = self->path;
    PyObject *result, *token = NULL;
    if (site != self->last_site) {
        self->current = is_current(site);
        Py_XSETREF(self->last_site, Py_NewRef(site));
    }
    if (count_one(self->start) < 0 || self->current < 0
        || (self->current && (token = make_current(path, (PyObject *)record, context)) == NULL)) {
        PyErr_WriteUnraisable(self->method); /* the execution does not become current */
    }
    record->details = shared_details(self, args, count_all(count, keywords));
    record->started = clock_now();
    result = PyObject_Vectorcall(self->method, args, count, keywords);
    if (result != NULL) {
        record->ended = clock_now();
        Py_XSETREF(record->verdict, Py_NewRef(known.ok));
        enqueue(path, record, token);
    } else {
        PyObject *error = fetch_exception();
        record->token = Py_XNewRef(token);
        call_and_report((PyObject *)record, fail_name, error);
        restore_exception(error);
    }
    Py_XDECREF(token);
    return result;
}

static PyObject *
wrapper_call(Wrapper *self, PyObject *const *args, size_t flagged, PyObject *keywords)
{
    size_t count = PyVectorcall_NARGS(flagged);
    PyObject *instead, *context, *result = NULL, *site = site_of(self, args, count);
    Record *record;
    if (site == NULL) {
        return NULL;
    }
    context = context_or_begin(self->path, &instead);
    if (instead != NULL) {
        result = call_with_begin(self, instead, site, args, count, keywords);
        Py_DECREF(instead);
    } else if (context != NULL && (record = new_record(self->path, site, context)) != NULL) {
        result = call_recorded(self, record, site, context, args, count, keywords);
        Py_DECREF(record);
    } else {
        PyErr_WriteUnraisable(self->method);
        result = PyObject_Vectorcall(self->method, args, count, keywords);
    }
    Py_XDECREF(context);
    Py_DECREF(site);
    return result;
}

PyObject *
wrap_method(HotPath *self, PyObject *args, PyObject *keywords)
{
    static char *parameters[] = {"method", "attribute", "default", "shared", NULL};
    PyObject *method, *attribute, *site, *shared = Py_None, *functools, *updated;
    Wrapper *wrapper;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OUO|O", parameters, &method, &attribute, &site,
                                     &shared)) {
        return NULL;
    }
    if (shared != Py_None && !PyUnicode_Check(shared)) {
        PyErr_SetString(PyExc_TypeError, "shared must be the name of an attribute");
        return NULL;
    }
    if (fail_name == NULL) {
        fail_name = PyUnicode_InternFromString("fail");
    }
    wrapper = PyObject_GC_New(Wrapper, &WrapperType);
    if (wrapper == NULL) {
        return NULL;
    }
    wrapper->call = (vectorcallfunc)wrapper_call;
    wrapper->path = (HotPath *)Py_NewRef(self);
    wrapper->method = Py_NewRef(method);
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
