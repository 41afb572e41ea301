# One library a folder, its tests beside it: the two functions that every folder's CMakeLists.txt is made of.

# The precompiled headers: Asio and the standard library for the sources, with GoogleTest for the tests.
add_library(tinf_pch STATIC ${PROJECT_SOURCE_DIR}/cmake/pch.cpp)
target_precompile_headers(tinf_pch PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.h)
target_link_libraries(tinf_pch PRIVATE Boost::headers Threads::Threads tinf_flags)

if(TINF_BUILD_TESTS)
  add_library(tinf_test_pch STATIC ${PROJECT_SOURCE_DIR}/cmake/pch.cpp)
  target_precompile_headers(tinf_test_pch PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch.h <gmock/gmock.h> <gtest/gtest.h>)
  target_link_libraries(tinf_test_pch PRIVATE Boost::headers Threads::Threads GTest::gmock tinf_flags)
endif()

# tinf_library(<folder> SOURCES … [USES folders below …] [LINKS libraries in headers …] [PRIVATE_LINKS …])
function(tinf_library name)
  cmake_parse_arguments(arg "" "" "SOURCES;USES;LINKS;PRIVATE_LINKS" ${ARGN})
  add_library(tinf_${name} STATIC ${arg_SOURCES})
  add_library(tinf::${name} ALIAS tinf_${name})
  set_target_properties(tinf_${name} PROPERTIES EXPORT_NAME ${name})
  target_include_directories(tinf_${name} PUBLIC
    $<BUILD_INTERFACE:${PROJECT_SOURCE_DIR}> $<INSTALL_INTERFACE:include>)
  list(TRANSFORM arg_USES PREPEND tinf_)
  target_link_libraries(tinf_${name} PUBLIC ${arg_USES} ${arg_LINKS} PRIVATE ${arg_PRIVATE_LINKS} $<BUILD_INTERFACE:tinf_flags>)
  target_precompile_headers(tinf_${name} REUSE_FROM tinf_pch)
endfunction()

# tinf_tests(<folder> test sources … [WHOLE] [USES folders …] [LINKS libraries …]): one program, each test known to ctest;
# WHOLE: run as one, as its tests share a server that takes seconds to start.
function(tinf_tests name)
  if(NOT TINF_BUILD_TESTS)
    return()
  endif()
  cmake_parse_arguments(arg "WHOLE" "" "USES;LINKS" ${ARGN})
  add_executable(${name}_test ${arg_UNPARSED_ARGUMENTS})
  list(TRANSFORM arg_USES PREPEND tinf_)
  if(TARGET tinf_${name})
    list(APPEND arg_USES tinf_${name})
  endif()
  target_link_libraries(${name}_test PRIVATE ${arg_USES} ${arg_LINKS} GTest::gmock GTest::gtest_main tinf_flags)
  target_precompile_headers(${name}_test REUSE_FROM tinf_test_pch)
  if(arg_WHOLE)
    add_test(NAME ${name}_test COMMAND ${name}_test)
    set_tests_properties(${name}_test PROPERTIES TIMEOUT 600 LABELS unit)
  else()
    gtest_discover_tests(${name}_test DISCOVERY_MODE PRE_TEST PROPERTIES TIMEOUT 120 LABELS unit)
  endif()
endfunction()

# tinf_daemon(<name> [USES folders …]): daemons/<name>/main.cpp as bin/<name>.
function(tinf_daemon name)
  cmake_parse_arguments(arg "" "" "USES" ${ARGN})
  add_executable(${name} ${PROJECT_SOURCE_DIR}/daemons/${name}/main.cpp)
  list(TRANSFORM arg_USES PREPEND tinf_)
  target_link_libraries(${name} PRIVATE ${arg_USES} tinf_flags)
  target_precompile_headers(${name} REUSE_FROM tinf_pch)
  set_target_properties(${name} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/bin)
endfunction()
