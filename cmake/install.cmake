# What `cmake --install` leaves: the programs, and the library as one archive with the headers of its public face, found
# by find_package(transport_informer). Its users need neither Boost nor simdjson's headers.
#
#   cmake --install build/release --prefix PREFIX [--component library | --component programs]
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)
# What the folders found is known in their scopes only.
find_package(CURL REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(yaml-cpp REQUIRED)
pkg_check_modules(mosquitto REQUIRED IMPORTED_TARGET libmosquitto)

# All folders that a target stands on, itself included, and what they link of others.
function(tinf_reachable target out_folders out_others)
  set(folders ${target})
  set(others)
  set(waiting ${target})
  while(waiting)
    list(POP_FRONT waiting next)
    get_target_property(links ${next} LINK_LIBRARIES)
    foreach(link IN LISTS links)
      if(link MATCHES "BUILD_INTERFACE|^Boost::headers$")  # Flags; and headers that no header of the face includes.
        continue()
      elseif(NOT link MATCHES "^tinf_")
        list(APPEND others ${link})
      elseif(NOT link IN_LIST folders)
        list(APPEND folders ${link})
        list(APPEND waiting ${link})
      endif()
    endforeach()
  endwhile()
  list(REMOVE_DUPLICATES others)
  set(${out_folders} ${folders} PARENT_SCOPE)
  set(${out_others} ${others} PARENT_SCOPE)
endfunction()

tinf_reachable(tinf_sdk folders others)
list(TRANSFORM folders REPLACE "(.+)" "$<TARGET_OBJECTS:\\1>" OUTPUT_VARIABLE objects)
add_library(transport_informer STATIC ${objects})
set_target_properties(transport_informer PROPERTIES EXPORT_NAME sdk LINKER_LANGUAGE CXX)
target_compile_features(transport_informer INTERFACE cxx_std_20)
target_link_libraries(transport_informer PRIVATE ${others})
target_sources(transport_informer INTERFACE FILE_SET HEADERS BASE_DIRS ${PROJECT_SOURCE_DIR} FILES
  ${PROJECT_SOURCE_DIR}/tinf/base/error.h
  ${PROJECT_SOURCE_DIR}/tinf/base/log.h
  ${PROJECT_SOURCE_DIR}/tinf/base/result.h
  ${PROJECT_SOURCE_DIR}/tinf/object/object.h
  ${PROJECT_SOURCE_DIR}/tinf/sdk/client.h
  ${PROJECT_SOURCE_DIR}/tinf/sdk/cluster.h
  ${PROJECT_SOURCE_DIR}/tinf/sdk/controller.h
  ${PROJECT_SOURCE_DIR}/tinf/sdk/informer.h
  ${PROJECT_SOURCE_DIR}/tinf/sdk/work_queue.h)

set(package_folder ${CMAKE_INSTALL_LIBDIR}/cmake/transport_informer)
install(TARGETS transport_informer EXPORT transport_informer
  ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR} COMPONENT library
  FILE_SET HEADERS DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} COMPONENT library)
install(EXPORT transport_informer NAMESPACE tinf:: DESTINATION ${package_folder} FILE transport_informer-targets.cmake COMPONENT library)
write_basic_package_version_file(${PROJECT_BINARY_DIR}/transport_informer-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${PROJECT_SOURCE_DIR}/cmake/transport_informer-config.cmake ${PROJECT_BINARY_DIR}/transport_informer-config-version.cmake
  DESTINATION ${package_folder} COMPONENT library)

if(TINF_BUILD_DAEMONS)
  install(TARGETS provider informer devcluster RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR} COMPONENT programs)
endif()

if(TINF_BUILD_TESTS)
  add_test(NAME InstalledLibrary.IsFoundBuiltAgainstAndRun COMMAND ${CMAKE_COMMAND}
    -D BUILD=${PROJECT_BINARY_DIR} -D CONSUMER=${PROJECT_SOURCE_DIR}/tests/install -D COMPILER=${CMAKE_CXX_COMPILER}
    -D GENERATOR=${CMAKE_GENERATOR} -D SANITIZE=${TINF_SANITIZE} -P ${PROJECT_SOURCE_DIR}/tests/install/install_test.cmake)
  set_tests_properties(InstalledLibrary.IsFoundBuiltAgainstAndRun PROPERTIES TIMEOUT 300 LABELS unit)
endif()
