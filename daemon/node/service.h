/*
 * What the node answers to clients, operators and peers: the handlers behind rpc/server.h.
 * Thread-safe.
 */
#pragma once

#include "http/http_server.h"
#include "node/config.h"
#include "node/groups.h"

typedef struct Service Service;

/* `groups` and `loops` must outlive the service; `config` is copied. */
Service *service_new(Groups *groups, RpcLoops *loops, const Config *config);
void service_free(Service *service);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Service, service_free)

/* Takes over what may change at run time. */
void service_adopt(Service *service, const Config *fresh);

/* The servers whose connections are counted in the status; set once, before clients come. */
void service_set_servers(Service *service, RpcServer *clients, RpcServer *peers);

/* The same for HTTP; NULL before it is freed. */
void service_set_http(Service *service, HttpServer *http);

/* What handle_status answers for a group, also for HTTP; NULL when it is not open here. Transfer
 * full. */
NodeStatus *service_status(Service *service, guint32 group, GError **error);
/* That of all groups: NodeStatus, group 0 first, which alone has what is the node's. */
GPtrArray *service_statuses(Service *service);

/* What requests that come another way than by RPC need to know; reads of the configuration are
 * those of this moment. */
typedef struct ServiceLimits {
  gint64 write_timeout_ms, read_timeout_ms;
  guint page_rows;
  gint64 per_second;  /* units of the cluster's time */
  gboolean http_data; /* whether data goes in and out over HTTP */
  AckLevel http_ack;
  guint64 group_share; /* bytes of unanswered requests that a group may hold; 0: any */
} ServiceLimits;

ServiceLimits service_limits(Service *service);
Groups *service_groups(Service *service);

/* For rpc_server_new, with the service as ctx. */
const RpcHandlers *service_handlers(void);
