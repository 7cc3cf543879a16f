/*
 * How far an import is, in a small file, so that it can go on after an interruption: everything up
 * to `offset` of the CSV file is acknowledged. Written atomically. One thread.
 */
#pragma once

#include <glib.h>

typedef struct ImportState {
  char *cluster; /* id */
  guint32 group;
  char *device;                         /* NULL: from a column */
  guint32 head_checksum, tail_checksum; /* of the head; of the bytes before `offset` */
  guint64 offset, line;
  guint64 rows, points;
} ImportState;

void import_state_clear(ImportState *state);
G_DEFINE_AUTO_CLEANUP_CLEAR_FUNC(ImportState, import_state_clear)

gboolean import_state_save(const ImportState *state, const char *path, GError **error);

/* *out_found FALSE: there is no such file. INVALID when it is none of ours. */
gboolean import_state_load(const char *path, ImportState *out_state, gboolean *out_found,
                           GError **error);
