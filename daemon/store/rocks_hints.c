/* What the memtable's hints cost: RocksDB keeps one for each bucket that is in it. */
#include "store/rocks_private.h"

typedef struct Hinted {
  guint memtable; /* its number; 0: none */
  gint64 partition;
} Hinted;

struct Hints {
  Hinted *devices; /* by id: where the last one was */
  gsize room;
  gint memtable; /* atomic: number of the present one */
};

Hints *rocks_hints_new(void)
{
  Hints *hints = g_new0(Hints, 1);
  hints->memtable = 1;
  return hints;
}

void rocks_hints_free(Hints *hints)
{
  g_free(hints->devices);
  g_free(hints);
}

void rocks_hints_begin(Hints *hints)
{
  g_atomic_int_inc(&hints->memtable);
}

gsize rocks_hints_add(Hints *hints, guint32 device, gint64 partition)
{
  guint memtable = (guint)g_atomic_int_get(&hints->memtable);
  if (device >= hints->room) {
    gsize room = MAX((gsize)device + 1, hints->room * 2);
    hints->devices = g_renew(Hinted, hints->devices, room);
    memset(hints->devices + hints->room, 0, (room - hints->room) * sizeof(Hinted));
    hints->room = room;
  }
  Hinted *hinted = &hints->devices[device];
  if (hinted->memtable == memtable && hinted->partition == partition)
    return 0;
  *hinted = (Hinted){memtable, partition};
  return HINT_SIZE;
}
