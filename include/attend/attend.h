#pragma once

// Everything that a program needs: operators, tensors, errors, the registry, metadata.
// dlpack.h and backend_plugin.h are for those who exchange tensors or write a backend.
#include "attend/attention_params.h"
#include "attend/error.h"
#include "attend/gdn_params.h"
#include "attend/kernel.h"
#include "attend/metadata.h"
#include "attend/operator.h"
#include "attend/parallel.h"
#include "attend/registry.h"
#include "attend/ring.h"
#include "attend/strategy_metadata.h"
#include "attend/tensor.h"
