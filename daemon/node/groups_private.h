/* What groups.c (the table) and groups_manage.c (opening, closing, deleting) share. */
#pragma once

#include "node/groups.h"

/* What is known of devices that the group has and the rule gives to another one (group_look.c). */
typedef struct GroupLook {
  guint64 rule_hash;     /* of the rule by which it was looked; 0: never */
  char *after;           /* the last device that was looked at; NULL: none, or all were */
  gint64 begun_us;       /* when the first of them was looked at */
  guint64 counted;       /* so far */
  char *counted_example; /* one of them */
  guint64 found;         /* when all had been looked at last … */
  char *example;         /* … one of them; NULL: none */
  gint64 again_us;       /* when it is looked again */
} GroupLook;

/* One group of the configuration. */
typedef struct GroupEntry {
  guint32 id;
  Identity *identity;
  Replica *replica; /* NULL: not open */
  char *failure;    /* why it is not, for people; NULL: it is being opened, or not here */
  gboolean here;    /* this node is a member */
  gboolean busy;    /* a thread is about to open, close or reopen it */
  gint64 retry_us;  /* when a failed one is opened again */
  GroupLook look;
} GroupEntry;

typedef enum { MANAGE_OPEN, MANAGE_CLOSE, MANAGE_REOPEN, MANAGE_DELETE } ManageKind;

typedef struct ManageJob {
  ManageKind kind;
  GroupEntry *entry; /* of CLOSE: not in the table any more, and to be freed */
  guint32 id;
  GroupsDeleted deleted; /* of DELETE, as is the next */
  gpointer data;
} ManageJob;

/* The jobs of one group's number: one after another, while those of others go on beside them. */
typedef struct ManageLane {
  guint32 id;
  GQueue jobs; /* ManageJob; the first is being done */
} ManageLane;

struct Groups {
  RpcLoops *loops;
  guint store_files;
  char *data_dir;

  GRWLock lock;       /* guards the table: everything up to the next comment */
  Config *config;     /* as running */
  GPtrArray *entries; /* GroupEntry, by id; group 0 first */
  GroupRule *rule;
  gboolean started, stopped;
  gboolean looking;     /* a worker counts devices for one of them */
  guint32 looked_group; /* the last one for which one did */

  gint many; /* atomic: the rule is not empty */

  GMutex jobs_mutex;  /* a leaf; guards what follows */
  GCond jobs_cond;    /* a lane waits, there is one less, or it ends */
  GHashTable *lanes;  /* id to ManageLane: those with jobs; NULL before and behind the threads */
  GQueue waiting;     /* ManageLane: those that no thread has taken */
  GPtrArray *threads; /* GThread: as many as were needed at once so far */
  guint idle;         /* of them */
  gboolean jobs_ended;
};

/* Caller holds `lock`; NULL when there is none. */
GroupEntry *groups_find(Groups *groups, guint32 id);

/* group_look.c */
/* Once a second: goes on counting. */
void group_look_step(Groups *groups);
/* What it found, for people; NULL: nothing. Caller holds `lock`. Transfer full. */
char *group_look_text(const GroupEntry *entry, const GroupRule *rule);
void group_look_clear(GroupLook *look);

/* groups_manage.c */
GroupEntry *group_entry_new(guint32 id);
void group_entry_free(GroupEntry *entry);
char *groups_directory(Groups *groups, guint32 id);
/* From groups_begin_jobs to groups_end_jobs, which does what was posted (nothing is opened any more
 * when `stopped` is set). */
void groups_begin_jobs(Groups *groups);
void groups_end_jobs(Groups *groups);
/* Until all that was posted is done, or so much time has passed. */
void groups_wait_for_jobs(Groups *groups, gint64 us);
/* Caller holds `lock` for writing, or is alone. */
void groups_post(Groups *groups, ManageKind kind, GroupEntry *entry);
/* Opens the replica of an entry, `busy` or not yet in the table. `first`: nobody else runs yet. */
gboolean groups_open_entry(Groups *groups, GroupEntry *entry, GError **error);
/* What a crash left of deleting. */
void groups_finish_deleting(Groups *groups);
/* Ids of groups whose files are there; guint32, in no order. */
GArray *groups_on_disk(Groups *groups);
