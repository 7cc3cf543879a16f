/*
 * Which partitions have raw blocks that wait for being turned into chunks. In memory and bounded:
 * what has no room is found again by looking through the store. Not thread-safe: the applying
 * thread's.
 */
#pragma once

#include <glib.h>

enum {
  REBLOCK_PLACES = 1 << 17,   /* partitions that are kept: about 12 MiB */
  REBLOCK_LEFT_OUT = 1 << 12, /* of these: that are left out */
};

/* The raw blocks of one partition. Of what was only applied yet: parts of writes. */
typedef struct Backlog {
  guint64 blocks, rows;
  guint64 newest; /* greatest clock */
} Backlog;

typedef struct ReblockQueue ReblockQueue;

/* A partition is due when `enough` blocks wait and half of that are stable, or half as many rows
 * and all of them are. While half of the places are taken, any whose rows are all stable is. */
ReblockQueue *reblock_queue_new(guint enough);
void reblock_queue_free(ReblockQueue *queue);

void reblock_queue_add(ReblockQueue *queue, guint32 device, gint64 partition, const Backlog *more);

/* A partition that is due now that all up to the clock `stable` is there. FALSE: none is. */
gboolean reblock_queue_next(ReblockQueue *queue, guint64 stable, guint32 *out_device,
                            gint64 *out_partition);

/* What is left of a partition that was given. more: some of that is stable, so it may be due at
 * once; else not before its newest block is stable. */
void reblock_queue_left(ReblockQueue *queue, guint32 device, gint64 partition, const Backlog *left,
                        gboolean more);

/* A partition that was given can't be read: it is not due until it is taken back. Of too many the
 * last ones are forgotten until something is added to them. */
void reblock_queue_leave_out(ReblockQueue *queue, guint32 device, gint64 partition);
void reblock_queue_take_back(ReblockQueue *queue, guint32 device, gint64 partition);

/* Blocks that wait, of all. */
guint64 reblock_queue_blocks(const ReblockQueue *queue);

/* Whether anything had no room since the last call, and there is room again. */
gboolean reblock_queue_take_lost(ReblockQueue *queue);
