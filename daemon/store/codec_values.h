/*
 * The packed values of one column (as in TColumn, none missing) in few bytes. Of several ways the
 * first that pays is taken; what comes back is the same to the bit. README.md has the bytes. Pure
 * functions.
 *
 * What does not shrink by itself (numbers with random digits, texts) is laid out so that RocksDB's
 * own compression finds what there is to find.
 */
#pragma once

#include "base/table.h"

typedef enum {
  CODEC_RAW = 0,        /* as they are */
  CODEC_INTS = 1,       /* numbers, or the bits of floating point ones, as a sequence of integers */
  CODEC_DECIMAL = 2,    /* floating point numbers with few decimal digits */
  CODEC_PLANES = 3,     /* first all lowest bytes, then all second ones, … */
  CODEC_BITS = 4,       /* booleans */
  CODEC_TEXTS = 5,      /* lengths, then the bytes */
  CODEC_DICTIONARY = 6, /* each text once, and which one it is */
} ValueCodec;

/* Bytes of `rows` packed values; `text_size` those of the texts themselves. */
gsize values_packed_size(DataType type, guint rows, gsize text_size);

/* Appends the encoded values; rows > 0. */
ValueCodec values_encode(DataType type, const guint8 *packed, gsize size, guint rows,
                         GByteArray *out);

enum { CODEC_SLACK = 8 };

typedef struct CodecScratch {
  gint64 *integers; /* room for `rows` */
  double *doubles;  /* and for CODEC_SLACK more */
  guint digits;     /* that the column before had, which are tried first */
} CodecScratch;

/*
 * The same in a ns or two for each number, and with some more bytes: texts, and numbers that need
 * thinking, stay as they are. Written to `to`, where values_quick_room() bytes may be written to;
 * gives their end. A GByteArray divides each time that it grows, which is not quick.
 */
guint8 *values_encode_quickly(DataType type, const guint8 *packed, gsize size, guint rows,
                              CodecScratch *scratch, guint8 *to, ValueCodec *out_codec);
gsize values_quick_room(gsize size, guint rows);

/*
 * Decodes into out[0 .. out_size), which is to be filled exactly; rows > 0. FALSE when the bytes
 * are not such values; `out` then holds anything. `scratch` has room for `rows` integers.
 */
gboolean values_decode(DataType type, ValueCodec codec, const guint8 *bytes, gsize size, guint rows,
                       gint64 *scratch, guint8 *out, gsize out_size);
