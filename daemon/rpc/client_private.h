/* What the client needs of the builder. */
#pragma once

#include "rpc/client.h"

/* Appends the TWrite as it stands on the wire. */
void write_builder_encode(const WriteBuilder *builder, GByteArray *out);

/* Makes it empty. */
void write_builder_clear(WriteBuilder *builder);
