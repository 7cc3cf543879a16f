#include "node/config_table.h"

#include "base/limits.h"

#include <string.h>

#define SECOND_MS G_GUINT64_CONSTANT(1000)
#define MINUTE_MS (60 * SECOND_MS)
#define HOUR_MS (60 * MINUTE_MS)
#define DAY_MS (24 * HOUR_MS)
#define KIB G_GUINT64_CONSTANT(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)
#define TIB (1024 * GIB)

/* A frame must hold the largest entry, else a node could not take what others send it. */
#define LEAST_FRAME_SIZE (9 * MIB)
G_STATIC_ASSERT(LIMIT_ENTRY_SIZE + 64 * 1024 <= LEAST_FRAME_SIZE);

/* In the order of the enumerations of config.h and base/logging.h. */
static const char *const time_precisions[] = {"ms", "us", "ns", NULL};
static const char *const joins[] = {"no", "yes", NULL};
static const char *const wal_syncs[] = {"group", "interval", "none", NULL};
static const char *const no_or_yes[] = {"no", "yes", NULL};
static const char *const acks[] = {"local", "majority", "all", NULL};
static const char *const log_levels[] = {"error", "warning", "info", "debug", NULL};
static const char *const log_formats[] = {"auto", "text", "json", "journal", NULL};

#define RELOAD TRUE
#define RESTART FALSE
#define AT(field) G_STRUCT_OFFSET(Config, field)

/* clang-format off */
static const ConfigSection sections[] = {
  {"node", "This node."},
  {"cluster", "What all nodes of the cluster must agree on."},
  {"client", "The service for applications and synclogctl. There is no authentication: keep it where\n"
             "only trusted hosts reach it."},
  {"replication", "The service for the other nodes, and the sending of logs to them."},
  {"http", "Metrics and health over HTTP: /metrics, /healthz, /readyz, /status.json; with data = yes also\n"
           "line protocol, export, and queries of Prometheus' kind."},
  {"wal", "The logs on disk."},
  {"store", "The store that the logs are applied to."},
  {"threads", "Threads."},
  {"limits", "Limits that protect the daemon from its clients."},
  {"log", "The daemon's own messages."},
};

