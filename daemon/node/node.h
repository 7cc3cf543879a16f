/*
 * A whole node: composition, lifecycle, signals.
 */
#pragma once

#include "node/config.h"

/*
 * Runs the node until it is told to stop (SIGTERM, SIGINT; a second one ends the process at once).
 * SIGHUP reads config_path again and takes over what may change at run time. FALSE with an error:
 * INVALID when the configuration does not fit the data directory, else what failed.
 */
gboolean node_run(const Config *config, const char *config_path, GError **error);

/* Whether a node with this configuration runs on this machine and serves. */
gboolean node_healthcheck(const Config *config, GError **error);
