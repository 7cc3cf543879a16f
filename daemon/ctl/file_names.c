#include "ctl/file_names.h"

#include <limits.h>
#include <string.h>

#define HASHED "%~"

/* What is put behind a name while the file is written must fit, too. */
#define MAX_NAME ((gsize)NAME_MAX - strlen(".partial"))

char *file_name_of_device(const char *device)
{
  GString *name = g_string_new(NULL);
  for (const char *at = device; *at != '\0'; at++) {
    guchar c = (guchar)*at;
    if (c < 0x20 || c == 0x7f || c == '/' || c == '%' || (c == '.' && at == device))
      g_string_append_printf(name, "%%%02X", c);
    else
      g_string_append_c(name, *at);
  }
  g_string_append(name, ".csv");
  if (name->len > MAX_NAME) {
    g_autofree char *hash = g_compute_checksum_for_string(G_CHECKSUM_SHA256, device, -1);
    g_string_printf(name, "%s%s.csv", HASHED, hash);
  }
  return g_string_free(name, FALSE);
}

char *device_of_path(const char *path)
{
  g_autofree char *base = g_path_get_basename(path);
  gsize size = strlen(base);
  if (size > strlen(".csv") && g_ascii_strcasecmp(base + size - strlen(".csv"), ".csv") == 0)
    base[size - strlen(".csv")] = '\0';
  if (g_str_has_prefix(base, HASHED))
    return NULL;
  GString *name = g_string_new(NULL);
  for (const char *at = base; *at != '\0'; at++) {
    if (*at == '%' && g_ascii_isxdigit(at[1]) && g_ascii_isxdigit(at[2])) {
      g_string_append_c(name,
                        (char)(g_ascii_xdigit_value(at[1]) * 16 + g_ascii_xdigit_value(at[2])));
      at += 2;
    } else {
      g_string_append_c(name, *at);
    }
  }
  gboolean valid = name->len > 0 && strlen(name->str) == name->len &&
                   g_utf8_validate(name->str, (gssize)name->len, NULL);
  return g_string_free(name, !valid);
}
