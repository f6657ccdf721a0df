# The operator's program. It shares the reader of apply files with the admin room; of the libraries
# behind that room it keeps only what it calls.
pkg_check_modules(RELAYCTL_CURL REQUIRED IMPORTED_TARGET GLOBAL libcurl)
find_package(nlohmann_json REQUIRED)
add_executable(relayctl
  relayctl.cc
  relayctl_apply.cc
  relayctl_check.cc
  relayctl_client.cc
  relayctl_files.cc
  relayctl_print.cc
  relayctl_queue.cc
  relayctl_salvage.cc
  relayctl_trail.cc
  relayctl_verbs.cc
)
relayd_warnings(relayctl)
# Headers of this folder, by the include root of the room `configuration`, which lies here too.
target_include_directories(relayctl PRIVATE ${CMAKE_BINARY_DIR}/include_roots/configuration)
target_compile_definitions(relayctl PRIVATE RELAYD_VERSION="${PROJECT_VERSION}")
target_link_libraries(relayctl PRIVATE
  admin ingress CLI11::CLI11 PkgConfig::RELAYCTL_CURL PkgConfig::TOMLPLUSPLUS nlohmann_json::nlohmann_json)
target_link_options(relayctl PRIVATE -Wl,--as-needed)
# The tests of the admin room drive the real server with libcurl and with this program.
function(relayctl_complete_tests)
  if(TARGET test_admin)
    add_dependencies(test_admin relayctl)
    target_link_libraries(test_admin PRIVATE PkgConfig::RELAYCTL_CURL)
  endif()
endfunction()
cmake_language(DEFER DIRECTORY ${CMAKE_SOURCE_DIR} CALL relayctl_complete_tests)
