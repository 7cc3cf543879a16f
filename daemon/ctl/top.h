/*
 * What `synclogctl top` shows. A TopWatch asks the servers, all at the same time, and makes of each
 * look tables and the lines that need a person; rates and quantiles are those since the look
 * before. The screen shows looks that a thread of its own takes, so that it answers keys while a
 * server does not answer.
 */
#pragma once

#include "base/error.h"
#include "rpc/client.h"

typedef enum { MOOD_PLAIN, MOOD_GOOD, MOOD_WARN, MOOD_BAD } TopMood;

typedef struct TopCell {
  char *text;    /* printable; NULL: not known */
  double number; /* what it is sorted by; of a text 0 */
  TopMood mood;
} TopCell;

typedef struct TopColumn {
  const char *title;
  gboolean right; /* aligned */
  guint rank;     /* the greatest leave a narrow screen first; 0 stays */
} TopColumn;

typedef struct TopTable {
  const TopColumn *columns; /* static */
  guint n_columns;
  GArray *cells; /* TopCell, row by row */
} TopTable;

enum { TOP_ALL_GROUPS = -1 };

typedef struct TopLook {
  guint servers, serving;
  gint group;        /* that is shown, or TOP_ALL_GROUPS */
  GArray *group_ids; /* guint32, sorted: all that the servers have */
  GArray *trouble;   /* TopCell */
  TopTable nodes, links;
  TopTable groups; /* of all servers together; empty unless all of several are shown */
} TopLook;

void top_look_free(TopLook *look);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TopLook, top_look_free)

/* For the head: "  all 3 groups", "  group 1", or nothing where there is one. */
char *top_look_groups(const TopLook *look);

guint top_table_rows(const TopTable *table);
const TopCell *top_table_cell(const TopTable *table, guint row, guint column);

typedef struct TopWatch TopWatch;

/* A server that does not answer in timeout_ms counts as not answering. group: the one that is shown
 * at first, or TOP_ALL_GROUPS. Borrows `servers`. */
TopWatch *top_watch_new(char **servers, gint group, gint64 timeout_ms);
void top_watch_free(TopWatch *watch);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(TopWatch, top_watch_free)

/* What looks show from the next one on. Any thread. */
void top_watch_set_group(TopWatch *watch, gint group);
gint top_watch_group(const TopWatch *watch);

/* One look; blocks until all have answered or did not in time. One thread at a time. */
TopLook *top_watch_look(TopWatch *watch);

/* Shows looks on the terminal until it is left by key or signal, or `rounds` were shown (0: any
 * number). Fails where the terminal is none that can be drawn on. */
gboolean top_screen_run(TopWatch *watch, gint64 interval_ms, gint rounds, GError **error);
