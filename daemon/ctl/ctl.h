/*
 * What all commands of synclogctl share: the options before and behind the command's name, the
 * connection, errors and exit codes. One thread.
 *
 * A command is a function that parses its options by ctl_options(), does its work, prints to
 * stdout, and fails by a GError: of G_OPTION_ERROR for wrong use, of SYNCLOG_ERROR for all else.
 * main() prints the error and chooses the exit code.
 */
#pragma once

#include "base/error.h"
#include "ctl/grid.h"
#include "rpc/client.h"

enum { CTL_OK = 0, CTL_FAILED = 1, CTL_USAGE = 2, CTL_UNREACHABLE = 3 };

typedef struct Ctl Ctl;

typedef struct CtlCommand {
  const char *name;
  const char *arguments; /* as shown in the help */
  const char *summary;   /* one line */
  const char *details;   /* what --help says below the options; NULL: nothing */
  gboolean (*run)(Ctl *ctl, int argc, char **argv, GError **error);
} CtlCommand;

struct Ctl {
  const CtlCommand *command;
  char **servers; /* "host:port" */
  guint32 group;  /* the one that was given, else 0 */
  guint32 routed; /* set by ctl_connect(): where data goes, GROUP_BY_RULE unless one was given */
  gint64 timeout_ms;
  OutputFormat format;
  gboolean quiet;
  /* Set by ctl_connect(). */
  RpcClient *client;
  guint server; /* which of `servers` */
  NodeInfo info;
  gint64 per_second; /* time precision */
  /* As given; read by ctl_options(). */
  struct {
    char *server, *timeout;
    gint group;
    gboolean json, csv, quiet;
  } given;
};

extern const CtlCommand ctl_agg, ctl_backup, ctl_config, ctl_conflicts, ctl_delete, ctl_devices,
    ctl_digest, ctl_export, ctl_group, ctl_import, ctl_insert, ctl_last, ctl_log, ctl_node,
    ctl_peer, ctl_query, ctl_repair, ctl_status, ctl_support_bundle, ctl_tail, ctl_top, ctl_version,
    ctl_wal;

void ctl_init(Ctl *ctl);
void ctl_clear(Ctl *ctl);

/* The options that stand before or behind any command. Entries point into `ctl`. */
GOptionGroup *ctl_global_options(Ctl *ctl);

/*
 * Parses argv by `entries` (may be NULL) and the global options, and checks the number of arguments
 * that are left: argv[1] .. argv[*argc - 1]. --help prints and exits. max_args -1: any number.
 */
gboolean ctl_options(Ctl *ctl, const GOptionEntry *entries, int min_args, int max_args, int *argc,
                     char ***argv, GError **error);

/* Fills in what the global options say. Part of ctl_options. */
gboolean ctl_apply_options(Ctl *ctl, GError **error);

/* Connects to the first server that answers, in the order given, and asks it what it is. What is
 * asked then is carried on to the next ones by tries.h. */
gboolean ctl_connect(Ctl *ctl, GError **error);

/* For what is of one group: FALSE with an error of wrong use when the server has further groups and
 * none was given. After ctl_connect. */
gboolean ctl_one_group(const Ctl *ctl, GError **error);

/* The same from the next server of the list on, back to the first behind the last. */
gboolean ctl_connect_next(Ctl *ctl, GError **error);

/* The same of server number `ctl->server` alone. */
gboolean ctl_connect_here(Ctl *ctl, GError **error);

/* Whether no server was reached, or none answered in time. */
gboolean ctl_is_unreachable(const GError *error);

/* Sets an error of wrong use; returns FALSE. */
gboolean ctl_usage(GError **error, const char *format, ...) G_GNUC_PRINTF(2, 3);

/* Time options. NULL leaves *out_time as it is. Needs ctl_connect. */
gboolean ctl_time(const Ctl *ctl, const char *option, const char *text, gint64 *out_time,
                  GError **error);
gboolean ctl_duration(const Ctl *ctl, const char *option, const char *text, gint64 *out_duration,
                      GError **error);
/* A duration in real time: plain numbers are seconds. */
gboolean ctl_real_duration_ms(const char *option, const char *text, gint64 *out_ms, GError **error);

/* --token TOKEN[,TOKEN…], given any number of times, as GArray of Token; *out_tokens is NULL
 * without. */
gboolean ctl_tokens(char **texts, GArray **out_tokens, GError **error);

gboolean ctl_ack(const char *text, AckLevel *out_ack, GError **error);

G_DEFINE_AUTOPTR_CLEANUP_FUNC(Device, device_free)

/* The device of exactly this name with its measurements, or NULL (no error) when there is none.
 * Transfer full. */
Device *ctl_device(Ctl *ctl, const char *name, GError **error);

/* A page of devices, as rpc_client_series_partial(), of the first server that tells it. */
GPtrArray *ctl_series_page(Ctl *ctl, const char *prefix, const char *after, guint limit,
                           char **out_next, char **out_left_out, GError **error);

/* The newest values of a device, of the first server that tells them: LastValue, transfer full. */
GPtrArray *ctl_last_values(Ctl *ctl, const char *device, const char *const *measurements,
                           const GArray *tokens, GError **error);

/* The type that new values of the measurement must have; 0 when it is free. `device` may be NULL.
 */
int ctl_measurement_type(const Device *device, const char *measurement);

/* A grid for stdout in the format that was asked for. */
Grid *ctl_grid(const Ctl *ctl);

/* --time-format: ISO 8601 or integers. AUTO: ISO in text, integers elsewhere. */
typedef enum { TIMES_AUTO, TIMES_ISO, TIMES_EPOCH } TimeStyle;
gboolean ctl_time_style(const char *text, TimeStyle *out_style, GError **error);
void ctl_grid_time(const Ctl *ctl, Grid *grid, gint64 time, TimeStyle style);

/*
 * Sends a write, `key` being the one that it was given or NULL, and prints the outcome: its token,
 * and a word on stderr when it is still spreading. Of several servers the first that takes it gets
 * it; it then has a key in any case, so that one which took it and could not say so is known again.
 */
gboolean ctl_write(Ctl *ctl, WriteBuilder *builder, const char *key, AckLevel ack, GError **error);

/* A file of the user could not be used, for the reason in errno. Not NO_SPACE, which is a node's.
 */
gboolean ctl_fail_file(const char *path, GError **error);

/* Whether stdout took everything. */
gboolean ctl_finish_output(GError **error);

/* printf to stdout unless --quiet. */
void ctl_say(const Ctl *ctl, const char *format, ...) G_GNUC_PRINTF(2, 3);
