/*
 * Who else has written where: decides, while entries are applied, which blocks and deletes may have
 * met those of another leader, and keeps them in a bounded queue until somebody looks.
 *
 * What is asked for each block is small: of a device that only one leader ever wrote to, nothing
 * more is kept than who it is. For a device of several leaders, the range of times that each wrote
 * is kept by partition, for a bounded number of partitions; those of others are not known, and
 * their blocks are looked at.
 *
 * Memory: 8 bytes per name id, 40 per device with deletes, and the bounds below. Not thread-safe:
 * the applying thread's.
 */
#pragma once

#include "store/schema.h"

enum {
  PENDING_CHECKS = 65536,     /* in the queue: about 8 MiB */
  PENDING_PARTITIONS = 65536, /* whose ranges are kept: about 12 MiB */
};

typedef enum { CHECK_BLOCK = 1, CHECK_DELETE = 2, CHECK_TYPE = 3 } CheckKind;

/* Something applied that is to be compared with what was there before. */
typedef struct Check {
  guint64 sequence; /* in the order of applying: 1, 2, 3, … */
  CheckKind kind;
  guint32 device;
  guint32 measurement;       /* of a type */
  DataType type;             /* of a type */
  gint64 partition;          /* of a block; of a delete: the next one to look at */
  Version version;           /* not of a type */
  gint64 min_time, max_time; /* not of a type */
  guint32 column, row;       /* of a block: where to go on */
  gboolean done;
} Check;

typedef struct Pending Pending;

Pending *pending_new(void);
void pending_free(Pending *pending);

/* --- while opening ------------------------------------------------------------------------------
 */

void pending_load_origin(Pending *pending, guint32 device, guint32 origin);
void pending_load_delete(Pending *pending, guint32 device, const Version *version,
                         gint64 start_time, gint64 end_time);
/* In ascending order of sequences. FALSE when it can't be right. */
gboolean pending_load_check(Pending *pending, const Check *check);
/* A device that there is; after all origins. One without a known origin may have several. */
void pending_load_device(Pending *pending, guint32 device);

/* --- while applying -----------------------------------------------------------------------------
 */

/* What is to be written to disk with what was noted. */
typedef struct Noted {
  gboolean new_origin; /* of the device: to be told to pending_load_origin() */
  gboolean overflowed; /* there should be a check, and the queue is full */
  const Check *check;  /* NULL: nothing is to be looked at. Valid until the queue changes */
} Noted;

Noted pending_note_block(Pending *pending, guint32 device, gint64 partition, const Version *version,
                         gint64 min_time, gint64 max_time);
/* A block that a mend put there: what others meet, it is not looked at itself. */
Noted pending_note_mended(Pending *pending, guint32 device, gint64 partition, guint32 origin,
                          gint64 min_time, gint64 max_time);
Noted pending_note_delete(Pending *pending, guint32 device, gint64 first_partition,
                          const Version *version, gint64 start_time, gint64 end_time);
/* A measurement got a further type. */
Noted pending_note_type(Pending *pending, guint32 device, guint32 measurement, DataType type);

/* Whether several leaders wrote to the device, as far as is known. */
gboolean pending_is_shared(const Pending *pending, guint32 device);

/* --- while looking ------------------------------------------------------------------------------
 */

guint pending_count(const Pending *pending);

/* The oldest check; NULL: there is none. Stays valid until it is done and this is called again. */
Check *pending_first(Pending *pending);

/* The blocks of one partition that wait, oldest first: GQueue of Check, NULL: none. Borrowed. */
const GQueue *pending_blocks(Pending *pending, guint32 device, gint64 partition);

/* The deletes of one device that wait, the same way. */
const GQueue *pending_deletes(Pending *pending, guint32 device);

/* Takes out a check that is the oldest of its partition (or of the device's deletes). */
void pending_done(Pending *pending, Check *check);

/*
 * Counts up when ranges are forgotten. Those of one partition are kept at least until it has done
 * so twice since they were used last.
 */
guint pending_turns(const Pending *pending);

/* From now on the ranges of that partition are known: all of its blocks were given. */
void pending_know_partition(Pending *pending, guint32 device, gint64 partition);
void pending_know_block(Pending *pending, guint32 device, gint64 partition, guint32 origin,
                        gint64 min_time, gint64 max_time);
