#include "base/steps.h"

const char *step_name(Step step)
{
  static const char *const names[] = {
#define X(name, text, help) text,
      STEP_TABLE(X)
#undef X
  };
  return names[step];
}

const char *step_help(Step step)
{
  static const char *const helps[] = {
#define X(name, text, help) help,
      STEP_TABLE(X)
#undef X
  };
  return helps[step];
}
