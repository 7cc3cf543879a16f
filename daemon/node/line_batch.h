/*
 * Points of line protocol on their way into one write. Lines of the same device with the same
 * fields and types that follow one another are a **run**: one tablet of the write. Devices may
 * change places, which changes nothing; the lines of one device keep their order, so the later of
 * two values for one point holds. Not thread-safe; nothing is allocated per line once the batch is
 * warm.
 */
#pragma once

#include "http/line_protocol.h"
#include "rpc/write_builder.h"

typedef struct LineBatch LineBatch;

LineBatch *line_batch_new(void);
void line_batch_free(LineBatch *batch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(LineBatch, line_batch_free)

/* Copies the point; `time` is in units of the cluster. `line` (of line_size bytes) is borrowed
 * until line_batch_clear, for messages. */
void line_batch_add(LineBatch *batch, const LinePoint *point, gint64 time, const char *line,
                    gsize line_size);

/* Bytes that the points take, approximately; to decide when to write them. */
gsize line_batch_size(const LineBatch *batch);

/* Ends adding: puts the points in order. */
void line_batch_sort(LineBatch *batch);

/* After line_batch_sort: runs, and how many lines each has. */
guint line_batch_runs(const LineBatch *batch);
guint line_batch_run_lines(const LineBatch *batch, guint run);
const char *line_batch_line(const LineBatch *batch, guint run, guint i, gsize *out_size);

/* Leaves a run out of the write. */
void line_batch_drop(LineBatch *batch, guint run);
gboolean line_batch_is_dropped(const LineBatch *batch, guint run);

/* Adds one run, or all that were not dropped; FALSE when none is left. */
void line_batch_put_run(const LineBatch *batch, guint run, WriteBuilder *builder);
gboolean line_batch_put(const LineBatch *batch, WriteBuilder *builder);

void line_batch_clear(LineBatch *batch);
