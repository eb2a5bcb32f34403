#include "check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

int checks = 0, failures = 0;

static void failed(const char* file, int line) {
  ++failures;
  printf("%s:%d: ", file, line);
}

void check_true(int ok, const char* text, const char* file, int line) {
  ++checks;
  if (ok) return;
  failed(file, line);
  printf("%s\n", text);
}

void check_near(double got, double want, double tolerance, const char* file, int line) {
  ++checks;
  if (fabs(got - want) <= tolerance) return; /* not for NaN */
  failed(file, line);
  printf("%.9g, expected %.9g\n", got, want);
}

void check_text(const char* got, const char* want, const char* file, int line) {
  ++checks;
  if (strcmp(got, want) == 0) return;
  failed(file, line);
  printf("\"%s\", expected \"%s\"\n", got, want);
}

void check_refusal(attend_error_code code, attend_error_code want, const char* words,
                   const char* file, int line) {
  ++checks;
  if (code != want) {
    failed(file, line);
    printf("%s (%s), expected %s\n", attend_error_name(code), attend_last_error_message(),
           attend_error_name(want));
    return;
  }
  if (words == 0) return;
  check_true(attend_last_error() == want, "the last error has the code returned", file, line);
  check_text(attend_last_error_message(), words, file, line);
}
