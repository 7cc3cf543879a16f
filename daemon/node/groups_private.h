/* What groups.c (the table) and groups_manage.c (opening, closing, deleting) share. */
#pragma once

#include "node/groups.h"

/* One group of the configuration. */
typedef struct GroupEntry {
  guint32 id;
  Identity *identity;
  Replica *replica; /* NULL: not open */
  char *failure;    /* why it is not, for people; NULL: it is being opened, or not here */
  gboolean here;    /* this node is a member */
  gboolean busy;    /* the thread is about to open, close or reopen it */
  gint64 retry_us;  /* when a failed one is opened again */
} GroupEntry;

typedef enum { MANAGE_OPEN, MANAGE_CLOSE, MANAGE_REOPEN, MANAGE_DELETE, MANAGE_END } ManageKind;

typedef struct ManageJob {
  ManageKind kind;
  GroupEntry *entry; /* of CLOSE: not in the table any more, and to be freed */
  guint32 id;        /* of DELETE, as are the next */
  GroupsDeleted deleted;
  gpointer data;
} ManageJob;

struct Groups {
  RpcLoops *loops;
  guint store_files;
  char *data_dir;

  GRWLock lock;       /* guards the table: everything up to the next comment */
  Config *config;     /* as running */
  GPtrArray *entries; /* GroupEntry, by id; group 0 first */
  GroupRule *rule;
  gboolean started, stopped;

  gint many; /* atomic: the rule is not empty */

  GThread *thread;
  GMutex jobs_mutex; /* a leaf */
  GCond jobs_cond;
  GQueue jobs; /* ManageJob */
};

/* Caller holds `lock`; NULL when there is none. */
GroupEntry *groups_find(Groups *groups, guint32 id);

/* groups_manage.c */
GroupEntry *group_entry_new(guint32 id);
void group_entry_free(GroupEntry *entry);
char *groups_directory(Groups *groups, guint32 id);
gpointer groups_thread(gpointer data);
void groups_post(Groups *groups, ManageKind kind, GroupEntry *entry);
/* Opens the replica of an entry, `busy` or not yet in the table. `first`: nobody else runs yet. */
gboolean groups_open_entry(Groups *groups, GroupEntry *entry, GError **error);
/* What a crash left of deleting. */
void groups_finish_deleting(Groups *groups);
/* Ids of groups whose files are there; guint32, in no order. */
GArray *groups_on_disk(Groups *groups);