static const ConfigKey keys[] = {
  {"node", "id", CONFIG_COUNT, NULL, 1, LIMIT_NODE_ID, NULL, RESTART, AT(node_id),
   "Number of this node. Every node of the cluster has another one and keeps it."},
  {"node", "data_dir", CONFIG_PATH, "/var/lib/synclogd", 1, 4096, NULL, RESTART, AT(data_dir),
   "Folder of the logs and the store, an absolute path. Created if absent."},

  {"cluster", "id", CONFIG_TEXT, "synclog", 1, LIMIT_CLUSTER_ID_SIZE, NULL, RESTART, AT(cluster_id),
   "Name of the cluster. Nodes of another cluster are refused."},
  {"cluster", "time_precision", CONFIG_CHOICE, "ms", 0, 0, time_precisions, RESTART,
   AT(time_precision), "Unit of all timestamps. Fixed once there is data."},
  {"cluster", "join", CONFIG_CHOICE, "no", 0, 0, joins, RESTART, AT(join),
   "yes: this new node joins a running cluster, of which some nodes stand in [peer.N]; it is let in\n"
   "by synclogctl node add. Means nothing once it has joined."},

  {"client", "listen", CONFIG_ADDRESSES, "127.0.0.1:7670", 1, 1024, NULL, RESTART,
   AT(client_listen), "Addresses to listen on, separated by commas."},
  {"client", "max_connections", CONFIG_COUNT, "10000", 1, 1000000, NULL, RESTART,
   AT(max_connections),
   "Connections at a time, as far as the process may have files; further ones are closed at once. A "
   "tenth, at most 8, is kept for operators' requests, half of it for those from this machine."},
  {"client", "idle_timeout", CONFIG_DURATION, "10min", 0, 7 * DAY_MS, NULL, RESTART,
   AT(idle_timeout_ms), "A connection without a request for so long is closed; 0: never."},
  {"client", "max_requests_in_flight", CONFIG_COUNT, "64", 1, 65536, NULL, RESTART,
   AT(max_requests_in_flight), "Unanswered requests of one connection; with more it is not read."},
  {"client", "write_timeout", CONFIG_DURATION, "10s", 1, HOUR_MS, NULL, RELOAD,
   AT(write_timeout_ms),
   "How long a write waits for ack = majority or all, unless it asks for less."},
  {"client", "read_timeout", CONFIG_DURATION, "10s", 1, HOUR_MS, NULL, RELOAD,
   AT(read_timeout_ms), "How long a read waits for the tokens it brings, unless it asks for less."},
  {"client", "page_rows", CONFIG_COUNT, "10000", 1, LIMIT_QUERY_ROWS, NULL, RELOAD, AT(page_rows),
   "Rows of a page where a query gives no limit."},
  {"client", "max_page_rows", CONFIG_COUNT, "100000", 1, LIMIT_QUERY_ROWS, NULL, RELOAD,
   AT(max_page_rows), "Most rows of a page that a query may ask for."},

  {"replication", "listen", CONFIG_ADDRESSES, "127.0.0.1:7671", 1, 1024, NULL, RESTART,
   AT(replication_listen), "Addresses to listen on, separated by commas."},
  {"replication", "max_pending_batch", CONFIG_COUNT, "5", 1, LIMIT_PENDING_BATCHES, NULL, RESTART,
   AT(max_pending_batch), "Batches of one log in flight to one peer."},
  {"replication", "max_requests_per_batch", CONFIG_COUNT, "4096", 1, LIMIT_BATCHES_PER_REQUEST,
   NULL, RESTART, AT(max_requests_per_batch), "Entries of one batch."},
  {"replication", "max_size_per_batch", CONFIG_SIZE, "1MiB", KIB, LIMIT_ENTRY_SIZE, NULL, RESTART,
   AT(max_size_per_batch), "Bytes of one batch; a single larger entry is a batch of its own."},
  {"replication", "max_pending_requests", CONFIG_COUNT, "60000", 1, 100000000, NULL, RESTART,
   AT(max_pending_requests), "Newest entries of a log kept in memory for sending."},
  {"replication", "max_pending_bytes", CONFIG_SIZE, "64MiB", 64 * KIB, 64 * GIB, NULL, RESTART,
   AT(max_pending_bytes), "Bytes of them; peers further behind are served from disk."},
  {"replication", "basic_retry_wait", CONFIG_DURATION, "100ms", 1, HOUR_MS, NULL, RELOAD,
   AT(basic_retry_wait_ms), "Pause after the first failure of a peer; it doubles with each further one."},
  {"replication", "max_retry_wait", CONFIG_DURATION, "20s", 1, HOUR_MS, NULL, RELOAD,
   AT(max_retry_wait_ms), "Longest such pause."},
  {"replication", "heartbeat_interval", CONFIG_DURATION, "500ms", 10, MINUTE_MS, NULL, RELOAD,
   AT(heartbeat_interval_ms), "How often progress is told to a peer when nothing else is sent."},
  {"replication", "max_clock_skew", CONFIG_DURATION, "1min", 1000, HOUR_MS, NULL, RESTART,
   AT(max_clock_skew_ms),
   "Entries stamped further ahead than this wait; a node so far ahead of the others takes no writes."},
  {"replication", "request_timeout", CONFIG_DURATION, "20s", 100, HOUR_MS, NULL, RESTART,
   AT(request_timeout_ms), "A peer that leaves a request unanswered for so long is taken as gone."},
  {"replication", "snapshot_rate", CONFIG_SIZE, "0", 0, TIB, NULL, RELOAD, AT(snapshot_rate),
   "Bytes per second of all snapshots that this node gives to others, backups too; 0: no limit."},
  {"replication", "mirror_sync_interval", CONFIG_DURATION, "20ms", 0, 10 * SECOND_MS, NULL, RESTART,
   AT(mirror_sync_interval_ms), "Logs of other nodes are synced to disk within this time; 0: at once."},

  {"http", "listen", CONFIG_ADDRESSES, "", 0, 1024, NULL, RESTART, AT(http_listen),
   "Addresses to listen on, separated by commas; empty: none. There is no authentication."},
  {"http", "data", CONFIG_CHOICE, "no", 0, 0, no_or_yes, RELOAD, AT(http_data),
   "yes: line protocol is taken, and data can be read, on these addresses. A scraper of metrics needs\n"
   "only no: whoever reaches the addresses may write with yes."},
  {"http", "ack", CONFIG_CHOICE, "local", 0, 0, acks, RELOAD, AT(http_ack),
   "Where a write over HTTP must be durable, unless it says so itself: local, majority or all."},

  {"wal", "wal_segment_size", CONFIG_SIZE, "64MiB", 64 * KIB, GIB, NULL, RESTART,
   AT(wal_segment_size), "Size of one log file."},
  {"wal", "wal_sync", CONFIG_CHOICE, "group", 0, 0, wal_syncs, RESTART, AT(wal_sync),
   "group: synced to disk before a write is acknowledged; interval: every wal_sync_interval;\n"
   "none: left to the system. With the latter two a crash can lose acknowledged writes."},
  {"wal", "wal_sync_interval", CONFIG_DURATION, "100ms", 1, MINUTE_MS, NULL, RESTART,
   AT(wal_sync_interval_ms), "Used with wal_sync = interval."},
  {"wal", "throttle_threshold", CONFIG_SIZE, "50GiB", MIB, 1024 * TIB, NULL, RELOAD,
   AT(throttle_threshold),
   "Bytes of all logs on disk above which writes are refused; from 80 % on they are slowed."},
  {"wal", "disk_reserve", CONFIG_SIZE, "0", 0, TIB, NULL, RELOAD, AT(disk_reserve),
   "Free bytes of data_dir's disk below which writes are refused; below twice as much they are\n"
   "slowed. 0: only a full disk refuses them."},
  {"wal", "wal_retention_limit", CONFIG_SIZE, "0", 0, 1024 * TIB, NULL, RELOAD,
   AT(wal_retention_limit),
   "Bytes of all logs on disk above which the oldest entries that a majority of the members has are\n"
   "deleted although others lack them: these get a snapshot when they come back. 0: never."},
  {"wal", "max_commit_size", CONFIG_SIZE, "4MiB", 64 * KIB, 64 * MIB, NULL, RESTART,
   AT(max_commit_size), "Bytes of the writes that are synced together."},
  {"wal", "max_queued_bytes", CONFIG_SIZE, "64MiB", 64 * KIB, 64 * GIB, NULL, RESTART,
   AT(max_queued_bytes), "Bytes of writes that may wait for the log; further ones are refused."},

  {"store", "partition_interval", CONFIG_DURATION, "1h", SECOND_MS, 3650 * DAY_MS, NULL, RESTART,
   AT(partition_interval_ms), "Span of time that is kept together. Fixed once there is data."},
  {"store", "check_interval", CONFIG_DURATION, "10min", 0, DAY_MS, NULL, RESTART,
   AT(check_interval_ms),
   "How often the nodes compare digests of all they hold; 0: never. The same on all nodes."},
  {"store", "memtable_size", CONFIG_SIZE, "32MiB", 64 * KIB, 4 * GIB, NULL, RESTART,
   AT(memtable_size), "Bytes collected in memory before they are written to the store's files."},
  {"store", "block_cache_size", CONFIG_SIZE, "64MiB", MIB, TIB, NULL, RESTART,
   AT(block_cache_size), "Bytes of the store's files kept in memory for reads."},
  {"store", "compact_after", CONFIG_DURATION, "1min", 0, DAY_MS, NULL, RESTART,
   AT(compact_after_ms),
   "After what time writes are joined to compressed columns; 0: never."},
  {"store", "conflict_journal_size", CONFIG_SIZE, "16MiB", MIB, 64 * GIB, NULL, RESTART,
   AT(conflict_journal_size),
   "Bytes of the journal of conflicts between leaders; the oldest entries are dropped."},

  {"threads", "network", CONFIG_COUNT, "0", 0, 256, NULL, RESTART, AT(network_threads),
   "Threads that serve connections; 0: by the number of cores."},
  {"threads", "workers", CONFIG_COUNT, "0", 0, 1024, NULL, RESTART, AT(worker_threads),
   "Threads that decode, encode and read; 0: by the number of cores."},

  {"limits", "max_frame_size", CONFIG_SIZE, "16MiB", LEAST_FRAME_SIZE, LIMIT_FRAME_SIZE, NULL,
   RESTART, AT(max_frame_size), "Bytes of one request."},
  {"limits", "max_memory_in_flight", CONFIG_SIZE, "256MiB", LIMIT_FRAME_SIZE, TIB, NULL, RESTART,
   AT(max_memory_in_flight),
   "Bytes of the requests of all connections that are received or processed. Each group may hold\n"
   "an equal part of it, which must be 16 MiB at least."},

  {"log", "level", CONFIG_CHOICE, "info", 0, 0, log_levels, RELOAD, AT(log_level),
   "Least important messages to write."},
  {"log", "format", CONFIG_CHOICE, "auto", 0, 0, log_formats, RESTART, AT(log_format),
   "auto: journal where the daemon's stderr is the journal, else text."},
};
/* clang-format on */

