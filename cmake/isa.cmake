# SPDX-License-Identifier: BSD-3-Clause
# THE LIST OF INSTRUCTION SETS, best first. To add one: a line here and csrc/simd/<name>.h.
#
#   lstmfast_add_isa(<name> ARCH <x86_64|aarch64> GNU <flags> MSVC <flags> NEEDS <cpu features>)
#
# <name> is the namespace of the kernels, the value of LSTMFAST_ISA and the name Python shows. Each
# line compiles csrc/kernels/compile_for_isa.cpp once more and adds a row to generated/isa_list.inc,
# from which dispatch/select.cpp makes its table. The features are those of dispatch/cpu_features.h;
# a set without any is the baseline of its architecture and must come last.

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|amd64|AMD64)$")
  set(LSTMFAST_ARCH x86_64)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  set(LSTMFAST_ARCH aarch64)
else()
  message(FATAL_ERROR "lstmfast has no kernels for the architecture '${CMAKE_SYSTEM_PROCESSOR}'")
endif()

set(LSTMFAST_ISA_ROWS "")
set(LSTMFAST_ISA_TARGETS "")

function(lstmfast_add_isa name)
  cmake_parse_arguments(ISA "" "ARCH" "GNU;MSVC;NEEDS" ${ARGN})
  if(NOT ISA_ARCH STREQUAL LSTMFAST_ARCH)
    return()
  endif()
  set(target kernels_${name})
  add_library(${target} OBJECT csrc/kernels/compile_for_isa.cpp)
  target_include_directories(${target} PRIVATE csrc)
  target_compile_features(${target} PRIVATE cxx_std_20)
  target_compile_definitions(${target} PRIVATE LSTMFAST_ISA=${name} LSTMFAST_ISA_${name}=1)
  set_target_properties(${target} PROPERTIES POSITION_INDEPENDENT_CODE ON CXX_VISIBILITY_PRESET hidden
                                             INTERPROCEDURAL_OPTIMIZATION OFF)
  if(MSVC)
    target_compile_options(${target} PRIVATE ${ISA_MSVC} /O2)
  else()
    # -O3 in Debug too: below -O2 small helpers are not inlined and could leak as weak symbols.
    target_compile_options(${target} PRIVATE ${ISA_GNU} -O3 -fno-math-errno -fno-trapping-math -ffp-contract=off
                                             -fno-exceptions -fno-rtti -fno-lto
                                             -Wno-maybe-uninitialized) # GCC 12 warns about its own intrinsics headers
  endif()
  lstmfast_set_warnings(${target})
  list(JOIN ISA_NEEDS " | " needs)
  if(NOT needs)
    set(needs 0)
  endif()
  set(LSTMFAST_ISA_ROWS "${LSTMFAST_ISA_ROWS}LSTMFAST_ISA_ROW(${name}, ${needs})\n" PARENT_SCOPE)
  set(LSTMFAST_ISA_TARGETS ${LSTMFAST_ISA_TARGETS} ${target} PARENT_SCOPE)
endfunction()

lstmfast_add_isa(avx512 ARCH x86_64 GNU -mavx512f -mavx512bw -mavx512dq -mavx512vl -mavx2 -mfma -mf16c -mprefer-vector-width=512
                 MSVC /arch:AVX512 NEEDS kAvx512f kAvx512bw kAvx512dq kAvx512vl kAvx2 kFma kF16c)
lstmfast_add_isa(avx2 ARCH x86_64 GNU -mavx2 -mfma -mf16c MSVC /arch:AVX2 NEEDS kAvx2 kFma kF16c)
lstmfast_add_isa(sse2 ARCH x86_64)
lstmfast_add_isa(neon ARCH aarch64)

file(CONFIGURE OUTPUT ${CMAKE_CURRENT_BINARY_DIR}/generated/isa_list.inc CONTENT "${LSTMFAST_ISA_ROWS}")
