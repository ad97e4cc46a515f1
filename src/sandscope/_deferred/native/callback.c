/* The wrapper of a callback. See `wrap_callback` in `_recorder.py` for the documentation. */
#include "hot_path.h"
#include <structmember.h>

typedef struct {
    PyObject_HEAD
    vectorcallfunc call, call_function;
    PyObject *function, *failed;
} Callback;

static SEPARATE_FRAME PyObject *
report_failure(Callback *self)
{
    PyObject *error = fetch_exception();
    PyObject *result = PyObject_CallOneArg(self->failed, error);
    if (result == NULL) {
        report_error("callback");
    }
    Py_XDECREF(result);
    restore_exception(error);
    return NULL;
}

/* As small a frame as that of `wrapper_call`, for the same reason. */
static PyObject *
callback_call(Callback *self, PyObject *const *args, size_t flagged, PyObject *keywords)
{
    PyObject *result = self->call_function(self->function, args, flagged, keywords);
    return result == NULL ? report_failure(self) : result;
}

PyObject *
wrap_callback(HotPath *Py_UNUSED(self), PyObject *const *args, Py_ssize_t count)
{
    Callback *callback;
    if (count != 2) {
        PyErr_SetString(PyExc_TypeError, "wrap_callback() takes a function and a callback");
        return NULL;
    }
    callback = PyObject_GC_New(Callback, &CallbackType);
    if (callback != NULL) {
        callback->call = (vectorcallfunc)callback_call;
        callback->call_function = vectorcall_of(args[0]);
        callback->function = Py_NewRef(args[0]);
        callback->failed = Py_NewRef(args[1]);
        PyObject_GC_Track(callback);
    }
    return (PyObject *)callback;
}

static int
callback_traverse(Callback *self, visitproc visit, void *arg)
{
    Py_VISIT(self->function);
    Py_VISIT(self->failed);
    return 0;
}

static int
callback_clear(Callback *self)
{
    Py_CLEAR(self->function);
    Py_CLEAR(self->failed);
    return 0;
}

static void
callback_dealloc(Callback *self)
{
    PyObject_GC_UnTrack(self);
    callback_clear(self);
    Py_TYPE(self)->tp_free(self);
}

PyTypeObject CallbackType = {
    PyVarObject_HEAD_INIT(NULL, 0)
    .tp_name = "sandscope._deferred._native.Callback",
    .tp_basicsize = sizeof(Callback),
    .tp_flags = Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_GC | Py_TPFLAGS_HAVE_VECTORCALL,
    .tp_vectorcall_offset = offsetof(Callback, call),
    .tp_call = PyVectorcall_Call,
    .tp_traverse = (traverseproc)callback_traverse,
    .tp_clear = (inquiry)callback_clear,
    .tp_dealloc = (destructor)callback_dealloc,
    .tp_free = PyObject_GC_Del,
};
