// SPDX-License-Identifier: BSD-3-Clause
#include "dispatch/select.h"

#include <cstdlib>
#include <stdexcept>

#include "dispatch/cpu_features.h"

#define LSTMFAST_ISA_ROW(isa, needs) \
  namespace lstmfast::isa {          \
  extern const KernelTable kKernels; \
  }
#include "isa_list.inc"
#undef LSTMFAST_ISA_ROW

namespace lstmfast {
namespace {

struct Row {
  const char* name;
  std::uint32_t needs;
  const KernelTable* table;
};

constexpr Row kRows[] = {
#define LSTMFAST_ISA_ROW(isa, needs) {#isa, needs, &isa::kKernels},
#include "isa_list.inc"
#undef LSTMFAST_ISA_ROW
};

bool runs_here(const Row& row) { return (cpu_features() & row.needs) == row.needs; }

std::string joined(const std::vector<std::string>& names) {
  std::string s;
  for (const auto& n : names) s += (s.empty() ? "" : ", ") + n;
  return s;
}

}  // namespace

std::vector<std::string> compiled_isas() {
  std::vector<std::string> names;
  for (const Row& row : kRows) names.emplace_back(row.name);
  return names;
}

std::vector<std::string> available_isas() {
  std::vector<std::string> names;
  for (const Row& row : kRows)
    if (runs_here(row)) names.emplace_back(row.name);
  return names;
}

const KernelTable& kernels_for(const std::string& name) {
  for (const Row& row : kRows) {
    if (name != row.name) continue;
    if (!runs_here(row)) {
      throw std::invalid_argument("instruction set '" + name +
                                  "' is not supported by this CPU or operating system; available: " + joined(available_isas()));
    }
    return *row.table;
  }
  throw std::invalid_argument("unknown instruction set '" + name + "'; this build has: " + joined(compiled_isas()));
}

const KernelTable& kernels() {
  static const KernelTable& chosen = []() -> const KernelTable& {
    const char* forced = std::getenv("LSTMFAST_ISA");
    if (forced && *forced) {
      try {
        return kernels_for(forced);
      } catch (const std::invalid_argument& e) {
        throw std::invalid_argument(std::string("LSTMFAST_ISA: ") + e.what());
      }
    }
    return kernels_for(available_isas().front());
  }();
  return chosen;
}

}  // namespace lstmfast
