/*
 * Requests as bytes. A template is encoded once; for each request it is copied and the few fields
 * that change are stored into the copy. All contestants carry the same bytes: synclogd and the
 * floor the whole Thrift frame, redis the same frame as the value of a SET.
 */
#pragma once

#include "core/messages.h"

typedef enum { TARGET_SYNCLOG, TARGET_FLOOR, TARGET_REDIS } TargetKind;

typedef enum { OP_WRITE, OP_RANGE, OP_LAST, OP_AGGREGATE } PayloadOp;

typedef struct PayloadSpec {
  TargetKind target;
  PayloadOp op;
  guint rows; /* 0: one row, as TRow; else a tablet of so many rows */
  guint columns;
  AckLevel ack;
  gint redis_wait; /* replicas that a WAIT behind each SET waits for, 0: no WAIT */
  guint devices;
  guint range_rows;   /* OP_RANGE: of one request */
  guint64 total_rows; /* reads: of each device; ranges go around over them */
  gint64 first_time;  /* ms; 0: now */
  guint32 run; /* goes into the names of the devices, so that no two runs write the same points */
} PayloadSpec;

typedef struct Payload {
  PayloadSpec spec;
  guint8 *bytes;
  gsize size;
  guint64 points;     /* of one request; of a range as its reply says */
  gint64 first_time;  /* ms */
  gsize content_size; /* bytes of the frame alone */
  gsize seqid_at, device_at, times_at, end_at, key_at;
  gsize status_at;  /* where the reply has its status code */
  gsize *values_at; /* first value of each column */
} Payload;

Payload *payload_new(const PayloadSpec *spec);
void payload_free(Payload *payload);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Payload, payload_free)

/* Writes request `number` (0, 1, …) to `out`, which has room for payload->size. */
void payload_write(const Payload *payload, guint8 *out, guint32 seqid, guint64 number);

/* Name of the device that request `number` goes to. */
char *payload_device(const Payload *payload, guint64 number);
