/* Begins and takes records; `_hot_path.HotPath` says what it does. */
#include "record.h"
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    PyObject *usual, *variable, *starts, *queue, *append;
    PyTypeObject *record;
    Py_ssize_t high_water;
} HotPath;

typedef struct {
    PyObject_HEAD
    vectorcallfunc call;
    HotPath *path;
    PyObject *method, *attribute, *site, *start;
    PyObject *known; /* a site met before, and whether its executions are current: sites never change */
    int current;
    PyObject *attributes; /* the wrapper's own __dict__ */
    PyObject *weak_references;
} Wrapper;

static struct {
    PyObject *unusual, *misplaced, *help, *fail, *current, *append, *empty;
} names;

/* An error of telemetry's own must not take the program's place: drop it, whatever it is. */
static void
call_quietly(PyObject *object, PyObject *name, PyObject *argument)
{
    PyObject *result = argument == NULL ? PyObject_CallMethodNoArgs(object, name)
                                        : PyObject_CallMethodOneArg(object, name, argument);
    if (result == NULL) {
        PyErr_WriteUnraisable(object);
    }
    Py_XDECREF(result);
}

/* Return the exception that is set, as an `except` clause would hand it over. */
static PyObject *
caught(void)
{
#if PY_VERSION_HEX >= 0x030C0000
    return PyErr_GetRaisedException();
#else
    PyObject *type, *value, *traceback;
    PyErr_Fetch(&type, &value, &traceback);
    PyErr_NormalizeException(&type, &value, &traceback);
    if (traceback != NULL) {
        PyException_SetTraceback(value, traceback);
    }
    Py_XDECREF(type);
    Py_XDECREF(traceback);
    return value;
#endif
}

static void
raise_again(PyObject *error)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(error);
#else
    PyErr_Restore(Py_NewRef(Py_TYPE(error)), error, PyException_GetTraceback(error));
#endif
}

/* Restore the parent's context, and let the record wait in the queue. */
static void
queue_up(HotPath *self, Record *record, PyObject *token)
{
    PyObject *appended;
    if (token != NULL && PyContextVar_Reset(self->variable, token) < 0) {
        PyObject *error = caught();
        call_quietly((PyObject *)self, names.misplaced, error);
        Py_DECREF(error);
    }
    appended = PyObject_CallOneArg(self->append, (PyObject *)record);
    if (appended == NULL) {
        PyErr_WriteUnraisable(self->queue);
        return;
    }
    Py_DECREF(appended);
    if (PyObject_Size(self->queue) > self->high_water) {
        call_quietly((PyObject *)self, names.help, NULL);
    }
}

/* Return whether a site's executions are to be current; -1 with an error. */
static int
is_current(PyObject *site)
{
    PyObject *current = PyObject_GetAttr(site, names.current);
    int wanted = current == NULL ? -1 : PyObject_IsTrue(current);
    Py_XDECREF(current);
    return wanted;
}

/* Make a record's span the current one; return what restores the context, or NULL with an error. */
static PyObject *
make_current(HotPath *self, PyObject *record, PyObject *context)
{
    PyTypeObject *type = (PyTypeObject *)known.context_type;
    PyObject *token, *inside = type->tp_new(type, names.empty, NULL);
    if (inside == NULL) {
        return NULL;
    }
    if ((PyDict_GET_SIZE(context) > 0 && PyDict_Update(inside, context) < 0)
        || PyDict_SetItem(inside, known.span_key, record) < 0) {
        Py_DECREF(inside);
        return NULL;
    }
    token = PyContextVar_Set(self->variable, inside);
    Py_DECREF(inside);
    return token;
}

/* Return the context, or NULL and, if an other recorder is to begin instead, that one's `begin`. */
static PyObject *
usual_context(HotPath *self, PyObject **begin)
{
    PyObject *context = NULL;
    *begin = NULL;
    if (PyContextVar_Get(self->variable, NULL, &context) < 0 || context == NULL) {
        return NULL;
    }
    if (context != self->usual) {
        *begin = PyObject_CallMethodOneArg((PyObject *)self, names.unusual, context);
        if (*begin == Py_None) {
            Py_CLEAR(*begin);
        } else {
            Py_CLEAR(context);
        }
    }
    return context;
}

