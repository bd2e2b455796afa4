// SPDX-License-Identifier: BSD-3-Clause
// Arguments of the kernels that are not matrix products or cells; part of kernel_table.h.
#pragma once
