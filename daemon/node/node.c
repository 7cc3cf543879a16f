#include "node/node.h"

#include "base/limits.h"
#include "node/file_shares.h"
#include "node/http_data.h"
#include "node/identity.h"
#include "node/service.h"
#include "rpc/client.h"
#include "rpc/listen.h"

#include <glib-unix.h>
#include <signal.h>
#include <string.h>
#include <systemd/sd-daemon.h>
#include <unistd.h>

enum {
  DRAIN_MS = 3000,  /* to send the last entries before stopping */
  ANSWER_MS = 5000, /* for the last answers to leave */
  HEALTHCHECK_MS = 2000,
  HEADER_TIMEOUT_MS = 30000,
  MICROSECONDS_PER_SECOND = 1000000,
  RECOVERY_MINUTES = 30,
};

typedef struct Node {
  const char *config_path;
  Config *config; /* as running; main thread only */
  FileShares shares;
  Identity *identity;
  RpcLoops *loops;
  Groups *groups;
  Replica *replica; /* of group 0 */
  Service *service;
  RpcServer *clients, *peers;
  HttpServer *http; /* NULL: not configured */
  GMainLoop *main_loop;
  guint reload_source;
  gboolean stopping;
  gboolean reopening; /* all is closed and opened again, to install a snapshot */
  GError *failure;
} Node;

/* --- opening ------------------------------------------------------------------------------------
 */

static guint by_cores(guint configured, guint part)
{
  return configured > 0 ? configured : MAX(1, g_get_num_processors() / part);
}

static gboolean open_servers(Node *node, GError **error)
{
  const Config *config = node->config;
  RpcServerOptions options = {.listen = config->replication_listen,
                              .services = RPC_PEER_SERVICE,
                              .max_connections = node->shares.peers,
                              .max_requests_in_flight = config->max_requests_in_flight,
                              .max_frame_size = config->max_frame_size,
                              .max_memory_in_flight = config->max_memory_in_flight,
                              .header_timeout_ms = HEADER_TIMEOUT_MS};
  /* Unanswered batches are bounded by the window of each log, see engine/follower.c. */
  options.max_requests_in_flight = LIMIT_PENDING_BATCHES * 2;
  node->peers = rpc_server_new(node->loops, &options, service_handlers(), node->service, error);
  if (node->peers == NULL)
    return FALSE;
  options.listen = config->client_listen;
  options.services = RPC_CLIENT_SERVICES;
  options.max_connections = node->shares.clients;
  options.max_requests_in_flight = config->max_requests_in_flight;
  options.idle_timeout_ms = config->idle_timeout_ms;
  node->clients = rpc_server_new(node->loops, &options, service_handlers(), node->service, error);
  return node->clients != NULL;
}

static void share_files(Node *node)
{
  guint wanted = node->config->max_connections;
  gboolean with_http = node->config->http_listen[0] != '\0';
  guint groups = node->config->groups->len;
  guint64 limit = file_limit_raise(wanted, with_http, groups);
  node->shares = file_shares(limit, wanted, with_http, groups);
  if (node->shares.clients < wanted)
    g_warning("the process may open %" G_GUINT64_FORMAT " files: %u connections of clients at a "
              "time instead of max_connections = %u",
              limit, node->shares.clients, wanted);
}

static void watch_signals(Node *node);

static gboolean open_node(Node *node, GError **error)
{
  const Config *config = node->config;
  node->identity = identity_open(config->data_dir, config->node_id, config->cluster_id,
                                 config_time_precision_name(config), error);
  if (node->identity == NULL)
    return FALSE;
  share_files(node);
  node->loops =
      rpc_loops_new(by_cores(config->network_threads, 2), by_cores(config->worker_threads, 1));
  node->groups = groups_open(node->identity, node->loops, config, node->shares.store, error);
  if (node->groups == NULL)
    return FALSE;
  node->replica = groups_hold(node->groups, 0, NULL);
  node->service = service_new(node->groups, node->loops, config);
  watch_signals(node); /* before anybody can know that it runs */
  /* Before the clients' port: who finds that open takes the node as ready. */
  if (config->http_listen[0] != '\0') {
    g_autoptr(GArray) sockets = rpc_listen(config->http_listen, error);
    if (sockets == NULL)
      return FALSE;
    node->http = http_server_new(sockets, http_data_routes(), node->shares.http, node->service);
    service_set_http(node->service, node->http);
  }
  if (!open_servers(node, error))
    return FALSE;
  service_set_servers(node->service, node->clients, node->peers);
  groups_start(node->groups);
  return TRUE;
}

