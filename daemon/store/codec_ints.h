/*
 * Sequences of 64-bit integers in few bytes: as they are, as differences, or as differences of
 * differences, whichever is smallest, in groups of which each has its own width. A regular clock
 * costs about a hundredth of a byte per value. README.md has the bytes. Pure functions.
 */
#pragma once

#include <glib.h>

/* Appends the encoded sequence; count > 0. All arithmetic wraps, so any values do. */
void ints_encode(const gint64 *values, guint count, GByteArray *out);

/*
 * The same bytes, or some more, written to `to`, where ints_quick_room() bytes may be written to;
 * gives their end. How differences are taken follows from the first values. `scratch` has room for
 * as many.
 */
guint8 *ints_encode_quickly(const gint64 *values, guint count, double *scratch, guint8 *to);
gsize ints_quick_room(guint count);

static const gint64 INTS_DOUBLE_LIMIT = (gint64)1 << 49;

/* The same of integers that are doubles and below that limit, also negated; each plus `offset`. No
 * zero is negative. */
guint8 *ints_encode_doubles(const double *values, guint count, gint64 offset, guint8 *to);

/* Decodes exactly `count` values from exactly bytes[0 .. size). FALSE when that is not what they
 * are; `out` then holds anything. */
gboolean ints_decode(const guint8 *bytes, gsize size, guint count, gint64 *out);
