/* How long each step of a write's and of a batch's way takes. */
#pragma once

#include "base/latency.h"

/* name, what it is */
#define STEP_TABLE(X)                                                                              \
  X(WRITE, "write", "A write, from being decoded to its answer.")                                  \
  X(DECODE, "decode", "The writes that a loop read at once, until all are decoded.")               \
  X(QUEUE, "queue", "The oldest write of a commit waits for being written.")                       \
  X(APPEND, "append", "A commit is written to the log.")                                           \
  X(SYNC, "sync", "A commit is synced.")                                                           \
  X(REPLY, "reply", "A durable write waits for what its ack asks of the peers.")                   \
  X(APPLY, "apply", "A batch is put into the store.")                                              \
  X(BATCH_READ, "batch_read", "A batch for a peer is read from the log on disk.")                  \
  X(BATCH_SEND, "batch_send", "A batch for a peer waits for the network thread of its channel.")   \
  X(BATCH_REPLY, "batch_reply", "A batch on its way, until the peer's answer.")                    \
  X(RECEIVE, "receive", "A large batch of a peer waits for a worker.")                             \
  X(RECEIVE_DECODE, "receive_decode", "A batch of a peer is checked and decoded.")                 \
  X(REORDER, "reorder", "Batches wait for one before them.")                                       \
  X(MIRROR, "mirror", "Batches of a peer are written to its log here, and synced when due.")

typedef enum {
#define X(name, text, help) STEP_##name,
  STEP_TABLE(X)
#undef X
      STEPS
} Step;

typedef struct Steps {
  Latency step[STEPS];
} Steps;

const char *step_name(Step step);
const char *step_help(Step step);
