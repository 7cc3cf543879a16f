/*
 * The configuration of a node: an INI file, every key of which is described once, in the table of
 * config_table.c (default, unit, bounds, whether SIGHUP changes it). Reading, --print-config,
 * conf/synclogd.ini and the reference in README.md all come from that table.
 *
 * A Config is plain data and changes only by config_adopt; the caller guards it when threads share
 * it. All errors are INVALID and read "FILE:LINE: [section] key: reason".
 */
#pragma once

#include "base/error.h"
#include "base/logging.h"
#include "core/messages.h"

typedef enum { CONFIG_TIME_MS, CONFIG_TIME_US, CONFIG_TIME_NS } ConfigTimePrecision;

typedef enum {
  CONFIG_WAL_SYNC_GROUP,    /* before each acknowledgement, shared by the writes that wait */
  CONFIG_WAL_SYNC_INTERVAL, /* every wal_sync_interval */
  CONFIG_WAL_SYNC_NONE,     /* when the system does */
} ConfigWalSync;

typedef enum { CONFIG_JOIN_NO, CONFIG_JOIN_YES } ConfigJoin;

/* In the order of AckLevel. */
typedef enum { CONFIG_ACK_LOCAL, CONFIG_ACK_MAJORITY, CONFIG_ACK_ALL } ConfigAck;

typedef struct ConfigPeer {
  guint node_id;
  char *address; /* "host:port" or "[v6]:port" */
} ConfigPeer;

/*
 * A further group. Its limits are those of the sections that the main keys stand in, unless its own
 * section has them; in a Config that was read they are filled in.
 */
typedef struct ConfigGroup {
  guint id;      /* 1 .. LIMIT_GROUP_ID */
  char *devices; /* patterns, see base/group_rule.h */
  char *members; /* node ids, separated by commas; empty: this node and all peers */
  int join;      /* ConfigJoin */
  guint64 max_pending_bytes, snapshot_rate;
  guint64 throttle_threshold, disk_reserve, wal_retention_limit, max_queued_bytes;
  guint64 memtable_size, block_cache_size;
} ConfigGroup;

/* One field per key, under the key's own name with its section and unit. Sizes are bytes. */
typedef struct Config {
  guint node_id;
  char *data_dir; /* absolute */

  char *cluster_id;
  int time_precision; /* ConfigTimePrecision */
  int join;           /* ConfigJoin */

  GArray *peers;  /* ConfigPeer, by node id; the own node is not among them */
  GArray *groups; /* ConfigGroup, by id; group 0 is not among them */

  char *client_listen; /* addresses, separated by commas */
  guint max_connections;
  gint64 idle_timeout_ms; /* 0: none */
  guint max_requests_in_flight;
  gint64 write_timeout_ms;
  gint64 read_timeout_ms;
  guint page_rows;
  guint max_page_rows;

  char *replication_listen;
  guint max_pending_batch;
  guint max_requests_per_batch;
  guint64 max_size_per_batch;
  guint max_pending_requests;
  guint64 max_pending_bytes;
  gint64 basic_retry_wait_ms;
  gint64 max_retry_wait_ms;
  gint64 heartbeat_interval_ms;
  gint64 max_clock_skew_ms;
  gint64 request_timeout_ms;
  gint64 mirror_sync_interval_ms; /* 0: at once */

  char *http_listen; /* addresses, separated by commas; empty: none */
  int http_data;     /* boolean */
  int http_ack;      /* ConfigAck */

  guint64 wal_segment_size;
  int wal_sync; /* ConfigWalSync */
  gint64 wal_sync_interval_ms;
  guint64 throttle_threshold;
  guint64 wal_retention_limit, disk_reserve, snapshot_rate;
  guint64 max_commit_size;
  guint64 max_queued_bytes;

  gint64 partition_interval_ms;
  gint64 check_interval_ms;
  gint64 compact_after_ms;
  guint64 memtable_size;
  guint64 block_cache_size;
  guint64 conflict_journal_size;

  guint network_threads; /* 0: by cores */
  guint worker_threads;  /* 0: by cores */

  guint64 max_frame_size;
  guint64 max_memory_in_flight;

  int log_level;  /* LogLevel */
  int log_format; /* LogFormat */
} Config;

/* All defaults; node_id is 0, as it has none. */
Config *config_defaults(void);

/* Reads a file and checks it. NULL with an error. */
Config *config_load(const char *path, GError **error);

/* As config_load, of a text; `name` stands for the path in errors. */
Config *config_parse(const char *text, gsize size, const char *name, GError **error);

void config_free(Config *config);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Config, config_free)

/* "ms", "us" or "ns". */
const char *config_time_precision_name(const Config *config);

/* partition_interval in units of the cluster's time. */
guint64 config_partition_units(const Config *config);

/* NULL when there is none. Borrowed until the configuration changes. */
const ConfigGroup *config_find_group(const Config *config, guint id);

/* What a group goes by; NULL is group 0, whose values are those of the main sections. Borrows the
 * strings of `group`. */
ConfigGroup config_group_values(const Config *config, const ConfigGroup *group);

/* Whether node `node` is to carry the group. */
gboolean config_group_has(const ConfigGroup *group, guint node);

/* Every key with its value as it would stand in the file, in the order of the table, peers between
 * the sections cluster and client, groups behind store. ConfigEntry*, transfer full. */
GPtrArray *config_entries(const Config *config);

/* The whole configuration as a file that config_parse reads back to the same. */
char *config_print(const Config *config);

typedef struct ConfigChange {
  char *section, *key;
  char *old_value, *new_value; /* NULL: a peer or group that is not there */
  gboolean reloadable;
} ConfigChange;

/* What differs between the running configuration and a fresh one. ConfigChange*, transfer full. */
GPtrArray *config_diff(const Config *running, const Config *fresh);

/* A copy of one that was checked, or of a mixture by config_adopt; that need not fit together. */
Config *config_dup(const Config *config);

/* Whether the values fit together, as config_parse demands; `name` stands for the path in errors.
 */
gboolean config_check(const Config *config, const char *name, GError **error);

/*
 * Takes over the values of all reloadable keys, new groups, and that groups are gone. The mixture
 * with what only a restart changes need not fit together, though both did: config_check tells.
 */
void config_adopt(Config *running, const Config *fresh);

/* conf/synclogd.ini: every key with comment and default. */
char *config_template(void);

/* The reference table of README.md. */
char *config_markdown(void);
