#include "store/chunk_block.h"

#include "base/bytes.h"
#include "store/block.h"

/* The versions of all cells, encoded as in a block; *out_greatest of them. */
static gboolean put_versions(const Chunk *chunk, GByteArray *out, Version *out_greatest,
                             GError **error)
{
  guint32 origins[CHUNK_ROWS];
  guint64 hlcs[CHUNK_ROWS];
  if (!chunk_versions(chunk, origins, hlcs, error))
    return FALSE;
  g_autofree Version *versions = g_new(Version, chunk->rows);
  for (guint row = 0; row < chunk->rows; row++) {
    versions[row] = (Version){hlcs[row], origins[row], CHUNK_ORDINAL};
    if (row == 0 || version_compare(&versions[row], out_greatest) > 0)
      *out_greatest = versions[row];
  }
  versions_put(out, versions, chunk->rows);
  return TRUE;
}

static gboolean put_times(const Chunk *chunk, guint8 *out, GError **error)
{
  gint64 times[CHUNK_ROWS];
  if (!chunk_times(chunk, times, error))
    return FALSE;
  for (guint row = 0; row < chunk->rows; row++)
    store_le64(out + (gsize)row * 8, (guint64)times[row]);
  return TRUE;
}

guint8 *chunk_to_block(const Chunk *chunk, guint32 measurement, gboolean with_versions,
                       Version *out_version, gsize *out_size, GError **error)
{
  g_autoptr(GByteArray) versions = g_byte_array_new();
  gboolean mixed = with_versions && chunk->has_versions;
  *out_version = with_versions ? (Version){chunk->newest, chunk->origin, CHUNK_ORDINAL}
                               : (Version){chunk->horizon, G_MAXUINT32, CHUNK_ORDINAL};
  if (mixed && !put_versions(chunk, versions, out_version, error))
    return NULL;
  gsize head = mixed ? BLOCK_MIXED_HEAD_SIZE : BLOCK_HEAD_SIZE;
  gsize times_at = head + BLOCK_COLUMN_SIZE;
  gsize versions_at = times_at + (gsize)chunk->rows * 8;
  gsize values_at = versions_at + versions->len;
  g_autofree guint8 *bytes = g_malloc(values_at + chunk->values_size);
  memset(bytes, 0, times_at);
  bytes[0] = mixed ? BLOCK_VERSION_MIXED : BLOCK_VERSION;
  bytes[2] = 1;
  store_le32(bytes + 4, chunk->rows);
  if (mixed)
    store_le32(bytes + 8, versions->len);
  guint8 *entry = bytes + head;
  store_le32(entry, measurement);
  entry[4] = (guint8)chunk->type;
  store_le32(entry + 6, (guint32)chunk->values_size);
  if (versions->len > 0)
    memcpy(bytes + versions_at, versions->data, versions->len);
  if (!put_times(chunk, bytes + times_at, error) || !chunk_values(chunk, bytes + values_at, error))
    return NULL;
  *out_size = values_at + chunk->values_size;
  return g_steal_pointer(&bytes);
}
