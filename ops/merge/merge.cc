#include "attend/operator.h"

namespace attend {

MergeParams MergePartials::checked(const MergeArgs&, const MergeParams& p, Device) const {
  return p;
}

}  // namespace attend