static Record *
new_record(HotPath *self, PyObject *site, PyObject *context)
{
    Record *record = (Record *)self->record->tp_alloc(self->record, 0);
    if (record != NULL) {
        record->site = Py_NewRef(site);
        record->parent_context = Py_NewRef(context);
    }
    return record;
}

static PyObject *
begin(HotPath *self, PyObject *site)
{
    PyObject *instead, *start;
    PyObject *context = usual_context(self, &instead);
    Record *record;
    int current;
    if (instead != NULL) {
        PyObject *execution = PyObject_CallOneArg(instead, site);
        Py_DECREF(instead);
        return execution;
    }
    if (context == NULL) {
        return NULL;
    }
    record = new_record(self, site, context);
    if (record == NULL) {
        Py_DECREF(context);
        return NULL;
    }
    start = PyObject_GetItem(self->starts, site);
    current = start == NULL || count_one(start) < 0 ? -1 : is_current(site);
    Py_XDECREF(start);
    if (current > 0) {
        record->token = make_current(self, (PyObject *)record, context);
    }
    Py_DECREF(context);
    if (current < 0 || (current && record->token == NULL)) {
        Py_DECREF(record);
        return NULL;
    }
    record->started = clock_now();
    return (PyObject *)record;
}

int
take_record(PyObject *recorder, Record *record)
{
    PyObject *token;
    if (!PyObject_TypeCheck(recorder, &HotPathType)) { /* somebody else's, that only has the method */
        PyObject *taken = PyObject_CallMethod(recorder, "take", "O", record);
        Py_XDECREF(taken);
        return taken == NULL ? -1 : 0;
    }
    token = record->token;
    record->token = NULL;
    queue_up((HotPath *)recorder, record, token == Py_None ? NULL : token);
    Py_XDECREF(token);
    return 0;
}

/* -- the wrapper of a method -- */

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

/* Call `recording(begin, site, method, *args, **kwargs)`. */
static PyObject *
recorded_otherwise(Wrapper *self, PyObject *instead, PyObject *site, PyObject *const *args,
                   size_t count, PyObject *keywords)
{
    size_t all = count + (keywords == NULL ? 0 : (size_t)PyTuple_GET_SIZE(keywords));
    PyObject *few[16], **more = all + 3 > 16 ? PyMem_New(PyObject *, all + 3) : few, *result;
    if (more == NULL) {
        return PyErr_NoMemory();
    }
    more[0] = instead;
    more[1] = site;
    more[2] = self->method;
    if (all > 0) {
        memcpy(more + 3, args, all * sizeof(PyObject *));
    }
    result = PyObject_Vectorcall(known.recording, more, count + 3, keywords);
    if (more != few) {
        PyMem_Free(more);
    }
    return result;
}

