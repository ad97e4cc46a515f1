/* An attribute that answers one caller with a method. See `_native_attribute.py` in `sandscope.instrumentation` for the documentation. */
#include "hot_path.h"

typedef struct {
    PyObject_HEAD
    PyObject *name, *code, *state, *call;
} Attribute;

static PyObject *inside_name;

static int
attribute_init(PyObject *object, PyObject *args, PyObject *keywords)
{
    static char *names[] = {"name", "code", "state", "call", NULL};
    Attribute *self = (Attribute *)object;
    PyObject *name, *code, *state, *call;
    if (!PyArg_ParseTupleAndKeywords(args, keywords, "UO!OO", names, &name, &PyCode_Type, &code, &state, &call)) {
        return -1;
    }
    Py_XSETREF(self->name, Py_NewRef(name));
    Py_XSETREF(self->code, Py_NewRef(code));
    Py_XSETREF(self->state, Py_NewRef(state));
    Py_XSETREF(self->call, Py_NewRef(call));
    return 0;
}

static int
attribute_traverse(PyObject *object, visitproc visit, void *arg)
{
    Attribute *self = (Attribute *)object;
    Py_VISIT(self->state);
    Py_VISIT(self->call);
    return 0;
}

static int
attribute_clear(PyObject *object)
{
    Attribute *self = (Attribute *)object;
    Py_CLEAR(self->name);
    Py_CLEAR(self->code);
    Py_CLEAR(self->state);
    Py_CLEAR(self->call);
    return 0;
}

static void
attribute_dealloc(PyObject *object)
{
    PyObject_GC_UnTrack(object);
    attribute_clear(object);
    Py_TYPE(object)->tp_free(object);
}

/* Return whether the code that reads the attribute is the caller's. */
static int
is_read_by_caller(Attribute *self)
{
    PyFrameObject *frame = PyThreadState_GetFrame(PyThreadState_Get());
    PyCodeObject *code = frame == NULL ? NULL : PyFrame_GetCode(frame);
    int is_caller = (PyObject *)code == self->code;
    Py_XDECREF(code);
    Py_XDECREF(frame);
    return is_caller;
}

static PyObject *
attribute_get(PyObject *object, PyObject *instance, PyObject *owner)
{
    Attribute *self = (Attribute *)object;
    PyObject *inside, *attributes, *found;
    int is_inside;
    if (instance == NULL || instance == Py_None || self->call == NULL) {
        Py_RETURN_NONE;
    }
    inside = PyObject_GetAttr(self->state, inside_name);
    is_inside = inside == NULL ? -1 : PyObject_IsTrue(inside);
    Py_XDECREF(inside);
    if (is_inside < 0) {
        return NULL;
    }
    if (!is_inside && is_read_by_caller(self)) {
        return PyMethod_New(self->call, instance);
    }
    attributes = PyObject_GenericGetDict(instance, NULL);
    if (attributes == NULL) {
        return NULL;
    }
    found = PyDict_GetItemWithError(attributes, self->name);
    if (found == NULL && !PyErr_Occurred()) {
        found = Py_None;
    }
    Py_XINCREF(found);
    Py_DECREF(attributes);
    return found;
}

static int
attribute_set(PyObject *object, PyObject *instance, PyObject *value)
{
    Attribute *self = (Attribute *)object;
    PyObject *attributes = PyObject_GenericGetDict(instance, NULL);
    int result;
    if (attributes == NULL) {
        return -1;
    }
    if (value != NULL) {
        result = PyDict_SetItem(attributes, self->name, value);
    }
    else {
        result = PyDict_DelItem(attributes, self->name);
        if (result < 0 && PyErr_ExceptionMatches(PyExc_KeyError)) {
            PyErr_Clear();
            PyErr_SetObject(PyExc_AttributeError, self->name);
        }
    }
    Py_DECREF(attributes);
    return result;
}

PyTypeObject AttributeType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "sandscope._deferred._native.Attribute",
    .tp_basicsize = sizeof(Attribute),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC,
    .tp_new = PyType_GenericNew,
    .tp_init = attribute_init,
    .tp_traverse = attribute_traverse,
    .tp_clear = attribute_clear,
    .tp_dealloc = attribute_dealloc,
    .tp_descr_get = attribute_get,
    .tp_descr_set = attribute_set,
};

int
ready_attribute(void)
{
    inside_name = PyUnicode_InternFromString("inside");
    return inside_name == NULL ? -1 : PyType_Ready(&AttributeType);
}
