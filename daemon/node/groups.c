#include "node/groups_private.h"

#include "base/limits.h"
#include "base/logging.h"
#include "rpc/write_devices.h"

#include <string.h>

/* At the start, for the groups to be opened: so that mostly all are there when the node answers. */
enum { START_WAIT_US = 3 * G_USEC_PER_SEC };

/* --- the table ----------------------------------------------------------------------------------
 */

GroupEntry *groups_find(Groups *groups, guint32 id)
{
  for (guint i = 0; i < groups->entries->len; i++) {
    GroupEntry *entry = groups->entries->pdata[i];
    if (entry->id == id)
      return entry;
  }
  return NULL;
}

static GroupEntry *add_entry(Groups *groups, guint32 id)
{
  guint at = 0;
  while (at < groups->entries->len && ((GroupEntry *)groups->entries->pdata[at])->id < id)
    at++;
  const ConfigGroup *wanted = config_find_group(groups->config, id);
  GroupEntry *entry = group_entry_new(id);
  entry->here = wanted == NULL || config_group_has(wanted, groups->config->node_id);
  g_ptr_array_insert(groups->entries, (gint)at, entry);
  return entry;
}

static GroupRule *make_rule(const Config *config)
{
  GroupRule *rule = group_rule_new();
  for (guint i = 0; i < config->groups->len; i++) {
    const ConfigGroup *group = &g_array_index(config->groups, ConfigGroup, i);
    gboolean added = group_rule_add(rule, group->id, group->devices, NULL);
    g_assert(added); /* the configuration was checked */
  }
  return rule;
}

/* Caller holds `lock` for writing, or is alone. */
static void take_rule(Groups *groups)
{
  GroupRule *before = groups->rule;
  groups->rule = make_rule(groups->config);
  g_atomic_int_set(&groups->many, !group_rule_is_empty(groups->rule));
  if (before != NULL)
    group_rule_unref(before);
}

static void groups_free(Groups *groups)
{
  for (guint i = 0; i < groups->entries->len; i++)
    group_entry_free(groups->entries->pdata[i]);
  g_ptr_array_unref(groups->entries);
  config_free(groups->config);
  group_rule_unref(groups->rule);
  g_mutex_clear(&groups->jobs_mutex);
  g_cond_clear(&groups->jobs_cond);
  g_rw_lock_clear(&groups->lock);
  g_free(groups->data_dir);
  g_free(groups);
}

/* Caller holds `lock`. */
static GPtrArray *hold_all(Groups *groups)
{
  GPtrArray *all = g_ptr_array_new_with_free_func((GDestroyNotify)replica_release);
  for (guint i = 0; i < groups->entries->len; i++) {
    GroupEntry *entry = groups->entries->pdata[i];
    if (entry->replica == NULL)
      continue;
    replica_hold(entry->replica);
    g_ptr_array_add(all, entry->replica);
  }
  return all;
}

static void tell_late(Groups *groups)
{
  g_autoptr(GPtrArray) closed = groups_closed(groups);
  for (guint i = 0; i < closed->len; i++) {
    const GroupInfo *group = closed->pdata[i];
    if (group->message == NULL)
      g_message("group %u takes long to be opened; the others do not wait for it", group->id);
  }
}

Groups *groups_open(Identity *identity, RpcLoops *loops, const Config *config, guint store_files,
                    GError **error)
{
  Groups *groups = g_new0(Groups, 1);
  groups->loops = loops;
  groups->store_files = store_files;
  groups->data_dir = g_strdup(config->data_dir);
  groups->config = config_dup(config);
  groups->entries = g_ptr_array_new();
  g_mutex_init(&groups->jobs_mutex);
  g_cond_init(&groups->jobs_cond);
  g_rw_lock_init(&groups->lock);
  take_rule(groups);
  groups_finish_deleting(groups);
  GroupEntry *first = add_entry(groups, 0);
  first->identity = identity;
  if (!groups_open_entry(groups, first, error)) {
    first->identity = NULL;
    groups_free(groups);
    return NULL;
  }
  groups_begin_jobs(groups);
  for (guint i = 0; i < config->groups->len; i++) {
    GroupEntry *entry = add_entry(groups, g_array_index(config->groups, ConfigGroup, i).id);
    if (entry->here)
      groups_post(groups, MANAGE_OPEN, entry);
  }
  groups_wait_for_jobs(groups, START_WAIT_US);
  tell_late(groups);
  return groups;
}