/* --- closing ------------------------------------------------------------------------------------
 */

/* Waits until the last answers have been given. */
static void wait_for_answers(RpcServer *server)
{
  gint64 until_us = g_get_monotonic_time() + ANSWER_MS * 1000;
  while (rpc_server_calls(server) > 0 && g_get_monotonic_time() < until_us)
    g_poll(NULL, 0, 5);
}

static void close_node(Node *node)
{
  if (node->http != NULL)
    http_server_drain(node->http);
  if (node->clients != NULL)
    rpc_server_drain(node->clients);
  if (node->groups != NULL && node->clients != NULL)
    groups_drain(node->groups, DRAIN_MS);
  if (node->peers != NULL)
    rpc_server_drain(node->peers);
  if (node->groups != NULL)
    groups_stop(node->groups);
  if (node->http != NULL)
    service_set_http(node->service, NULL);
  g_clear_pointer(&node->http, http_server_free); /* all that it waits for is answered now */
  if (node->clients != NULL) {
    wait_for_answers(node->clients);
    rpc_server_free(node->clients);
  }
  if (node->peers != NULL) {
    wait_for_answers(node->peers);
    rpc_server_free(node->peers);
  }
  g_clear_pointer(&node->replica, replica_release);
  g_clear_pointer(&node->groups, groups_close);
  node->clients = node->peers = NULL;
  g_clear_pointer(&node->service, service_free);
  g_clear_pointer(&node->loops, rpc_loops_free);
  g_clear_pointer(&node->identity, identity_free);
}

/* --- running ------------------------------------------------------------------------------------
 */

static gboolean on_stop_signal(gpointer data)
{
  Node *node = data;
  /* A second signal: everything acknowledged is on disk already, so nothing has to be waited for.
   */
  signal(SIGTERM, SIG_DFL);
  signal(SIGINT, SIG_DFL);
  g_message("stopping");
  node->stopping = TRUE;
  g_main_loop_quit(node->main_loop);
  return G_SOURCE_REMOVE;
}

static void note_change(const ConfigChange *change)
{
  const char *from = change->old_value != NULL ? change->old_value : "(none)";
  const char *to = change->new_value != NULL ? change->new_value : "(none)";
  if (change->reloadable)
    g_message("[%s] %s: %s -> %s", change->section, change->key, from, to);
  else
    g_warning("[%s] %s: %s -> %s takes effect at the next start", change->section, change->key,
              from, to);
}

/* Both are good, but what only a restart changes stays as it is, and need not fit with the rest. */
static gboolean check_mixture(Node *node, const Config *fresh, GError **error)
{
  g_autoptr(Config) mixture = config_dup(node->config);
  config_adopt(mixture, fresh);
  g_autoptr(GError) reason = NULL;
  return config_check(mixture, node->config_path, &reason) ||
         fail(error, SYNCLOG_INVALID, "%s (what only a restart changes counts as it was)",
              reason->message);
}

static gboolean reload(Node *node, GError **error)
{
  g_autoptr(Config) fresh = config_load(node->config_path, error);
  if (fresh == NULL || !check_mixture(node, fresh, error))
    return FALSE;
  g_autoptr(GPtrArray) changes = config_diff(node->config, fresh);
  for (guint i = 0; i < changes->len; i++)
    note_change(changes->pdata[i]);
  config_adopt(node->config, fresh);
  service_adopt(node->service, node->config);
  log_set_level((LogLevel)node->config->log_level);
  groups_adopt(node->groups, node->config);
  g_message("configuration read again: %u changes", changes->len);
  return TRUE;
}

static gboolean on_reload_signal(gpointer data)
{
  Node *node = data;
  sd_notifyf(0, "RELOADING=1\nMONOTONIC_USEC=%" G_GINT64_FORMAT, g_get_monotonic_time());
  g_autoptr(GError) error = NULL;
  if (!reload(node, &error))
    g_critical("reload: %s; the running configuration stays", error->message);
  sd_notify(0, "READY=1");
  return G_SOURCE_CONTINUE;
}

