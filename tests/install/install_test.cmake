# Installs the library into a folder of its own, builds a project against it that knows nothing of this tree, and runs it.
set(work ${BUILD}/install_test)
file(REMOVE_RECURSE ${work})

function(run)
  execute_process(COMMAND ${ARGV} RESULT_VARIABLE status OUTPUT_VARIABLE output ERROR_VARIABLE output)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${ARGV}\nended with ${status}:\n${output}")
  endif()
  set(output "${output}" PARENT_SCOPE)
endfunction()

run(${CMAKE_COMMAND} --install ${BUILD} --prefix ${work}/prefix --component library)
set(flags)
if(SANITIZE)
  set(flags -D CMAKE_CXX_FLAGS=-fsanitize=${SANITIZE})
endif()
run(${CMAKE_COMMAND} -S ${CONSUMER} -B ${work}/build -G ${GENERATOR} -D CMAKE_CXX_COMPILER=${COMPILER}
  -D CMAKE_PREFIX_PATH=${work}/prefix -D CMAKE_BUILD_TYPE=Debug ${flags})
file(READ ${work}/build/compile_commands.json commands)
if(commands MATCHES "${CONSUMER}/\\.\\.|[ =]-I *${CONSUMER}" OR NOT commands MATCHES "${work}/prefix/include")
  message(FATAL_ERROR "the consumer is not built against the installed headers:\n${commands}")
endif()
run(${CMAKE_COMMAND} --build ${work}/build)

# Every header that the consumer's source leads to.
run(${COMPILER} -std=c++20 -M -I ${work}/prefix/include ${CONSUMER}/main.cpp)
if(output MATCHES "[^ \n]*(boost/|simdjson|mosquitto|curl/|yaml-cpp|openssl/)[^ \n]*")
  message(FATAL_ERROR "the installed headers bring a third party's along: ${CMAKE_MATCH_0}")
endif()
run(${work}/build/consumer)
