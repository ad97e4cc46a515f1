/* Begins and queues records. See `HotPath` in `_hot_path.py` for the documentation. */
#include "hot_path.h"
#include <structmember.h>

static struct {
    PyObject *check_context, *on_context_mismatch, *apply_backpressure, *current, *append, *empty, *fail;
} names;

void
call_and_report(PyObject *object, PyObject *name, PyObject *argument)
{
    PyObject *result = argument == NULL ? PyObject_CallMethodNoArgs(object, name)
                                        : PyObject_CallMethodOneArg(object, name, argument);
    if (result == NULL) {
        report_error("recorder.finish");
    }
    Py_XDECREF(result);
}

vectorcallfunc
vectorcall_of(PyObject *callable)
{
    vectorcallfunc function = PyVectorcall_Function(callable);
    return function == NULL ? PyObject_Vectorcall : function;
}

void
report_error(const char *component)
{
    PyObject *error = fetch_exception();
    PyObject *result = PyObject_CallFunction(known.report, "sO", component, error);
    if (result == NULL) {
        PyErr_Clear(); /* not even one more frame fits on the stack */
    }
    Py_XDECREF(result);
    Py_DECREF(error);
}

void
fail(HotPath *self, Record *record, PyObject *error)
{
    PyObject *token;
    call_and_report((PyObject *)record, names.fail, error);
    if (record->verdict == NULL || record->verdict == Py_None) { /* the call above failed */
        token = record->token;
        record->token = NULL;
        record->ended = clock_now();
        Py_XSETREF(record->verdict, Py_NewRef(known.missing_evidence));
        enqueue(self, record, token);
        Py_XDECREF(token);
    }
}

PyObject *
fetch_exception(void)
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

void
restore_exception(PyObject *error)
{
#if PY_VERSION_HEX >= 0x030C0000
    PyErr_SetRaisedException(error);
#else
    PyErr_Restore(Py_NewRef(Py_TYPE(error)), error, PyException_GetTraceback(error));
#endif
}

/* Before Python 3.12, the garbage collector may run inside these two functions. If a finalizer or signal handler then
   sets a variable of the same context, the functions continue with freed memory. Therefore disable the collector. */
#if PY_VERSION_HEX >= 0x030C0000
#define set_context PyContextVar_Set
#define reset_context PyContextVar_Reset
#else
static PyObject *
set_context(PyObject *variable, PyObject *context)
{
    int enabled = PyGC_Disable();
    PyObject *token = PyContextVar_Set(variable, context);
    if (enabled) {
        PyGC_Enable();
    }
    return token;
}

static int
reset_context(PyObject *variable, PyObject *token)
{
    int enabled = PyGC_Disable();
    int failed = PyContextVar_Reset(variable, token);
    if (enabled) {
        PyGC_Enable();
    }
    return failed;
}
#endif

void
enqueue(HotPath *self, Record *record, PyObject *token)
{
    PyObject *appended;
    if (token != NULL && reset_context(self->variable, token) < 0) {
        PyObject *error = fetch_exception();
        call_and_report((PyObject *)self, names.on_context_mismatch, error);
        Py_DECREF(error);
    }
    slots_end(record);
    appended = PyObject_CallOneArg(self->append, (PyObject *)record);
    if (appended == NULL) {
        report_error("recorder.finish");
        return;
    }
    Py_DECREF(appended);
    if (PyObject_Size(self->queue) > self->high_water) {
        call_and_report((PyObject *)self, names.apply_backpressure, NULL);
    }
}

int
is_current(PyObject *site)
{
    PyObject *current = PyObject_GetAttr(site, names.current);
    int result = current == NULL ? -1 : PyObject_IsTrue(current);
    Py_XDECREF(current);
    return result;
}

PyObject *
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
    token = set_context(self->variable, inside);
    Py_DECREF(inside);
    return token;
}

PyObject *
context_or_begin(HotPath *self, PyObject **begin)
{
    PyObject *context = NULL;
    *begin = NULL;
    if (PyContextVar_Get(self->variable, NULL, &context) < 0 || context == NULL) {
        return NULL;
    }
    if (context != self->checked) {
        *begin = PyObject_CallMethodOneArg((PyObject *)self, names.check_context, context);
        if (*begin == Py_None) {
            Py_CLEAR(*begin);
        } else {
            Py_CLEAR(context);
        }
    }
    return context;
}

Record *
new_record(HotPath *self, PyObject *site, PyObject *context)
{
    Record *record = (Record *)self->record->tp_alloc(self->record, 0);
    if (record != NULL) {
        record->site = Py_NewRef(site);
        record->parent_context = Py_NewRef(context);
    }
    return record;
}