/* It is the node's, so group 0's peers are told, which are all. */
static void tell_rule(Groups *groups)
{
  g_autoptr(GroupRule) rule = groups_hold_rule(groups);
  Replica *first = groups_hold(groups, 0, NULL);
  replica_set_rule_hash(first, group_rule_hash(rule));
  replica_release(first);
}

void groups_start(Groups *groups)
{
  tell_rule(groups);
  /* One that is opened from here on is started by who opens it. */
  g_rw_lock_writer_lock(&groups->lock);
  groups->started = TRUE;
  g_autoptr(GPtrArray) all = hold_all(groups);
  g_rw_lock_writer_unlock(&groups->lock);
  for (guint i = 0; i < all->len; i++)
    replica_start(all->pdata[i]);
}

/* --- reload -------------------------------------------------------------------------------------
 */

static void set_limits(Replica *replica, const Config *config)
{
  ConfigGroup own = config_group_values(config, config_find_group(config, replica_group(replica)));
  replica_set_retry_waits(replica, (guint64)config->basic_retry_wait_ms,
                          (guint64)config->max_retry_wait_ms);
  replica_set_heartbeat_interval(replica, config->heartbeat_interval_ms);
  replica_set_throttle_threshold(replica, own.throttle_threshold);
  replica_set_disk_reserve(replica, own.disk_reserve);
  replica_set_retention_limit(replica, own.wal_retention_limit);
  replica_set_snapshot_rate(replica, own.snapshot_rate);
}

/* Takes those out that are not in the configuration any more. Caller holds `lock`. */
static void drop_entries(Groups *groups)
{
  for (guint i = groups->entries->len; i-- > 1;) {
    GroupEntry *entry = groups->entries->pdata[i];
    if (config_find_group(groups->config, entry->id) != NULL)
      continue;
    g_ptr_array_remove_index(groups->entries, i);
    groups_post(groups, MANAGE_CLOSE, entry);
  }
}

static void add_entries(Groups *groups)
{
  for (guint i = 0; i < groups->config->groups->len; i++) {
    guint32 id = g_array_index(groups->config->groups, ConfigGroup, i).id;
    GroupEntry *entry = groups_find(groups, id);
    gboolean again = entry != NULL && entry->failure != NULL && !entry->busy;
    if (entry == NULL)
      entry = add_entry(groups, id);
    else if (!again)
      continue;
    if (entry->here)
      groups_post(groups, MANAGE_OPEN, entry);
    else
      g_message("group %u is not on this node: it is none of its members", id);
  }
}

void groups_adopt(Groups *groups, const Config *running)
{
  g_rw_lock_writer_lock(&groups->lock);
  config_adopt(groups->config, running);
  take_rule(groups);
  drop_entries(groups);
  add_entries(groups);
  g_rw_lock_writer_unlock(&groups->lock);
  g_autoptr(GPtrArray) all = groups_hold_all(groups);
  for (guint i = 0; i < all->len; i++)
    set_limits(all->pdata[i], running);
  tell_rule(groups);
}

/* --- once a second ------------------------------------------------------------------------------
 */

/* What group 0 wants concerns the node as a whole, and is asked by it. */
static void look_after(Groups *groups, Replica *replica)
{
  guint32 id = replica_group(replica);
  g_autofree char *fatal = id != 0 ? replica_fatal(replica) : NULL;
  if (id == 0 || (fatal == NULL && !replica_wants_reopening(replica)))
    return;
  g_rw_lock_writer_lock(&groups->lock);
  GroupEntry *entry = groups_find(groups, id);
  if (entry != NULL && entry->replica == replica && !entry->busy && !groups->stopped)
    groups_post(groups, MANAGE_REOPEN, entry);
  g_rw_lock_writer_unlock(&groups->lock);
}

