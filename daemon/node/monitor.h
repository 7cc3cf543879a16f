/*
 * What the node shows over HTTP: the page at / (page.h), /metrics for Prometheus, /healthz,
 * /readyz, /status.json. All of it is made from NodeStatus, as synclogctl's status is.
 */
#pragma once

#include "http/http_server.h"
#include "node/service.h"

/* For http_server_new, with the service as ctx. */
const HttpRoute *monitor_routes(void);

/* What there is to show. */
typedef struct MonitorView {
  GPtrArray *statuses; /* NodeStatus of the groups that are open, group 0 first */
  GPtrArray *closed;   /* GroupInfo of those that should be */
  gboolean labelled;   /* there are further groups: what is a group's is told with its id */
} MonitorView;

/* The text of /metrics, in the format of Prometheus, version 0.0.4. */
void monitor_put_metrics(const MonitorView *view, gboolean alive, GString *out);

/* The document of /status.json: the fields of TNodeStatus (thrift/admin.thrift) by their names;
 * errors and memory are objects, name to count. `groups` has the same of each further group. */
void monitor_put_json(const MonitorView *view, GString *out);
