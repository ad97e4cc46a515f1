/* The most frequent calls of models. See `native_model_call` in `sandscope.instrumentation` for the documentation. */
#include "hot_path.h"
#include <structmember.h>

enum { STATE, MODELS, TENSOR, IDLE, IS_OVERRIDDEN, CALL, FAILED, BEFORE_END, PARTS };

typedef struct {
    PyObject_HEAD
    vectorcallfunc vectorcall;
    HotPath *path;
    PyObject *parts[PARTS];
    long long lasting; /* nanoseconds of a call from which on BEFORE_END is called */
} ModelCall;

static struct {
    PyObject *inside, *own_call, *call, *parameters, *training, *is_cpu, *dtype, *shape, *owner, *parameter, *trains,
        *inference;
} names;

/* Return whether the functions of pairs return what they return while nothing special goes on; -1 with an error. */
static int
is_idle(PyObject *pairs)
{
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(pairs); i++) {
        PyObject *pair = PyTuple_GET_ITEM(pairs, i);
        PyObject *found = PyObject_CallNoArgs(PyTuple_GET_ITEM(pair, 0));
        int is_usual = found == PyTuple_GET_ITEM(pair, 1);
        Py_XDECREF(found);
        if (!is_usual) {
            return found == NULL ? -1 : 0;
        }
    }
    return 1;
}

/* Return whether an attribute is an object, such as True. Errors are left set. */
static int
attribute_is(PyObject *object, PyObject *name, PyObject *expected)
{
    PyObject *found = PyObject_GetAttr(object, name);
    Py_XDECREF(found);
    return found == expected;
}

/* Return the value of an attribute as a key of a dictionary: a new reference, or NULL. */
static PyObject *
item_by(PyObject *dictionary, PyObject *object, PyObject *name)
{
    PyObject *key = dictionary == NULL || !PyDict_Check(dictionary) ? NULL : PyObject_GetAttr(object, name);
    PyObject *found = key == NULL ? NULL : PyDict_GetItemWithError(dictionary, key);
    Py_XINCREF(found);
    Py_XDECREF(key);
    return found;
}

/* Return the known model of a module: a new reference, or NULL. */
static PyObject *
known_model(ModelCall *self, PyObject *module)
{
    PyObject *key = PyLong_FromVoidPtr(module);
    PyObject *model = key == NULL ? NULL : PyDict_GetItemWithError(self->parts[MODELS], key);
    Py_XINCREF(model);
    Py_XDECREF(key);
    return model;
}

/* Return the first parameter of a model: a new reference, or NULL. */
static PyObject *
first_parameter(PyObject *model)
{
    PyObject *reference = PyObject_GetAttr(model, names.owner), *owner, *parameters, *found;
    if (reference == NULL || reference == Py_None) {
        Py_XDECREF(reference);
        return NULL;
    }
    owner = PyObject_CallNoArgs(reference);
    Py_DECREF(reference);
    parameters = owner == NULL || owner == Py_None ? NULL : PyObject_GetAttr(owner, names.parameters);
    found = parameters == NULL ? NULL : item_by(parameters, model, names.parameter);
    Py_XDECREF(parameters);
    Py_XDECREF(owner);
    return found;
}

/* Return whether a call of a module computes no gradients for certain. */
static int
is_inference(PyObject *model, PyObject *module)
{
    return attribute_is(model, names.trains, Py_False)
           || (!PyErr_Occurred() && attribute_is(module, names.training, Py_False));
}

/* Return whether a weight is on the CPU, and no code of the program sees what is read from it. */
static int
is_plain(ModelCall *self, PyObject *weight)
{
    PyObject *overridden = PyObject_CallOneArg(self->parts[IS_OVERRIDDEN], weight);
    Py_XDECREF(overridden);
    return overridden == Py_False && attribute_is(weight, names.is_cpu, Py_True);
}

/* Return the site of a call that is as most are: a new reference. Else NULL, perhaps with an error set. */
static PyObject *
usual_site(ModelCall *self, PyObject *module, PyObject *batch)
{
    PyObject *model, *weight, *places, *shapes, *found, *site = NULL;
    if ((PyObject *)Py_TYPE(batch) != self->parts[TENSOR] || is_idle(self->parts[IDLE]) != 1) {
        return NULL;
    }
    model = known_model(self, module);
    if (model == NULL) {
        return NULL;
    }
    weight = first_parameter(model);
    if (weight != NULL && weight != Py_None && is_plain(self, weight) && is_inference(model, module)) {
        places = PyObject_GetAttr(model, names.inference);
        shapes = item_by(places, weight, names.dtype);
        found = item_by(shapes, batch, names.shape);
        if (found != NULL && PyTuple_CheckExact(found) && PyTuple_GET_SIZE(found) == 2
            && PyTuple_GET_ITEM(found, 1) == Py_None) {
            site = Py_NewRef(PyTuple_GET_ITEM(found, 0));
        }
        Py_XDECREF(found);
        Py_XDECREF(shapes);
        Py_XDECREF(places);
    }
    Py_XDECREF(weight);
    Py_DECREF(model);
    return site;
}

/* Return whether a module has a call of its own in place of its class's. */
static int
has_own_call(PyObject *module)
{
    PyObject *attributes = PyObject_GenericGetDict(module, NULL);
    int has = attributes == NULL ? -1 : PyDict_Contains(attributes, names.own_call);
    Py_XDECREF(attributes);
    return has;
}

