// SPDX-License-Identifier: BSD-3-Clause
#pragma once

namespace lstmfast {

// The table of include/lstmfast/capi.h, for the capsule.
const void* c_api_table();

}  // namespace lstmfast
