#pragma once
#include "attend/attention_params.h"
#include "tests/support/case_lengths.h"
#include "tests/support/case_memory.h"

namespace attend::testing {

// Bias, keep, alibi, sinks and the scalars of a case. Returns the bias' memory, null without one.
const Block* make_score_words(CaseMemory& memory, const CaseLengths& lengths,
                              AttentionParams& params);
// What depends on positions: the diagonal, windows, prefixes, holes, segments, block masks.
void make_position_words(CaseMemory& memory, const CaseLengths& lengths, MaskSpec& mask);

}  // namespace attend::testing
