# room(NAME PATH USES rooms... LIBRARIES imported... SOURCES files...)
#
# Makes the static library NAME of the folder PATH. Every room has an include root of its own that
# holds nothing but a link to its folder, so `#include "core/mail/address.h"` compiles only in rooms
# that list core_mail (directly or through a room they use): the layering is enforced by the build.
function(room name path)
  cmake_parse_arguments(ROOM "" "" "USES;LIBRARIES;SOURCES" ${ARGN})
  set(root ${CMAKE_BINARY_DIR}/include_roots/${name})
  cmake_path(GET path PARENT_PATH parent)
  file(MAKE_DIRECTORY ${root}/${parent})
  file(CREATE_LINK ${CMAKE_SOURCE_DIR}/${path} ${root}/${path} SYMBOLIC)
  if(ROOM_SOURCES)
    add_library(${name} STATIC ${ROOM_SOURCES})
    set(scope PUBLIC)
    relayd_warnings(${name})
  else()
    add_library(${name} INTERFACE)
    set(scope INTERFACE)
  endif()
  target_include_directories(${name} ${scope} ${root})
  target_link_libraries(${name} ${scope} ${ROOM_USES} ${ROOM_LIBRARIES} Threads::Threads)
endfunction()

function(relayd_warnings target)
  target_compile_options(${target} PRIVATE -Wall -Wextra -Wconversion -Wshadow -Werror)
endfunction()

# room_test(NAME ROOM...): the executable test_NAME from tests/NAME/*.cc, one CTest entry. The target
# unit_tests builds all of them.
function(room_test name)
  file(GLOB sources CONFIGURE_DEPENDS ${CMAKE_SOURCE_DIR}/tests/${name}/*.cc)
  if(NOT sources)
    return()
  endif()
  add_executable(test_${name} ${sources})
  relayd_warnings(test_${name})
  target_include_directories(test_${name} PRIVATE ${CMAKE_SOURCE_DIR}/tests)
  # Where the tests lie, for those that read files; the others compile alike in every checkout.
  foreach(source IN LISTS sources)
    file(STRINGS ${source} uses REGEX RELAYD_TESTS_DIR LIMIT_COUNT 1)
    if(uses)
      set_property(SOURCE ${source} APPEND PROPERTY
        COMPILE_DEFINITIONS RELAYD_TESTS_DIR="${CMAKE_SOURCE_DIR}/tests")
    endif()
  endforeach()
  target_link_libraries(test_${name} PRIVATE ${ARGN} GTest::gtest GTest::gmock GTest::gtest_main)
  add_dependencies(unit_tests test_${name})
  add_test(NAME ${name} COMMAND test_${name})
  set_tests_properties(${name} PROPERTIES TIMEOUT 300)
endfunction()