typedef struct Unit {
  const char *name;
  guint64 factor;
} Unit;

/* Largest first: config_get takes the first that comes out even. */
static const Unit size_units[] = {{"TiB", TIB}, {"GiB", GIB}, {"MiB", MIB},
                                  {"KiB", KIB}, {"B", 1},     {NULL, 0}};
/* In nanoseconds. */
static const Unit duration_units[] = {{"d", DAY_MS * 1000000},
                                      {"h", HOUR_MS * 1000000},
                                      {"min", MINUTE_MS * 1000000},
                                      {"s", SECOND_MS * 1000000},
                                      {"ms", 1000000},
                                      {"us", 1000},
                                      {"ns", 1},
                                      {NULL, 0}};

static gpointer field(gconstpointer config, const ConfigKey *key)
{
  return G_STRUCT_MEMBER_P(config, key->offset);
}

const ConfigKey *config_keys(guint *out_count)
{
  *out_count = G_N_ELEMENTS(keys);
  return keys;
}

const ConfigSection *config_sections(guint *out_count)
{
  *out_count = G_N_ELEMENTS(sections);
  return sections;
}

const ConfigKey *config_find_key(const char *section, const char *key)
{
  for (guint i = 0; i < G_N_ELEMENTS(keys); i++)
    if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].key, key) == 0)
      return &keys[i];
  return NULL;
}

