/*
 * Golden files: bytes that every build must be able to read and must write again unchanged. Lines
 * are "offset: bytes" in hex, then "size: n" in decimal; what no line mentions is 0; # begins a
 * comment. Tests run in the top folder of the sources.
 */
#pragma once

#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline GByteArray *golden_load(const char *name)
{
  g_autofree char *path = g_build_filename("tests", "golden", name, NULL);
  g_autofree char *text = NULL;
  g_autoptr(GError) error = NULL;
  if (!g_file_get_contents(path, &text, NULL, &error))
    g_error("%s", error->message);
  GByteArray *bytes = g_byte_array_new();
  g_auto(GStrv) lines = g_strsplit(text, "\n", -1);
  for (char **line = lines; *line != NULL; line++) {
    if (**line == '#' || **line == '\0')
      continue;
    gsize size;
    if (sscanf(*line, "size: %zu", &size) == 1) {
      g_byte_array_set_size(bytes, (guint)size);
      memset(bytes->data, 0, size);
    }
  }
  for (char **line = lines; *line != NULL; line++) {
    if (!g_ascii_isxdigit(**line))
      continue;
    char *at;
    gsize offset = strtoul(*line, &at, 16);
    g_assert(*at == ':');
    for (at++; *at != '\0'; offset++) {
      g_assert(offset < bytes->len);
      bytes->data[offset] = (guint8)strtoul(at, &at, 16);
    }
  }
  return bytes;
}
