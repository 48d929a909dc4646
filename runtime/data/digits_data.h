/* The embedded digits as text; see digits_data.c for their source and licence. May not know: data sets. */
#ifndef LVT_DATA_DIGITS_DATA_H
#define LVT_DATA_DIGITS_DATA_H

enum { LVT_N_DIGITS = 1797, LVT_DIGIT_LENGTH = 65 };
/* 64 letters 'a' (0) to 'q' (16), row by row, then the digit '0' to '9'. */
extern const char lvt_digits[LVT_N_DIGITS][LVT_DIGIT_LENGTH + 1];

#endif