/* Count a started execution of a site. Return whether its span becomes the current span, or -1 with an error set. */
static int
start(HotPath *self, PyObject *site)
{
    PyObject *count, *previous = self->last_site;
    int current;
    if (site == previous) {
        return count_one(self->start) < 0 ? -1 : self->current;
    }
    count = PyObject_GetItem(self->starts, site);
    current = count == NULL || count_one(count) < 0 ? -1 : is_current(site);
    if (current < 0) {
        Py_XDECREF(count);
        return -1;
    }
    previous = self->last_site; /* the calls above may have changed it */
    self->last_site = Py_NewRef(site);
    self->current = current;
    Py_XSETREF(self->start, count);
    Py_XDECREF(previous);
    return current;
}

Record *
begin_in(HotPath *self, PyObject *site, PyObject *context)
{
    Record *record = new_record(self, site, context);
    int current;
    if (record == NULL) {
        return NULL;
    }
    current = start(self, site);
    if (current > 0) {
        record->token = make_current(self, (PyObject *)record, context);
    }
    if (current < 0 || (current && record->token == NULL)) {
        Py_DECREF(record);
        return NULL;
    }
    record->started = clock_now();
    slots_begin(self->slots, record);
    return record;
}

static PyObject *
begin(HotPath *self, PyObject *site)
{
    PyObject *instead, *execution;
    PyObject *context = context_or_begin(self, &instead);
    if (instead != NULL) {
        execution = PyObject_CallOneArg(instead, site);
        Py_DECREF(instead);
        return execution;
    }
    if (context == NULL) {
        return NULL;
    }
    execution = (PyObject *)begin_in(self, site, context);
    Py_DECREF(context);
    return execution;
}

void
end_ok(HotPath *self, Record *record, int64_t ended)
{
    PyObject *token = record->token;
    record->token = NULL;
    record->ended = ended;
    Py_XSETREF(record->verdict, Py_NewRef(known.ok));
    enqueue(self, record, token);
    Py_XDECREF(token);
}

int
take_record(PyObject *recorder, Record *record)
{
    PyObject *token;
    if (!PyObject_TypeCheck(recorder, &HotPathType)) { /* another class with a method `take` */
        PyObject *result = PyObject_CallMethod(recorder, "take", "O", record);
        Py_XDECREF(result);
        return result == NULL ? -1 : 0;
    }
    token = record->token;
    record->token = NULL;
    enqueue((HotPath *)recorder, record, token == Py_None ? NULL : token);
    Py_XDECREF(token);
    return 0;
}

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
        names.check_context = PyUnicode_InternFromString("check_context");
        names.on_context_mismatch = PyUnicode_InternFromString("on_context_mismatch");
        names.apply_backpressure = PyUnicode_InternFromString("apply_backpressure");
        names.current = PyUnicode_InternFromString("current");
        names.append = PyUnicode_InternFromString("append");
        names.empty = PyTuple_New(0);
        names.fail = PyUnicode_InternFromString("fail");
    }
    Py_XSETREF(self->append, PyObject_GetAttr(queue, names.append));
    if (self->append == NULL) {
        return -1;
    }
    Py_XSETREF(self->record, (PyTypeObject *)Py_NewRef(record));
    Py_XSETREF(self->variable, Py_NewRef(variable));
    Py_XSETREF(self->starts, Py_NewRef(starts));
    Py_XSETREF(self->queue, Py_NewRef(queue));
    Py_XSETREF(self->checked, Py_NewRef(Py_None));
    self->high_water = high_water;
    return 0;
}

static int
path_traverse(HotPath *self, visitproc visit, void *arg)
{
    Py_VISIT(self->checked);
    Py_VISIT(self->slots);
    Py_VISIT(self->variable);
    Py_VISIT(self->starts);
    Py_VISIT(self->last_site);
    Py_VISIT(self->start);
    Py_VISIT(self->queue);
    Py_VISIT(self->append);
    Py_VISIT(self->record);
    return 0;
}

static int
path_clear(HotPath *self)
{
    Py_CLEAR(self->checked);
    Py_CLEAR(self->slots);
    Py_CLEAR(self->variable);
    Py_CLEAR(self->starts);
    Py_CLEAR(self->last_site);
    Py_CLEAR(self->start);
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
    {"checked", T_OBJECT, offsetof(HotPath, checked), 0, NULL},
    {"slots", T_OBJECT, offsetof(HotPath, slots), 0, NULL},
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
