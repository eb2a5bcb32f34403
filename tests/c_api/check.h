#ifndef ATTEND_TESTS_C_API_CHECK_H
#define ATTEND_TESTS_C_API_CHECK_H
/* The few words of a test in C: every check is counted, a failed one is printed with its place. */
#include <attend/c_api.h>

extern int checks, failures;
void check_true(int ok, const char* text, const char* file, int line);
void check_near(double got, double want, double tolerance, const char* file, int line);
void check_text(const char* got, const char* want, const char* file, int line);
/* The code that a function returned, and the words of the last error. */
void check_refusal(attend_error_code code, attend_error_code want, const char* words,
                   const char* file, int line);

#define CHECK(condition) check_true((condition) != 0, #condition, __FILE__, __LINE__)
#define CHECK_OK(call) check_refusal((call), ATTEND_OK, 0, __FILE__, __LINE__)
#define CHECK_NEAR(got, want, tolerance) check_near((got), (want), (tolerance), __FILE__, __LINE__)
#define CHECK_TEXT(got, want) check_text((got), (want), __FILE__, __LINE__)
#define CHECK_REFUSED(call, code, words) check_refusal((call), (code), (words), __FILE__, __LINE__)

#endif