static void retry_failed(Groups *groups)
{
  gint64 now_us = g_get_monotonic_time();
  g_rw_lock_writer_lock(&groups->lock);
  for (guint i = 0; i < groups->entries->len && !groups->stopped; i++) {
    GroupEntry *entry = groups->entries->pdata[i];
    if (entry->failure != NULL && !entry->busy && now_us >= entry->retry_us)
      groups_post(groups, MANAGE_OPEN, entry);
  }
  g_rw_lock_writer_unlock(&groups->lock);
}

void groups_housekeeping(Groups *groups)
{
  g_autoptr(GPtrArray) all = groups_hold_all(groups);
  for (guint i = 0; i < all->len; i++) {
    log_set_group(replica_group(all->pdata[i]));
    replica_housekeeping(all->pdata[i]);
    look_after(groups, all->pdata[i]);
  }
  log_set_group(0);
  retry_failed(groups);
  if (!groups_are_one(groups))
    group_look_step(groups);
}

/* --- the end ------------------------------------------------------------------------------------
 */

void groups_drain(Groups *groups, gint64 timeout_ms)
{
  gint64 until_us = g_get_monotonic_time() + timeout_ms * 1000;
  /* What is under way is finished first; nothing further is begun. */
  g_rw_lock_writer_lock(&groups->lock);
  groups->stopped = TRUE;
  g_rw_lock_writer_unlock(&groups->lock);
  g_autoptr(GPtrArray) all = groups_hold_all(groups);
  for (guint i = 0; i < all->len; i++)
    replica_drain(all->pdata[i], MAX(0, (until_us - g_get_monotonic_time()) / 1000));
}

void groups_stop(Groups *groups)
{
  g_rw_lock_writer_lock(&groups->lock);
  groups->stopped = TRUE;
  g_rw_lock_writer_unlock(&groups->lock);
  groups_end_jobs(groups);
  g_autoptr(GPtrArray) all = groups_hold_all(groups);
  for (guint i = 0; i < all->len; i++)
    replica_stop(all->pdata[i]);
}

void groups_close(Groups *groups)
{
  for (guint i = 0; i < groups->entries->len; i++) {
    GroupEntry *entry = groups->entries->pdata[i];
    if (entry->replica != NULL)
      replica_close(g_steal_pointer(&entry->replica));
    if (entry->id == 0)
      entry->identity = NULL; /* the node's */
  }
  groups_free(groups);
}

/* --- what operators see -------------------------------------------------------------------------
 */

static GroupInfo *describe(const GroupEntry *entry, const ConfigGroup *group)
{
  GroupInfo *info = g_new0(GroupInfo, 1);
  info->id = entry->id;
  info->devices = group != NULL ? g_strdup(group->devices) : NULL;
  info->members = group != NULL ? g_strdup(group->members) : NULL;
  info->state = g_strdup(!entry->here             ? "elsewhere"
                         : entry->failure != NULL ? "failed"
                                                  : "opening");
  info->message = g_strdup(entry->failure);
  return info;
}

/* Caller holds `lock`. */
static GPtrArray *list_closed(Groups *groups)
{
  GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)group_info_free);
  for (guint i = 0; i < groups->entries->len; i++) {
    const GroupEntry *entry = groups->entries->pdata[i];
    if (entry->replica == NULL && entry->here)
      g_ptr_array_add(list, describe(entry, config_find_group(groups->config, entry->id)));
  }
  return list;
}

GPtrArray *groups_closed(Groups *groups)
{
  g_rw_lock_reader_lock(&groups->lock);
  GPtrArray *list = list_closed(groups);
  g_rw_lock_reader_unlock(&groups->lock);
  return list;
}