/* --- text to value --- */

/* Splits "64MiB" into 64 and "MiB". FALSE when it does not begin with a number or that is too big.
 */
static gboolean split_number(const char *text, guint64 *out_number, const char **out_rest,
                             GError **error)
{
  if (!g_ascii_isdigit(*text))
    return fail(error, SYNCLOG_INVALID, "'%s' is not a number", text);
  guint64 number = 0;
  while (g_ascii_isdigit(*text)) {
    if (!g_uint64_checked_mul(&number, number, 10) ||
        !g_uint64_checked_add(&number, number, (guint64)(*text - '0')))
      return fail(error, SYNCLOG_INVALID, "the number is too large");
    text++;
  }
  while (*text == ' ')
    text++;
  *out_number = number;
  *out_rest = text;
  return TRUE;
}

static const Unit *find_unit(const Unit *units, const char *name)
{
  for (; units->name != NULL; units++)
    if (strcmp(units->name, name) == 0)
      return units;
  return NULL;
}

static gboolean check_bounds(const ConfigKey *key, guint64 value, GError **error)
{
  if (value >= key->minimum && value <= key->maximum)
    return TRUE;
  g_autofree char *minimum = config_bound_text(key, key->minimum);
  g_autofree char *maximum = config_bound_text(key, key->maximum);
  return fail(error, SYNCLOG_INVALID, "must be from %s to %s", minimum, maximum);
}

