#include "ctl/import_state.h"

#include "base/error.h"

#define SECTION "import"

void import_state_clear(ImportState *state)
{
  g_clear_pointer(&state->cluster, g_free);
  g_clear_pointer(&state->device, g_free);
}

gboolean import_state_save(const ImportState *state, const char *path, GError **error)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_key_file_set_string(file, SECTION, "cluster", state->cluster);
  g_key_file_set_uint64(file, SECTION, "group", state->group);
  if (state->device != NULL)
    g_key_file_set_string(file, SECTION, "device", state->device);
  g_key_file_set_uint64(file, SECTION, "head_checksum", state->head_checksum);
  g_key_file_set_uint64(file, SECTION, "tail_checksum", state->tail_checksum);
  g_key_file_set_uint64(file, SECTION, "offset", state->offset);
  g_key_file_set_uint64(file, SECTION, "line", state->line);
  g_key_file_set_uint64(file, SECTION, "rows", state->rows);
  g_key_file_set_uint64(file, SECTION, "points", state->points);
  gsize size;
  g_autofree char *text = g_key_file_to_data(file, &size, NULL);
  g_autoptr(GError) local = NULL;
  if (g_file_set_contents_full(path, text, (gssize)size, G_FILE_SET_CONTENTS_CONSISTENT, 0666,
                               &local))
    return TRUE;
  return fail(error, SYNCLOG_INTERNAL, "%s", local->message);
}

static guint64 get_number(GKeyFile *file, const char *key, guint64 max, gboolean *valid)
{
  g_autoptr(GError) local = NULL;
  guint64 number = g_key_file_get_uint64(file, SECTION, key, &local);
  if (local != NULL || number > max)
    *valid = FALSE;
  return number;
}

gboolean import_state_load(const char *path, ImportState *out_state, gboolean *out_found,
                           GError **error)
{
  g_autoptr(GKeyFile) file = g_key_file_new();
  g_autoptr(GError) local = NULL;
  *out_found = FALSE;
  if (!g_key_file_load_from_file(file, path, G_KEY_FILE_NONE, &local)) {
    if (g_error_matches(local, G_FILE_ERROR, G_FILE_ERROR_NOENT))
      return TRUE;
    return fail(error, SYNCLOG_INVALID, "%s: %s", path, local->message);
  }
  gboolean valid = TRUE;
  g_auto(ImportState) state = {
      .cluster = g_key_file_get_string(file, SECTION, "cluster", NULL),
      .device = g_key_file_get_string(file, SECTION, "device", NULL),
      .group = (guint32)get_number(file, "group", G_MAXUINT32, &valid),
      .head_checksum = (guint32)get_number(file, "head_checksum", G_MAXUINT32, &valid),
      .tail_checksum = (guint32)get_number(file, "tail_checksum", G_MAXUINT32, &valid),
      .offset = get_number(file, "offset", G_MAXINT64, &valid),
      .line = get_number(file, "line", G_MAXINT64, &valid),
      .rows = get_number(file, "rows", G_MAXINT64, &valid),
      .points = get_number(file, "points", G_MAXINT64, &valid),
  };
  if (!valid || state.cluster == NULL)
    return fail(error, SYNCLOG_INVALID, "%s is not the state of an import", path);
  *out_state = state;
  state = (ImportState){0};
  *out_found = TRUE;
  return TRUE;
}
