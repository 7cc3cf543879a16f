/*
 * What all fuzz targets share. A target is one file with fuzz_one() and fuzz_seeds(); what it finds
 * wrong it says by g_assert. Warnings of the code under test are swallowed, critical messages of
 * GLib end the run. One thread.
 */
#pragma once

#include "base/bytes.h"

#include <string.h>

/* Runs one input. Called by libFuzzer under the name that it knows. */
void fuzz_one(const guint8 *bytes, gsize size);

/* Gives the inputs to begin with, made by the real encoders, to fuzz_seed(). */
void fuzz_seeds(void);
void fuzz_seed(const char *name, const void *bytes, gsize size);

/* An input as it is used up. Behind its end all numbers are 0. */
typedef struct FuzzInput {
  const guint8 *bytes;
  gsize left;
} FuzzInput;

/* Up to `want` bytes; *out_size says how many there were. */
static inline const guint8 *fuzz_take(FuzzInput *in, gsize want, gsize *out_size)
{
  const guint8 *bytes = in->bytes;
  *out_size = MIN(want, in->left);
  in->bytes += *out_size;
  in->left -= *out_size;
  return bytes;
}

static inline guint64 fuzz_number(FuzzInput *in, guint width)
{
  gsize size;
  const guint8 *bytes = fuzz_take(in, width, &size);
  guint64 number = 0;
  for (gsize i = 0; i < size; i++)
    number = number << 8 | bytes[i];
  return number;
}

static inline guint fuzz_u8(FuzzInput *in)
{
  return (guint)fuzz_number(in, 1);
}

static inline guint fuzz_u16(FuzzInput *in)
{
  return (guint)fuzz_number(in, 2);
}

static inline guint64 fuzz_u64(FuzzInput *in)
{
  return fuzz_number(in, 8);
}

/* A part whose size stands before it in two bytes. In memory of its own, so that the sanitizer sees
 * a byte read too much. */
static inline guint8 *fuzz_part(FuzzInput *in, gsize *out_size)
{
  gsize want = fuzz_u16(in);
  const guint8 *bytes = fuzz_take(in, want, out_size);
  guint8 *copy = g_malloc(MAX(*out_size, (gsize)1));
  if (*out_size > 0)
    memcpy(copy, bytes, *out_size);
  return copy;
}

/* --- building seeds -----------------------------------------------------------------------------
 */

static inline void seed_number(GByteArray *out, guint64 number, guint width)
{
  guint8 bytes[8];
  store_be64(bytes, number);
  g_byte_array_append(out, bytes + 8 - width, width);
}

static inline void seed_part(GByteArray *out, const void *bytes, gsize size)
{
  seed_number(out, size, 2);
  g_byte_array_append(out, bytes, (guint)size);
}

/* Gives the seed and frees it. */
static inline void seed_end(const char *name, GByteArray *out)
{
  fuzz_seed(name, out->data, out->len);
  g_byte_array_unref(out);
}
