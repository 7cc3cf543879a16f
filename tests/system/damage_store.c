/* damage_store DIRECTORY DEVICE KINDS PARTITION|all EACH: see tests/support/damage_store.h. */
#include "support/damage_store.h"

#include <stdio.h>

int main(int argc, char **argv)
{
  gint64 partition = G_MININT64;
  guint64 each;
  if (argc != 6 || !g_ascii_string_to_unsigned(argv[5], 10, 1, G_MAXUINT, &each, NULL) ||
      (strcmp(argv[4], "all") != 0 &&
       !g_ascii_string_to_signed(argv[4], 10, G_MININT64, G_MAXINT64, &partition, NULL)))
    return 2;
  int taken = damage_store(argv[1], argv[2], argv[3], partition, (guint)each);
  printf("%d\n", taken);
  return taken > 0 ? 0 : 1;
}
