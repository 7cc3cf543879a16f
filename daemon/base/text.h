/*
 * Values as text, for people and programs: the same from synclogctl and over HTTP. Pure functions.
 *
 *   BOOLEAN  true, false
 *   INT32, INT64  decimal digits
 *   FLOAT, DOUBLE  decimal, NaN, Infinity, -Infinity
 *   TEXT  as it stands
 */
#pragma once

#include "base/table.h"

/* Appends the shortest text that reads back as the same value. FLOAT and DOUBLE always show a
 * point, an exponent or a name, so that they can't be taken for integers. */
void value_append_text(GString *out, const Value *value);

/* The shortest text of a double that reads back as the same; for JSON too. */
enum { NUMBER_TEXT_SIZE = 40 };
char *double_format(double number, char text[NUMBER_TEXT_SIZE]);

/*
 * Splits "name:TYPE" when TYPE is the name of a type (any case), else the type is 0 and the name
 * all of it. `name` transfer full.
 */
char *measurement_split(const char *text, int *out_type);

/* The name as a column's head: with its type behind when `typed`, or when the name alone would be
 * split by measurement_split(). Transfer full. */
char *measurement_join(const char *name, DataType type, gboolean typed);

typedef enum {
  LABELS_SHORT, /* types only where they tell columns apart */
  LABELS_EXACT, /* also where an import would see another type in the values */
} LabelStyle;

/* Transfer full. `ambiguous`: another column bears the same name. */
char *column_label(const char *measurement, DataType type, gboolean ambiguous, LabelStyle style);

/* Appends a cell, in quotes where it needs them or where `quote` says so. */
void csv_append(GString *out, char delimiter, const char *text, gsize size, gboolean quote);

/* Appends a JSON string, quotes included. `text` is UTF-8. */
void json_append_string(GString *out, const char *text, gsize size);
