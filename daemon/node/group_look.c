/* Devices that a group's store has and the rule gives to another group by now: they are counted a
 * page at a time, once a second, by one worker for all groups of the node, which take turns. */
#include "node/groups_private.h"

#include <string.h>

enum {
  PAGE = 500,     /* devices of one look */
  ENOUGH = 100,   /* that are another group's: no more are counted, for each costs a read */
  PAUSE_PART = 9, /* a group is not counted for so many times as long as counting it took */
};

/* The least and the most of that. */
#define SOON_US (60 * G_USEC_PER_SEC)       /* of a group that had some: they may go */
#define LATER_US (10 * 60 * G_USEC_PER_SEC) /* … that had none */
#define LONGEST_US (60 * 60 * (gint64)G_USEC_PER_SEC)

typedef struct LookJob {
  Groups *groups;
  Replica *replica; /* held */
  GroupRule *rule;
  guint32 group;
  char *after;
  guint most; /* that are counted at once */
} LookJob;

/* What a page told. */
typedef struct Page {
  guint count;
  char *example, *last; /* last: where the next one begins; NULL: it was the last */
} Page;

void group_look_clear(GroupLook *look)
{
  g_free(look->after);
  g_free(look->counted_example);
  g_free(look->example);
}

/* Devices of which every value was deleted are listed all the same. One row tells; the last values
 * would push those that clients ask for out of their cache. */
static gboolean has_values(Store *store, const Device *device)
{
  for (guint i = 0; i < device->measurements->len; i++) {
    const char *names[] = {g_array_index(device->measurements, Measurement, i).name, NULL};
    g_autoptr(Table) table = store_query(store,
                                         &(Query){.device = device->name,
                                                  .measurements = names,
                                                  .start_time = G_MININT64,
                                                  .end_time = G_MAXINT64,
                                                  .limit = 1},
                                         NULL);
    if (table != NULL && table->timestamps->len > 0)
      return TRUE;
  }
  return FALSE;
}

static gboolean read_page(const LookJob *job, Page *out)
{
  Store *store = replica_begin_view(job->replica, NULL);
  if (store == NULL)
    return FALSE;
  gboolean more = FALSE;
  g_autoptr(GPtrArray) devices = store_series(store, NULL, job->after, PAGE, &more, NULL);
  for (guint i = 0; devices != NULL && i < devices->len && out->count < job->most; i++) {
    const char *name = ((const Device *)devices->pdata[i])->name;
    if (group_rule_find(job->rule, name, strlen(name)) == job->group ||
        !has_values(store, devices->pdata[i]))
      continue;
    out->count++;
    if (out->example == NULL)
      out->example = g_strdup(name);
  }
  if (devices != NULL && more && devices->len > 0 && out->count < job->most)
    out->last = g_strdup(((const Device *)devices->pdata[devices->len - 1])->name);
  replica_end_view(job->replica);
  return devices != NULL;
}

/* Takes what `page` has. Caller holds the table's lock. */
static void add_page(GroupLook *look, Page *page, gboolean read)
{
  look->counted += page->count;
  if (look->counted_example == NULL)
    look->counted_example = g_steal_pointer(&page->example);
  g_free(look->after);
  look->after = g_steal_pointer(&page->last);
  if (look->after != NULL)
    return;
  if (read) {
    g_free(look->example);
    look->found = look->counted;
    look->example = g_steal_pointer(&look->counted_example);
  }
  look->counted = 0;
  g_clear_pointer(&look->counted_example, g_free);
  gint64 now_us = g_get_monotonic_time();
  gint64 pause_us =
      MAX((now_us - look->begun_us) * PAUSE_PART, look->found > 0 ? SOON_US : LATER_US);
  look->again_us = now_us + MIN(pause_us, LONGEST_US);
}

static void look_job(gpointer data)
{
  LookJob *job = data;
  Groups *groups = job->groups;
  Page page = {0};
  gboolean read = read_page(job, &page);
  g_rw_lock_writer_lock(&groups->lock);
  GroupEntry *entry = groups_find(groups, job->group);
  if (entry != NULL && entry->replica == job->replica &&
      entry->look.rule_hash == group_rule_hash(job->rule))
    add_page(&entry->look, &page, read);
  groups->looking = FALSE;
  g_rw_lock_writer_unlock(&groups->lock);
  replica_release(job->replica);
  group_rule_unref(job->rule);
  g_free(page.example);
  g_free(page.last);
  g_free(job->after);
  g_free(job);
}

/* Caller holds the table's lock. */
static gboolean is_due(GroupEntry *entry, guint64 rule_hash)
{
  GroupLook *look = &entry->look;
  if (entry->replica == NULL)
    return FALSE;
  if (look->rule_hash == rule_hash)
    return look->after != NULL || g_get_monotonic_time() >= look->again_us;
  group_look_clear(look);
  *look = (GroupLook){.rule_hash = rule_hash};
  return TRUE;
}

/* The first that is due behind the one that was looked at last. Caller holds the table's lock. */
static GroupEntry *next_due(Groups *groups, guint64 rule_hash)
{
  GroupEntry *first = NULL;
  for (guint i = 0; i < groups->entries->len; i++) {
    GroupEntry *entry = groups->entries->pdata[i];
    if (!is_due(entry, rule_hash))
      continue;
    if (entry->id > groups->looked_group)
      return entry;
    if (first == NULL)
      first = entry;
  }
  return first;
}

void group_look_step(Groups *groups)
{
  LookJob *job = NULL;
  g_rw_lock_writer_lock(&groups->lock);
  guint64 rule_hash = group_rule_hash(groups->rule);
  GroupEntry *entry = groups->looking || groups->stopped ? NULL : next_due(groups, rule_hash);
  if (entry != NULL) {
    job = g_new(LookJob, 1);
    *job = (LookJob){groups,
                     entry->replica,
                     group_rule_ref(groups->rule),
                     entry->id,
                     g_strdup(entry->look.after),
                     ENOUGH - (guint)entry->look.counted};
    replica_hold(entry->replica);
    if (entry->look.after == NULL)
      entry->look.begun_us = g_get_monotonic_time();
    groups->looking = TRUE;
    groups->looked_group = entry->id;
  }
  g_rw_lock_writer_unlock(&groups->lock);
  if (job != NULL)
    groups_work(groups, look_job, job);
}

char *group_look_text(const GroupEntry *entry, const GroupRule *rule)
{
  const GroupLook *look = &entry->look;
  if (look->found == 0 || look->rule_hash != group_rule_hash(rule))
    return NULL;
  return g_strdup_printf(
      "%" G_GUINT64_FORMAT "%s device%s here that the rule gives to another group (\"%s\" to group "
      "%u): "
      "to move them, --group %u export, import, --group %u delete",
      look->found, look->found >= ENOUGH ? " or more" : "", look->found == 1 ? "" : "s",
      look->example, group_rule_find(rule, look->example, strlen(look->example)), entry->id,
      entry->id);
}
