#include "core/member.h"

#include <string.h>

static const char *const names[] = {"unknown",  "joining", "entering", "active",
                                    "removing", "removed", "lost"};

const char *member_state_name(MemberState state)
{
  g_assert(state < G_N_ELEMENTS(names));
  return names[state];
}

gboolean member_state_parse(const char *name, MemberState *out_state)
{
  for (guint i = MEMBER_JOINING; i < G_N_ELEMENTS(names); i++) {
    if (strcmp(names[i], name) != 0)
      continue;
    *out_state = (MemberState)i;
    return TRUE;
  }
  return FALSE;
}

static void member_free(gpointer data)
{
  g_free(((Member *)data)->address);
  g_free(data);
}

GPtrArray *member_list_new(void)
{
  return g_ptr_array_new_with_free_func(member_free);
}

void member_list_add(GPtrArray *list, guint32 id, MemberState state, const char *address)
{
  g_assert(list->len == 0 || ((const Member *)list->pdata[list->len - 1])->id < id);
  Member *member = g_new(Member, 1);
  *member = (Member){id, state, g_strdup(address)};
  g_ptr_array_add(list, member);
}

const Member *member_list_find(const GPtrArray *list, guint32 id)
{
  guint low = 0, high = list->len;
  while (low < high) {
    guint middle = low + (high - low) / 2;
    const Member *member = list->pdata[middle];
    if (member->id == id)
      return member;
    if (member->id < id)
      low = middle + 1;
    else
      high = middle;
  }
  return NULL;
}
