/*
 * The part of Prometheus' query language that panels of plain series need, as a tree:
 *
 *     temperature{device="plant1.boiler"}            also =, !=, =~, !~ of any label, {__name__="x
 * y"} avg_over_time(temperature{device=~"a.*"}[5m])  also min, max, sum, count and last_over_time
 *     sum by (device) (…)                            also avg, min, max, count; by, without, or
 * neither … offset 1h, numbers, + - * / where one side is a number
 *
 * What else the language has is refused by name. Regular expressions are those of GLib (PCRE),
 * anchored at both ends, and give up when they take too long. Nesting is bounded. Pure.
 */
#pragma once

#include "base/error.h"

enum { PROM_QUERY_SIZE = 64 * 1024 }; /* bytes of a query, at most */

#define PROM_NAME "__name__"

typedef enum { PROM_EQUAL, PROM_NOT_EQUAL, PROM_REGEX, PROM_NOT_REGEX } PromMatchKind;

typedef struct PromMatcher {
  char *label;
  PromMatchKind kind;
  char *value;
  GRegex *regex; /* of the two last kinds */
} PromMatcher;

typedef struct PromSelector {
  GArray *matchers; /* PromMatcher; at least one of them does not match the empty text */
} PromSelector;

typedef enum {
  PROM_AVG,
  PROM_MIN,
  PROM_MAX,
  PROM_SUM,
  PROM_COUNT,
  PROM_LAST, /* over time only */
} PromFunction;

typedef enum { PROM_NUMBER, PROM_SELECT, PROM_OVER_TIME, PROM_AGGREGATE, PROM_BINARY } PromKind;

typedef struct PromExpr PromExpr;
struct PromExpr {
  PromKind kind;
  double number;          /* NUMBER */
  PromSelector *selector; /* SELECT, OVER_TIME */
  gint64 range_ms;        /* OVER_TIME */
  gint64 offset_ms;       /* SELECT, OVER_TIME */
  PromFunction function;  /* OVER_TIME, AGGREGATE */
  GStrv labels;           /* AGGREGATE: by or without these; NULL: neither was said */
  gboolean without;       /* AGGREGATE */
  char sign;              /* BINARY: one of + - * /; one side is a NUMBER, never both */
  PromExpr *left, *right; /* BINARY; AGGREGATE has left only */
};

/* INVALID with the place and the reason, as in "1:5: parse error: …". Transfer full. */
PromExpr *prom_parse(const char *text, GError **error);
void prom_expr_free(PromExpr *expr);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PromExpr, prom_expr_free)

/* A selector alone, as match[] gives it. */
PromSelector *prom_parse_selector(const char *text, GError **error);
void prom_selector_free(PromSelector *selector);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(PromSelector, prom_selector_free)

/* Whether a label with this value fits; a label that is not there has the empty value. *out_failed
 * is set (never cleared) when a regular expression gave up. */
gboolean prom_matches(const PromMatcher *matcher, const char *value, gboolean *out_failed);

/* "5m", "1h30m": ms, s, m, h, d, w, y. FALSE when it is none, is 0, or has more than 64 bits. */
gboolean prom_parse_duration(const char *text, gint64 *out_ms);

/* left sign right, of + - * /. */
double prom_compute(char sign, double left, double right);

/* Appends a number as Prometheus writes it: the shortest digits that read back, no exponent; NaN,
 * +Inf, -Inf. */
void prom_put_number(GString *out, double number);
