/*
 * The protocol's main stories as traces: who sends what to whom, in which order. Each is compared
 * with its file in golden/; a change of the protocol shows there line by line.
 */
#pragma once

#include <glib.h>

/* Prints what differs, and writes the files anew when `update`. How many differ. */
guint golden_run(const char *directory, gboolean update);
