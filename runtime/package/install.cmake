# What `cmake --install` puts in place: programs, the shared library with the public C API (runtime/lvt.h and the
# headers of ir it needs), headers, pkg-config and CMake files, models, man pages.

# Before 1.0 every minor version may change the interface, so the shared object's name carries it.
foreach(unit base ir program kernels session data continual report)
  list(APPEND lvt_objects $<TARGET_OBJECTS:lvt_${unit}>)
endforeach()
add_library(lvt SHARED ${lvt_objects})
target_link_libraries(lvt PRIVATE ${PROTOBUF_C_LIBRARY} ${DNNL_LIBRARY} ${CMAKE_DL_LIBS} PkgConfig::PNG PkgConfig::JPEG PkgConfig::ZLIB
                                  PkgConfig::CJSON OpenMP::OpenMP_C m)
target_link_options(lvt PRIVATE -Wl,--version-script=${CMAKE_SOURCE_DIR}/runtime/package/liblvt.map
                                $<$<NOT:$<BOOL:${LVT_SANITIZE}>>:-Wl,--no-undefined>)
set_target_properties(lvt PROPERTIES LINKER_LANGUAGE C VERSION ${PROJECT_VERSION} SOVERSION ${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}
                                     LINK_DEPENDS ${CMAKE_SOURCE_DIR}/runtime/package/liblvt.map)
target_include_directories(lvt INTERFACE $<INSTALL_INTERFACE:${CMAKE_INSTALL_INCLUDEDIR}/lvt>)

# Each finds the code generator by its own path, wherever the installation lies.
file(RELATIVE_PATH library_from_program /${CMAKE_INSTALL_BINDIR} /${CMAKE_INSTALL_LIBDIR})
set_target_properties(lvt PROPERTIES INSTALL_RPATH $ORIGIN)
set_target_properties(lvt-run PROPERTIES INSTALL_RPATH $ORIGIN/${library_from_program})

install(TARGETS lvt EXPORT lvt-targets LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(TARGETS lvt_codegen LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} NAMELINK_SKIP)
install(TARGETS lvtc lvt-run RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TARGET lvt-mpi)
  install(TARGETS lvt-mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/lvt)
endif()
install(FILES runtime/lvt.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lvt)
install(FILES ir/base/arena.h ir/base/diag.h ir/base/version.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lvt/ir/base)
install(FILES ir/build.h ir/interp.h ir/ir.h ir/op.h ir/ops.def ir/text.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lvt/ir)
install(FILES ir/program/program.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lvt/ir/program)
install(DIRECTORY models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/lvt/models FILES_MATCHING PATTERN "*.lvt" PATTERN "*.sweep")
install(FILES frontend/lvtc/lvtc.1 runtime/command/lvt-run.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
install(FILES LICENSE README.md DESTINATION ${CMAKE_INSTALL_DOCDIR})

# Relative to the file itself, so that an installation may be moved (`cmake --install --prefix`, DESTDIR).
file(RELATIVE_PATH LVT_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
configure_file(runtime/package/lvt.pc.in lvt.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/lvt.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

include(CMakePackageConfigHelpers)
set(config_folder ${CMAKE_INSTALL_LIBDIR}/cmake/lvt)
install(EXPORT lvt-targets NAMESPACE lvt:: DESTINATION ${config_folder})
file(WRITE ${CMAKE_BINARY_DIR}/lvt-config.cmake "include(\${CMAKE_CURRENT_LIST_DIR}/lvt-targets.cmake)\n")
write_basic_package_version_file(${CMAKE_BINARY_DIR}/lvt-config-version.cmake COMPATIBILITY SameMinorVersion)
install(FILES ${CMAKE_BINARY_DIR}/lvt-config.cmake ${CMAKE_BINARY_DIR}/lvt-config-version.cmake DESTINATION ${config_folder})