static gboolean on_second(gpointer data)
{
  Node *node = data;
  groups_housekeeping(node->groups);
  if (replica_wants_reopening(node->replica)) {
    node->reopening = TRUE;
    g_main_loop_quit(node->main_loop);
  }
  g_autofree char *fatal = replica_fatal(node->replica);
  if (fatal == NULL)
    return G_SOURCE_CONTINUE;
  fail(&node->failure, SYNCLOG_INTERNAL, "%s", fatal);
  g_main_loop_quit(node->main_loop);
  return G_SOURCE_CONTINUE; /* run_main_loop removes it */
}

static gboolean on_watchdog(gpointer data)
{
  Node *node = data;
  if (groups_is_one_alive(node->groups))
    sd_notify(0, "WATCHDOG=1");
  return G_SOURCE_CONTINUE;
}

/* They take effect when the main loop runs. */
static void watch_signals(Node *node)
{
  node->reload_source = g_unix_signal_add(SIGHUP, on_reload_signal, node);
  if (node->main_loop != NULL)
    return; /* opened again: those that end it are still watched */
  node->main_loop = g_main_loop_new(NULL, FALSE);
  g_unix_signal_add(SIGTERM, on_stop_signal, node);
  g_unix_signal_add(SIGINT, on_stop_signal, node);
}

static void run_main_loop(Node *node)
{
  guint sources[] = {g_timeout_add(1000, on_second, node), 0};
  guint64 watchdog_us = 0;
  if (sd_watchdog_enabled(0, &watchdog_us) > 0 && watchdog_us > 0)
    sources[1] = g_timeout_add((guint)(watchdog_us / 1000 / 3), on_watchdog, node);
  sd_notifyf(0, "READY=1\nSTATUS=serving clients on %s, peers on %s", node->config->client_listen,
             node->config->replication_listen);
  g_message("node %u serves clients on %s, peers on %s", node->config->node_id,
            node->config->client_listen, node->config->replication_listen);
  g_main_loop_run(node->main_loop);
  sd_notify(0, node->reopening ? "STATUS=installing a snapshot" : "STOPPING=1\nSTATUS=stopping");
  for (guint i = 0; i < G_N_ELEMENTS(sources); i++)
    if (sources[i] != 0)
      g_clear_handle_id(&sources[i], g_source_remove);
  g_clear_handle_id(&node->reload_source, g_source_remove);
}

gboolean node_run(const Config *config, const char *config_path, GError **error)
{
  signal(SIGPIPE, SIG_IGN);
  g_autoptr(Config) running = config_dup(config);
  Node node = {.config_path = config_path, .config = running};
  /* Applying what the store lacks may take longer than the unit's TimeoutStartSec. */
  sd_notifyf(0, "STATUS=opening the logs and the store\nEXTEND_TIMEOUT_USEC=%" G_GINT64_FORMAT,
             (gint64)RECOVERY_MINUTES * 60 * MICROSECONDS_PER_SECOND);
  gboolean opened;
  do {
    node.reopening = FALSE;
    opened = open_node(&node, error);
    if (opened)
      run_main_loop(&node);
    close_node(&node);
    if (node.reopening && !node.stopping)
      g_message("opening the node again, to install a snapshot");
  } while (node.reopening && !node.stopping && node.failure == NULL);
  g_clear_pointer(&node.main_loop, g_main_loop_unref);
  if (node.failure == NULL)
    return opened;
  g_propagate_error(error, node.failure);
  return FALSE;
}

gboolean node_healthcheck(const Config *config, GError **error)
{
  g_auto(GStrv) listen = g_strsplit(config->client_listen, ",", 2);
  const char *address = g_strstrip(listen[0]);
  /* An address that stands for all is reached by loopback. */
  g_autofree char *loopback = NULL;
  if (g_str_has_prefix(address, "0.0.0.0:"))
    loopback = g_strconcat("127.0.0.1:", address + strlen("0.0.0.0:"), NULL);
  else if (g_str_has_prefix(address, "[::]:"))
    loopback = g_strconcat("[::1]:", address + strlen("[::]:"), NULL);
  g_autoptr(RpcClient) client =
      rpc_client_new(loopback != NULL ? loopback : address, HEALTHCHECK_MS);
  NodeInfo info = {0};
  if (!rpc_client_info(client, &info, error))
    return FALSE;
  gboolean own = info.node_id == config->node_id;
  if (!own)
    fail(error, SYNCLOG_NOT_READY, "node %u answers at %s", info.node_id, address);
  node_info_clear(&info);
  return own;
}
