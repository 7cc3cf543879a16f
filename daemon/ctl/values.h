/*
 * Values and points as text: exact both ways. Pure functions.
 *
 *   BOOLEAN  true, false (also TRUE, FALSE, True, False)
 *   INT32, INT64  decimal digits with an optional sign
 *   FLOAT, DOUBLE  decimal, with an optional exponent; NaN, Infinity, -Infinity, inf
 *   TEXT  as it stands
 */
#pragma once

#include "base/text.h"
#include "rpc/client.h"

/* Reads text of `size` bytes, NUL-terminated. INVALID says why it is no value of the type. */
gboolean value_parse(const char *text, gsize size, DataType type, Value *out_value, GError **error);

/*
 * The type of a text whose type nobody has said: true and false are BOOLEAN, integers of 64 bits
 * INT64, other numbers DOUBLE, everything else TEXT.
 */
DataType value_infer(const char *text, gsize size);

/* The type that holds values of both types: INT64 and DOUBLE give DOUBLE, other pairs TEXT. `a` may
 * be 0: nothing seen yet. */
DataType value_infer_both(int a, DataType b);
