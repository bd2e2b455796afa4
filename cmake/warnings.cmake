# SPDX-License-Identifier: BSD-3-Clause
option(LSTMFAST_WERROR "Treat warnings as errors" OFF)

function(lstmfast_set_warnings target)
  if(MSVC)
    target_compile_options(${target} PRIVATE /W4 $<$<BOOL:${LSTMFAST_WERROR}>:/WX>)
  else()
    target_compile_options(${target} PRIVATE -Wall -Wextra -Wshadow -Wno-psabi -Wno-unknown-pragmas
                                             $<$<BOOL:${LSTMFAST_WERROR}>:-Werror>)
  endif()
endfunction()