/* Begin the execution of a call that is as most are. Return NULL if other code has to. */
static Record *
begin_usual(ModelCall *self, PyObject *const *args, size_t count)
{
    PyObject *context, *begin, *outer, *site;
    Record *record = NULL;
    if (count < 2 || has_own_call(args[0]) != 0) {
        return NULL;
    }
    site = usual_site(self, args[0], args[1]);
    if (site == NULL) {
        return NULL;
    }
    context = context_or_begin(self->path, &begin);
    Py_XDECREF(begin);
    if (context != NULL) {
        outer = PyDict_GetItemWithError(context, known.span_key);
        if (is_current(site) == 1 && (outer == NULL || !PyObject_TypeCheck(outer, &RecordType))) {
            record = begin_in(self->path, site, context);
        }
        Py_DECREF(context);
    }
    Py_DECREF(site);
    return record;
}

static void
set_inside(ModelCall *self, PyObject *value)
{
    if (PyObject_SetAttr(self->parts[STATE], names.inside, value) < 0) {
        report_error("torch.call");
    }
}

static void
end_returned(ModelCall *self, Record *record)
{
    int64_t ended = clock_now();
    set_inside(self, Py_False);
    if (ended - record->started >= self->lasting) {
        PyObject *done = PyObject_CallOneArg(self->parts[BEFORE_END], (PyObject *)record);
        if (done == NULL) {
            report_error("torch.call");
        }
        Py_XDECREF(done);
    }
    end_ok(self->path, record, ended);
}

static void
end_failed(ModelCall *self, Record *record)
{
    PyObject *error = fetch_exception(), *done;
    set_inside(self, Py_False);
    done = PyObject_CallFunctionObjArgs(self->parts[FAILED], (PyObject *)record, error, NULL);
    if (done == NULL) {
        report_error("torch.call");
    }
    Py_XDECREF(done);
    restore_exception(error);
}

static PyObject *
model_call(PyObject *object, PyObject *const *args, size_t flagged, PyObject *keywords)
{
    ModelCall *self = (ModelCall *)object;
    PyObject *result;
    Record *record = begin_usual(self, args, (size_t)PyVectorcall_NARGS(flagged));
    if (record == NULL) {
        PyErr_Clear(); /* the other code finds the same, and reports it */
        return PyObject_Vectorcall(self->parts[CALL], args, flagged, keywords);
    }
    set_inside(self, Py_True);
    result = PyObject_VectorcallMethod(names.call, args, flagged, keywords);
    if (result != NULL) {
        end_returned(self, record);
    } else {
        end_failed(self, record);
    }
    Py_DECREF(record);
    return result;
}

static int
model_call_init(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *parameters[] = {"path", "state", "models", "tensor", "idle", "is_overridden", "call", "failed",
                                 "before_end", "lasting", NULL};
    ModelCall *self = (ModelCall *)object;
    PyObject *path, *given[PARTS];
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "O!OO!OO!OOOOL", parameters, &HotPathType, &path, &given[STATE],
                                     &PyDict_Type, &given[MODELS], &given[TENSOR], &PyTuple_Type, &given[IDLE], &given[IS_OVERRIDDEN],
                                     &given[CALL], &given[FAILED], &given[BEFORE_END], &self->lasting)) {
        return -1;
    }
    for (Py_ssize_t i = 0; i < PyTuple_GET_SIZE(given[IDLE]); i++) {
        PyObject *pair = PyTuple_GET_ITEM(given[IDLE], i);
        if (!PyTuple_Check(pair) || PyTuple_GET_SIZE(pair) != 2) {
            PyErr_SetString(PyExc_TypeError, "idle must be pairs of a function and its result");
            return -1;
        }
    }
    self->vectorcall = model_call;
    Py_XSETREF(self->path, (HotPath *)Py_NewRef(path));
    for (size_t i = 0; i < PARTS; i++) {
        Py_XSETREF(self->parts[i], Py_NewRef(given[i]));
    }
    return 0;
}

static int
model_call_traverse(PyObject *object, visitproc visit, void *arg)
{
    ModelCall *self = (ModelCall *)object;
    Py_VISIT(self->path);
    for (size_t i = 0; i < PARTS; i++) {
        Py_VISIT((&self->parts[STATE])[i]);
    }
    return 0;
}

static int
model_call_clear(PyObject *object)
{
    ModelCall *self = (ModelCall *)object;
    Py_CLEAR(self->path);
    for (size_t i = 0; i < PARTS; i++) {
        Py_CLEAR((&self->parts[STATE])[i]);
    }
    return 0;
}

static void
model_call_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    model_call_clear(object);
    Py_TYPE(object)->tp_free(object);
}

PyTypeObject ModelCallType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "sandscope._deferred._native.ModelCall",
    .tp_basicsize = sizeof(ModelCall),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(ModelCall, vectorcall),
    .tp_call = PyVectorcall_Call,
    .tp_new = PyType_GenericNew,
    .tp_init = model_call_init,
    .tp_traverse = model_call_traverse,
    .tp_clear = model_call_clear,
    .tp_dealloc = model_call_dealloc,
};

int
ready_model_call(void)
{
    names.inside = PyUnicode_InternFromString("inside");
    names.own_call = PyUnicode_InternFromString("_compiled_call_impl");
    names.call = PyUnicode_InternFromString("_call_impl");
    names.parameters = PyUnicode_InternFromString("_parameters");
    names.training = PyUnicode_InternFromString("training");
    names.is_cpu = PyUnicode_InternFromString("is_cpu");
    names.dtype = PyUnicode_InternFromString("dtype");
    names.shape = PyUnicode_InternFromString("shape");
    names.owner = PyUnicode_InternFromString("owner");
    names.parameter = PyUnicode_InternFromString("parameter");
    names.trains = PyUnicode_InternFromString("trains");
    names.inference = PyUnicode_InternFromString("inference");
    return PyErr_Occurred() ? -1 : PyType_Ready(&ModelCallType);
}
