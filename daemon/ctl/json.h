/*
 * Writes one JSON document piece by piece, so that an answer of any length needs no memory. The
 * caller calls in the order of the document; commas, lines and indents come by themselves. Numbers
 * are exact: 64-bit integers as integers, doubles as the shortest decimal that reads back as the
 * same. NaN and the infinities, which JSON has no numbers for, become strings. Not thread-safe.
 */
#pragma once

#include "base/table.h"

#include <stdio.h>

typedef struct JsonWriter JsonWriter;

JsonWriter *json_writer_new(FILE *out);
/* Ends the document (its containers must be closed) with a line end. */
void json_writer_free(JsonWriter *json);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(JsonWriter, json_writer_free)

/* Containers. `key` is the name inside an object and NULL everywhere else. `flat` ones stand on one
 * line with all that is in them. */
void json_begin_object(JsonWriter *json, const char *key, gboolean flat);
void json_end_object(JsonWriter *json);
void json_begin_array(JsonWriter *json, const char *key, gboolean flat);
void json_end_array(JsonWriter *json);

void json_put_string(JsonWriter *json, const char *key, const char *text); /* NULL gives null */
void json_put_int(JsonWriter *json, const char *key, gint64 number);
void json_put_uint(JsonWriter *json, const char *key, guint64 number);
void json_put_bool(JsonWriter *json, const char *key, gboolean truth);
void json_put_double(JsonWriter *json, const char *key, double number);
void json_put_null(JsonWriter *json, const char *key);
void json_put_value(JsonWriter *json, const char *key, const Value *value);
