// Prints its TRACEPARENT, emits telemetry through the host functions of `otel`, and ends as its argument says.
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OTEL(name) __attribute__((import_module("otel"), import_name(#name)))

OTEL(span_start) int32_t span_start(const char *name, size_t size);
OTEL(span_end) int32_t span_end(int32_t span);
OTEL(span_set_attribute)
int32_t span_set_attribute(int32_t span, const char *key, size_t key_size, const char *value, size_t value_size);
OTEL(log) int32_t otel_log(int32_t severity, const char *body, size_t size);
OTEL(counter_add) int32_t counter_add(const char *name, size_t size, double value);

int main(int count, char **arguments) {
  const char *parent = getenv("TRACEPARENT");
  puts(parent ? parent : "");
  fflush(stdout);

  int32_t work = span_start("work", 4);
  span_set_attribute(work, "language", 8, "C", 1);
  int32_t step = span_start("step", 4);
  otel_log(9, "half way", 8);
  counter_add("items", 5, 2.5);
  if (count > 1 && strcmp(arguments[1], "trap") == 0) __builtin_trap();
  span_end(step);
  span_end(work);
  return count > 1 ? atoi(arguments[1]) : 0;
}