/* A group that is well says what it has of others' devices. */
static void add_hints(Groups *groups, GPtrArray *list)
{
  g_rw_lock_reader_lock(&groups->lock);
  for (guint i = 0; i < list->len; i++) {
    GroupInfo *info = list->pdata[i];
    const GroupEntry *entry = groups_find(groups, info->id);
    if (entry != NULL && info->message == NULL)
      info->message = group_look_text(entry, groups->rule);
  }
  g_rw_lock_reader_unlock(&groups->lock);
}

static void fill_in(GPtrArray *list, Replica *replica)
{
  g_autoptr(NodeStatus) status = replica_status(replica);
  for (guint i = 0; i < list->len; i++) {
    GroupInfo *info = list->pdata[i];
    if (info->id != status->group)
      continue;
    g_free(info->state);
    g_free(info->message);
    info->state = g_strdup(status->state);
    info->message = g_strdup(status->message);
    info->store_bytes = status->store_bytes;
    for (guint k = 0; k < status->logs->len; k++)
      info->wal_bytes += g_array_index(status->logs, LogStatus, k).wal_bytes;
  }
}

static int compare_infos(gconstpointer one, gconstpointer other)
{
  guint32 a = (*(const GroupInfo *const *)one)->id, b = (*(const GroupInfo *const *)other)->id;
  return a < b ? -1 : a > b;
}

GPtrArray *groups_list(Groups *groups)
{
  GPtrArray *list = g_ptr_array_new_with_free_func((GDestroyNotify)group_info_free);
  g_autoptr(GArray) files = groups_on_disk(groups);
  g_autoptr(GPtrArray) all = groups_hold_all(groups);
  g_rw_lock_reader_lock(&groups->lock);
  for (guint i = 0; i < groups->entries->len; i++) {
    const GroupEntry *entry = groups->entries->pdata[i];
    g_ptr_array_add(list, describe(entry, config_find_group(groups->config, entry->id)));
  }
  for (guint i = 0; i < files->len; i++) {
    GroupEntry left = {.id = g_array_index(files, guint32, i), .here = TRUE};
    if (groups_find(groups, left.id) != NULL)
      continue;
    GroupInfo *info = describe(&left, NULL);
    g_free(info->state);
    info->state = g_strdup("files");
    info->message = g_strdup("not in the configuration; its files are still here");
    g_ptr_array_add(list, info);
  }
  g_rw_lock_reader_unlock(&groups->lock);
  for (guint i = 0; i < all->len; i++)
    fill_in(list, all->pdata[i]);
  if (!groups_are_one(groups))
    add_hints(groups, list);
  g_ptr_array_sort(list, compare_infos);
  return list;
}

/* --- use ----------------------------------------------------------------------------------------
 */

/* Caller holds `lock`. */
static gboolean tell_absence(Groups *groups, guint32 id, const GroupEntry *entry, GError **error)
{
  if (entry == NULL)
    return fail(error, SYNCLOG_UNKNOWN_GROUP, "group %u does not exist here", id);
  if (!entry->here)
    return fail(error, SYNCLOG_UNKNOWN_GROUP, "group %u is not on this node, but on nodes %s", id,
                config_find_group(groups->config, id)->members);
  if (entry->failure != NULL)
    return fail(error, SYNCLOG_NOT_READY, "group %u can't be opened here: %s", id, entry->failure);
  return fail(error, SYNCLOG_NOT_READY, "group %u is being opened", id);
}

Replica *groups_hold(Groups *groups, guint32 id, GError **error)
{
  g_rw_lock_reader_lock(&groups->lock);
  GroupEntry *entry = groups_find(groups, id);
  Replica *replica = entry != NULL ? entry->replica : NULL;
  if (replica != NULL)
    replica_hold(replica);
  else
    tell_absence(groups, id, entry, error);
  g_rw_lock_reader_unlock(&groups->lock);
  return replica;
}

