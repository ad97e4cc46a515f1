/* sandscope._deferred._native: the compiled hot path and encoder of the deferred recorder. */
#include "record.h"

Known known;

int64_t
clock_now(void)
{
#if PY_VERSION_HEX >= 0x030D0000
    PyTime_t now = 0;
    (void)PyTime_PerfCounterRaw(&now);
    return now;
#else
    return _PyTime_GetPerfCounter();
#endif
}

int64_t
clock_offset(void)
{
    PyObject *offset = PyObject_GetAttrString(known.clock, "offset");
    long long nanoseconds = offset == NULL ? 0 : PyLong_AsLongLong(offset);
    Py_XDECREF(offset);
    PyErr_Clear();
    return nanoseconds;
}

PyObject *
optional_attribute(PyObject *object, PyObject *name)
{
    PyObject *value = NULL;
#if PY_VERSION_HEX >= 0x030D0000
    (void)PyObject_GetOptionalAttr(object, name, &value);
#else
    (void)_PyObject_LookupAttr(object, name, &value);
#endif
    return value;
}

static PyObject *
import_attribute(const char *module, const char *name)
{
    PyObject *imported = PyImport_ImportModule(module);
    PyObject *object = imported == NULL || name == NULL ? imported : PyObject_GetAttrString(imported, name);
    if (name != NULL) {
        Py_XDECREF(imported);
    }
    return object;
}

int
look_up_known(void)
{
    known.ok = import_attribute("sandscope._verdict", "OK");
    known.span_key = import_attribute("sandscope._internals", "SPAN_KEY");
    known.context_type = import_attribute("opentelemetry.context", "Context");
    known.span_context = import_attribute("opentelemetry.trace", "SpanContext");
    known.trace_flags = import_attribute("opentelemetry.trace", "TraceFlags");
    known.no_state = import_attribute("opentelemetry.trace.span", "DEFAULT_TRACE_STATE");
    known.recording = import_attribute("sandscope._recording._recorder", "recording");
    known.with_details = import_attribute("sandscope._recording._recorder", "with_details");
    known.partial = import_attribute("functools", "partial");
    known.report = import_attribute("sandscope._guard", "report");
    known.missing_evidence = import_attribute("sandscope._verdict", "MISSING_EVIDENCE");
    known.clock = import_attribute("sandscope._deferred._clock", NULL);
    known.shared_details = import_attribute("sandscope._details", "SharedDetails");
    if (PyErr_Occurred()) {
        return -1;
    }
    if (!PyType_Check(known.context_type)
        || !PyType_IsSubtype((PyTypeObject *)known.context_type, &PyDict_Type)) {
        PyErr_SetString(PyExc_ImportError, "OpenTelemetry's Context is not a subclass of dict");
        return -1;
    }
    return 0;
}

static PyMethodDef functions[] = {
    {"give_ids", give_ids, METH_VARARGS, NULL},
    {"encode_spans", encode_spans, METH_VARARGS, NULL},
    {"encode_logs", encode_logs, METH_VARARGS, NULL},
    {NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "sandscope._deferred._native",
    .m_size = -1, /* no subinterpreters: OpenTelemetry's state is global */
    .m_methods = functions,
};

PyMODINIT_FUNC
PyInit__native(void)
{
    PyObject *module;
    /* The same `tp_new` as Python classes, so that `object.__new__` accepts the type. */
    RecordType.tp_new = PyBaseObject_Type.tp_new;
    HotPathType.tp_new = PyType_GenericNew;
    if (look_up_known() < 0 || PyType_Ready(&RecordType) < 0 || PyType_Ready(&HotPathType) < 0
        || PyType_Ready(&WrapperType) < 0 || PyType_Ready(&CountType) < 0
        || PyType_Ready(&SlotsType) < 0 || ready_attribute() < 0 || ready_model_call() < 0) {
        return NULL;
    }
    module = PyModule_Create(&definition);
    if (module == NULL || PyModule_AddObjectRef(module, "Record", (PyObject *)&RecordType) < 0
        || PyModule_AddObjectRef(module, "HotPath", (PyObject *)&HotPathType) < 0
        || PyModule_AddObjectRef(module, "Slots", (PyObject *)&SlotsType) < 0
        || PyModule_AddObjectRef(module, "Attribute", (PyObject *)&AttributeType) < 0
        || PyModule_AddObjectRef(module, "ModelCall", (PyObject *)&ModelCallType) < 0
        || PyModule_AddObjectRef(module, "new_count", (PyObject *)&CountType) < 0) {
        Py_XDECREF(module);
        return NULL;
    }
    return module;
}