static gboolean parse_count(const ConfigKey *key, const char *text, guint64 *out, GError **error)
{
  const char *rest;
  if (!split_number(text, out, &rest, error))
    return FALSE;
  if (*rest != '\0')
    return fail(error, SYNCLOG_INVALID, "'%s' is not a plain number", text);
  return check_bounds(key, *out, error);
}

static gboolean parse_size(const ConfigKey *key, const char *text, guint64 *out, GError **error)
{
  guint64 number;
  const char *rest;
  if (!split_number(text, &number, &rest, error))
    return FALSE;
  const Unit *unit = find_unit(size_units, *rest == '\0' ? "B" : rest);
  if (unit == NULL)
    return fail(error, SYNCLOG_INVALID, "'%s' has no unit of bytes (B, KiB, MiB, GiB, TiB)", text);
  if (!g_uint64_checked_mul(out, number, unit->factor))
    return fail(error, SYNCLOG_INVALID, "the number is too large");
  return check_bounds(key, *out, error);
}

static gboolean parse_duration(const ConfigKey *key, const char *text, guint64 *out_ms,
                               GError **error)
{
  guint64 number, ns;
  const char *rest;
  if (!split_number(text, &number, &rest, error))
    return FALSE;
  const Unit *unit = find_unit(duration_units, number == 0 && *rest == '\0' ? "ms" : rest);
  if (unit == NULL)
    return fail(error, SYNCLOG_INVALID, "'%s' has no unit of time (us, ms, s, min, h, d)", text);
  if (!g_uint64_checked_mul(&ns, number, unit->factor))
    return fail(error, SYNCLOG_INVALID, "the number is too large");
  if (ns % 1000000 != 0)
    return fail(error, SYNCLOG_INVALID, "'%s' is not a whole number of milliseconds", text);
  *out_ms = ns / 1000000;
  return check_bounds(key, *out_ms, error);
}

static gboolean parse_choice(const ConfigKey *key, const char *text, int *out, GError **error)
{
  for (int i = 0; key->choices[i] != NULL; i++) {
    if (strcmp(key->choices[i], text) == 0) {
      *out = i;
      return TRUE;
    }
  }
  g_autofree char *all = g_strjoinv(", ", (char **)key->choices);
  return fail(error, SYNCLOG_INVALID, "'%s' is none of: %s", text, all);
}

static gboolean is_host(const char *host)
{
  if (*host == '\0' || strlen(host) > 253)
    return FALSE;
  for (const char *c = host; *c != '\0'; c++)
    if (!g_ascii_isalnum(*c) && strchr(".-_", *c) == NULL)
      return FALSE;
  return TRUE;
}

gboolean config_check_address(const char *address, gboolean port_may_be_zero, GError **error)
{
  const char *colon = strrchr(address, ':');
  if (colon == NULL || colon == address)
    return fail(error, SYNCLOG_INVALID, "'%s' is not host:port", address);
  g_autofree char *host = g_strndup(address, (gsize)(colon - address));
  gsize length = strlen(host);
  if (host[0] == '[') {
    if (length < 4 || host[length - 1] != ']' ||
        strspn(host + 1, "0123456789abcdefABCDEF:.") != length - 2)
      return fail(error, SYNCLOG_INVALID, "'%s' is not [IPv6 address]:port", address);
  } else if (!is_host(host)) {
    return fail(error, SYNCLOG_INVALID, "'%s' is not a host name or address", host);
  }
  guint64 port;
  if (!g_ascii_string_to_unsigned(colon + 1, 10, port_may_be_zero ? 0 : 1, 65535, &port, NULL))
    return fail(error, SYNCLOG_INVALID, "'%s' is not a port", colon + 1);
  return TRUE;
}

GStrv config_split_addresses(const char *text)
{
  GStrv parts = g_strsplit(text, ",", -1);
  for (guint i = 0; parts[i] != NULL; i++)
    g_strstrip(parts[i]);
  return parts;
}