static PyObject *
call_recorded(Wrapper *self, Record *record, PyObject *site, PyObject *context,
              PyObject *const *args, size_t count, PyObject *keywords)
{
    HotPath *path = self->path;
    PyObject *result, *token = NULL;
    if (site != self->known) {
        Py_XSETREF(self->known, Py_NewRef(site));
        self->current = is_current(site);
    }
    if (count_one(self->start) < 0 || self->current < 0
        || (self->current && (token = make_current(path, (PyObject *)record, context)) == NULL)) {
        PyErr_WriteUnraisable(self->method); /* the record goes without its context */
    }
    record->started = clock_now();
    result = PyObject_Vectorcall(self->method, args, count, keywords);
    if (result != NULL) {
        record->ended = clock_now();
        Py_XSETREF(record->verdict, Py_NewRef(known.ok));
        queue_up(path, record, token);
    } else {
        PyObject *error = caught();
        record->token = Py_XNewRef(token);
        call_quietly((PyObject *)record, names.fail, error);
        raise_again(error);
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
    context = usual_context(self->path, &instead);
    if (instead != NULL) {
        result = recorded_otherwise(self, instead, site, args, count, keywords);
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

static PyObject *
wrap_method(HotPath *self, PyObject *args, PyObject *keywords)
{
    static char *parameters[] = {"method", "attribute", "default", NULL};
    PyObject *method, *attribute, *site, *tools, *updated;
    Wrapper *wrapper;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "OUO", parameters, &method, &attribute, &site)) {
        return NULL;
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
    wrapper->attributes = PyDict_New();
    wrapper->weak_references = NULL;
    wrapper->known = NULL;
    wrapper->current = 0;
    wrapper->start = PyObject_GetItem(self->starts, site);
    PyObject_GC_Track(wrapper);
    tools = PyImport_ImportModule("functools");
    updated = tools == NULL || wrapper->start == NULL || wrapper->attributes == NULL
                  ? NULL
                  : PyObject_CallMethod(tools, "update_wrapper", "OO", wrapper, method);
    Py_XDECREF(tools);
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
    Py_VISIT(self->known);
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
    Py_CLEAR(self->site);
    Py_CLEAR(self->known);
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

/* Pickled, as functions are, by where it is found. */
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

/* -- the type -- */

static int
path_init(HotPath *self, PyObject *args, PyObject *keywords)
{
    static char *parameters[] = {"record", "variable", "starts", "queue", "high_water", NULL};
    PyObject *record, *variable, *starts, *queue;
    Py_ssize_t high_water;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!O!OOn", parameters, &PyType_Type, &record,
                                     &PyContextVar_Type, &variable, &starts, &queue, &high_water)) {
        return -1;
    }
    if (!PyType_IsSubtype((PyTypeObject *)record, &RecordType)) {
        PyErr_SetString(PyExc_TypeError, "record must be a subclass of Record");
        return -1;
    }
    if (names.empty == NULL) {
        names.unusual = PyUnicode_InternFromString("unusual");
        names.misplaced = PyUnicode_InternFromString("misplaced");
        names.help = PyUnicode_InternFromString("help");
        names.fail = PyUnicode_InternFromString("fail");
        names.current = PyUnicode_InternFromString("current");
        names.append = PyUnicode_InternFromString("append");
        names.empty = PyTuple_New(0);
    }
    Py_XSETREF(self->append, PyObject_GetAttr(queue, names.append));
    if (self->append == NULL) {
        return -1;
    }
    Py_XSETREF(self->record, (PyTypeObject *)Py_NewRef(record));
    Py_XSETREF(self->variable, Py_NewRef(variable));
    Py_XSETREF(self->starts, Py_NewRef(starts));
    Py_XSETREF(self->queue, Py_NewRef(queue));
    Py_XSETREF(self->usual, Py_NewRef(Py_None));
    self->high_water = high_water;
    return 0;
}

static int
path_traverse(HotPath *self, visitproc visit, void *arg)
{
    Py_VISIT(self->usual);
    Py_VISIT(self->variable);
    Py_VISIT(self->starts);
    Py_VISIT(self->queue);
    Py_VISIT(self->append);
    Py_VISIT(self->record);
    return 0;
}

static int
path_clear(HotPath *self)
{
    Py_CLEAR(self->usual);
    Py_CLEAR(self->variable);
    Py_CLEAR(self->starts);
    Py_CLEAR(self->queue);
    Py_CLEAR(self->append);
    Py_CLEAR(self->record);
    return 0;
}

static void
path_dealloc(HotPath *self)
{
    PyObject_GC_UnTrack(self);
    path_clear(self);
    Py_TYPE(self)->tp_free(self);
}

static PyMemberDef path_members[] = {
    {"usual", T_OBJECT, offsetof(HotPath, usual), 0, NULL},
    {NULL},
};

static PyMethodDef path_methods[] = {
    {"begin", (PyCFunction)begin, METH_O, NULL},
    {"wrap_method", (PyCFunction)(void (*)(void))wrap_method, METH_VARARGS | METH_KEYWORDS, NULL},
    {NULL},
};

PyTypeObject HotPathType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "sandscope._deferred._native.HotPath",
    .tp_basicsize = sizeof(HotPath),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_BASETYPE | Py_TPFLAGS_HAVE_GC,
    .tp_init = (initproc)path_init,
    .tp_traverse = (traverseproc)path_traverse,
    .tp_clear = (inquiry)path_clear,
    .tp_dealloc = (destructor)path_dealloc,
    .tp_members = path_members,
    .tp_methods = path_methods,
};