GPtrArray *groups_hold_all(Groups *groups)
{
  g_rw_lock_reader_lock(&groups->lock);
  GPtrArray *all = hold_all(groups);
  g_rw_lock_reader_unlock(&groups->lock);
  return all;
}

GPtrArray *groups_hold_view(Groups *groups, GPtrArray **out_closed, GroupRule **out_rule)
{
  /* One hold for all, or a group that opens in between is in neither list. */
  g_rw_lock_reader_lock(&groups->lock);
  GPtrArray *all = hold_all(groups);
  *out_closed = list_closed(groups);
  *out_rule = group_rule_ref(groups->rule);
  g_rw_lock_reader_unlock(&groups->lock);
  return all;
}

static guint count_alive(Groups *groups, guint *out_open)
{
  g_autoptr(GPtrArray) open = groups_hold_all(groups);
  guint alive = 0;
  for (guint i = 0; i < open->len; i++)
    alive += replica_is_alive(open->pdata[i]) ? 1 : 0;
  *out_open = open->len;
  return alive;
}

gboolean groups_are_alive(Groups *groups)
{
  guint open;
  return count_alive(groups, &open) == open;
}

gboolean groups_is_one_alive(Groups *groups)
{
  guint open;
  return count_alive(groups, &open) > 0;
}

void groups_work(Groups *groups, void (*func)(gpointer data), gpointer data)
{
  Replica *replica = groups_hold(groups, 0, NULL);
  replica_work(replica, func, data);
  replica_release(replica);
}

gboolean groups_are_one(Groups *groups)
{
  return !g_atomic_int_get(&groups->many);
}

GroupRule *groups_hold_rule(Groups *groups)
{
  g_rw_lock_reader_lock(&groups->lock);
  GroupRule *rule = group_rule_ref(groups->rule);
  g_rw_lock_reader_unlock(&groups->lock);
  return rule;
}

guint32 groups_of_device(Groups *groups, const char *device, gsize size)
{
  if (groups_are_one(groups))
    return 0;
  g_autoptr(GroupRule) rule = groups_hold_rule(groups);
  return group_rule_find(rule, device, size);
}

typedef struct WriteSearch {
  const GroupRule *rule;
  gboolean by_rule, some;
  guint32 group, other; /* of the device that does not fit */
  const char *device;
  gsize size;
} WriteSearch;

static gboolean take_device(gpointer ctx, gboolean deletes, const char *device, gsize size)
{
  WriteSearch *search = ctx;
  /* What was written before the rule was changed must go where it is. */
  if (deletes && !search->by_rule)
    return TRUE;
  guint32 group = group_rule_find(search->rule, device, size);
  if (!search->some)
    search->group = group;
  search->some = TRUE;
  search->other = group;
  search->device = device;
  search->size = size;
  return group == search->group;
}

gboolean groups_of_write(Groups *groups, guint32 asked, const guint8 *data, gsize size,
                         guint32 *out_group, GError **error)
{
  gboolean by_rule = asked == GROUP_BY_RULE;
  *out_group = by_rule ? 0 : asked;
  if (groups_are_one(groups))
    return TRUE;
  g_autoptr(GroupRule) rule = groups_hold_rule(groups);
  WriteSearch search = {.rule = rule, .by_rule = by_rule, .some = !by_rule, .group = *out_group};
  if (write_devices(data, size, take_device, &search)) {
    *out_group = search.group;
    return TRUE;
  }
  g_autofree char *device =
      g_utf8_make_valid(search.device, (gssize)MIN(search.size, (gsize)LIMIT_NAME_SIZE));
  if (by_rule)
    return fail(error, SYNCLOG_INVALID,
                "the write spans groups %u and %u, by device \"%s\": send one for each group",
                search.group, search.other, device);
  Replica *named = groups_hold(groups, asked, error);
  if (named == NULL)
    return FALSE;
  replica_release(named);
  return fail(error, SYNCLOG_INVALID, "device \"%s\" belongs to group %u, not to group %u", device,
              search.other, search.group);
}