static gboolean check_addresses(const char *text, GError **error)
{
  g_auto(GStrv) parts = config_split_addresses(text);
  for (guint i = 0; parts[i] != NULL; i++) {
    if (!config_check_address(parts[i], TRUE, error))
      return FALSE;
    if (g_strv_contains((const char *const *)parts + i + 1, parts[i]))
      return fail(error, SYNCLOG_INVALID, "%s is there twice", parts[i]);
  }
  return TRUE;
}

static gboolean check_text(const ConfigKey *key, const char *text, GError **error)
{
  gsize size = strlen(text);
  if (size < key->minimum)
    return fail(error, SYNCLOG_INVALID, "must not be empty");
  if (size > key->maximum)
    return fail(error, SYNCLOG_INVALID, "is longer than %" G_GUINT64_FORMAT " bytes", key->maximum);
  for (const char *c = text; *c != '\0'; c++)
    if (g_ascii_iscntrl(*c))
      return fail(error, SYNCLOG_INVALID, "holds a control character");
  if (key->type == CONFIG_PATH && !g_path_is_absolute(text))
    return fail(error, SYNCLOG_INVALID, "'%s' is not an absolute path", text);
  return key->type != CONFIG_ADDRESSES || check_addresses(text, error);
}

static void set_text(char **text, const char *value)
{
  g_free(*text);
  *text = g_strdup(value);
}

gboolean config_set(gpointer config, const ConfigKey *key, const char *text, GError **error)
{
  guint64 number;
  switch (key->type) {
  case CONFIG_COUNT:
    if (!parse_count(key, text, &number, error))
      return FALSE;
    *(guint *)field(config, key) = (guint)number;
    return TRUE;
  case CONFIG_SIZE:
    return parse_size(key, text, field(config, key), error);
  case CONFIG_DURATION:
    if (!parse_duration(key, text, &number, error))
      return FALSE;
    *(gint64 *)field(config, key) = (gint64)number;
    return TRUE;
  case CONFIG_CHOICE:
    return parse_choice(key, text, field(config, key), error);
  case CONFIG_TEXT:
  case CONFIG_PATH:
  case CONFIG_ADDRESSES:
    if (!check_text(key, text, error))
      return FALSE;
    set_text(field(config, key), text);
    return TRUE;
  }
  g_assert_not_reached();
}

/* --- value to text --- */

/* With the largest unit that comes out even. */
static char *number_text(const Unit *units, guint64 number)
{
  if (number == 0)
    return g_strdup("0");
  while (number % units->factor != 0)
    units++;
  const char *name = units->factor == 1 ? "" : units->name;
  return g_strdup_printf("%" G_GUINT64_FORMAT "%s", number / units->factor, name);
}

char *config_bound_text(const ConfigKey *key, guint64 value)
{
  if (key->type == CONFIG_SIZE)
    return number_text(size_units, value);
  if (key->type == CONFIG_DURATION)
    return number_text(duration_units, value * 1000000);
  return g_strdup_printf("%" G_GUINT64_FORMAT, value);
}

char *config_get(gconstpointer config, const ConfigKey *key)
{
  gpointer at = field(config, key);
  switch (key->type) {
  case CONFIG_COUNT:
    return config_bound_text(key, *(guint *)at);
  case CONFIG_SIZE:
    return config_bound_text(key, *(guint64 *)at);
  case CONFIG_DURATION:
    return config_bound_text(key, (guint64) * (gint64 *)at);
  case CONFIG_CHOICE:
    return g_strdup(key->choices[*(int *)at]);
  case CONFIG_TEXT:
  case CONFIG_PATH:
  case CONFIG_ADDRESSES:
    return g_strdup(*(char **)at);
  }
  g_assert_not_reached();
}

void config_copy(gpointer to, gconstpointer from, const ConfigKey *key)
{
  g_autofree char *text = config_get(from, key);
  gboolean taken = config_set(to, key, text, NULL);
  g_assert(taken);
}

gboolean config_is_default(const Config *config, const ConfigKey *key)
{
  if (key->default_text == NULL)
    return FALSE;
  g_autofree char *text = config_get(config, key);
  return strcmp(text, key->default_text) == 0;
}
