#include "core/membership.h"

#include "base/limits.h"

static Member *find(const Membership *membership, guint32 node)
{
  return (Member *)member_list_find(membership->members, node);
}

/* NULL: there are too many. */
static Member *put(Membership *membership, guint32 node)
{
  Member *member = find(membership, node);
  if (member != NULL)
    return member;
  if (membership->members->len >= LIMIT_KNOWN_MEMBERS)
    return NULL;
  guint at = 0;
  while (at < membership->members->len &&
         ((const Member *)membership->members->pdata[at])->id < node)
    at++;
  member = g_new0(Member, 1);
  member->id = node;
  g_ptr_array_insert(membership->members, (gint)at, member);
  return member;
}

/* The last active member can't go. */
static void find_who_stays(Membership *membership)
{
  membership->stays = 0;
  for (guint i = 0; i < membership->members->len; i++)
    if (((const Member *)membership->members->pdata[i])->state == MEMBER_ACTIVE)
      return;
  for (guint i = 0; i < membership->members->len && membership->stays == 0; i++) {
    const Member *member = membership->members->pdata[i];
    if (member->state == MEMBER_REMOVING)
      membership->stays = member->id;
  }
}

static Membership *make(guint32 self, const GArray *peers, MemberState own, MemberState others)
{
  Membership *membership = g_new0(Membership, 1);
  membership->self = self;
  membership->members = member_list_new();
  put(membership, self)->state = own;
  for (guint i = 0; i < peers->len; i++) {
    guint32 node = g_array_index(peers, guint32, i);
    g_assert(find(membership, node) == NULL);
    put(membership, node)->state = others;
  }
  return membership;
}

Membership *membership_new(guint32 self, const GArray *peers)
{
  return make(self, peers, MEMBER_ACTIVE, MEMBER_ACTIVE);
}

Membership *membership_new_joining(guint32 self, const GArray *peers)
{
  return make(self, peers, MEMBER_JOINING, MEMBER_UNKNOWN);
}

Membership *membership_new_kept(guint32 self, const GPtrArray *record)
{
  g_autoptr(GArray) nobody = g_array_new(FALSE, FALSE, sizeof(guint32));
  Membership *membership = make(self, nobody, MEMBER_JOINING, MEMBER_UNKNOWN);
  membership_merge(membership, record);
  return membership;
}

void membership_free(Membership *membership)
{
  g_ptr_array_unref(membership->members);
  g_free(membership);
}

gboolean membership_has(const Membership *membership, guint32 node)
{
  const Member *member = find(membership, node);
  return member != NULL && (member->state != MEMBER_UNKNOWN || !membership->begun);
}

MemberState membership_state(const Membership *membership, guint32 node)
{
  const Member *member = find(membership, node);
  if (member == NULL)
    return MEMBER_UNKNOWN;
  return node == membership->stays ? MEMBER_ACTIVE : member->state;
}

const char *membership_address(const Membership *membership, guint32 node)
{
  const Member *member = find(membership, node);
  return member != NULL ? member->address : NULL;
}

gboolean membership_is_gone(const Membership *membership, guint32 node)
{
  return membership_state(membership, node) >= MEMBER_REMOVED;
}

gboolean membership_counts(const Membership *membership, guint32 node)
{
  MemberState state = membership_state(membership, node);
  return state == MEMBER_ENTERING || state == MEMBER_ACTIVE;
}

gboolean membership_retains(const Membership *membership, guint32 node)
{
  MemberState state = membership_state(membership, node);
  return state == MEMBER_UNKNOWN ? !membership->begun : state <= MEMBER_ACTIVE;
}

gboolean membership_stamps(const Membership *membership, guint32 node)
{
  MemberState state = membership_state(membership, node);
  if (state == MEMBER_UNKNOWN)
    return !membership->begun;
  return state != MEMBER_JOINING && state < MEMBER_REMOVED;
}

guint membership_count(const Membership *membership)
{
  guint count = 0;
  for (guint i = 0; i < membership->members->len; i++)
    count += membership_counts(membership, ((const Member *)membership->members->pdata[i])->id);
  return count;
}

guint membership_majority(const Membership *membership)
{
  return membership_count(membership) / 2 + 1;
}

guint64 membership_version(const Membership *membership)
{
  guint64 version = 0;
  for (guint i = 0; membership->begun && i < membership->members->len; i++)
    version += ((const Member *)membership->members->pdata[i])->state;
  return version;
}

/* Two addresses of one member: the greater text, so that all choose the same. */
static gboolean take_address(Member *member, const char *address)
{
  if (address == NULL || g_strcmp0(member->address, address) >= 0)
    return FALSE;
  g_free(member->address);
  member->address = g_strdup(address);
  return TRUE;
}

void membership_set_address(Membership *membership, guint32 node, const char *address)
{
  Member *member = find(membership, node);
  if (member != NULL && member->address == NULL)
    member->address = g_strdup(address);
}

static gboolean raise_to(Membership *membership, guint32 node, MemberState state,
                         const char *address)
{
  Member *member = put(membership, node);
  if (member == NULL)
    return FALSE;
  gboolean changed = state > member->state;
  member->state = MAX(member->state, state);
  if (member->state < MEMBER_REMOVED)
    changed |= take_address(member, address);
  else
    g_clear_pointer(&member->address, g_free);
  membership->changes += changed;
  return changed;
}

gboolean membership_raise(Membership *membership, guint32 node, MemberState state,
                          const char *address)
{
  g_assert(state != MEMBER_UNKNOWN);
  membership->begun = TRUE;
  gboolean changed = raise_to(membership, node, state, address);
  find_who_stays(membership);
  return changed;
}

gboolean membership_merge(Membership *membership, const GPtrArray *record)
{
  gboolean changed = !membership->begun;
  membership->changes += changed;
  membership->begun = TRUE;
  for (guint i = 0; i < record->len; i++) {
    const Member *member = record->pdata[i];
    changed |= raise_to(membership, member->id, member->state, member->address);
  }
  find_who_stays(membership);
  return changed;
}

GPtrArray *membership_record(const Membership *membership)
{
  if (!membership->begun)
    return NULL;
  GPtrArray *record = member_list_new();
  for (guint i = 0; i < membership->members->len; i++) {
    const Member *member = membership->members->pdata[i];
    if (member->state != MEMBER_UNKNOWN)
      member_list_add(record, member->id, member->state, member->address);
  }
  return record;
}
