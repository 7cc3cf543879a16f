/* The status page at `/`: page.html, which is a part of the program. It asks for /status.json. */
#pragma once

#include "http/http_server.h"

/* A handler for HttpRoute. */
void page_answer(gpointer ctx, HttpRequest *request);
