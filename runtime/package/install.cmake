# What `cmake --install` puts in place, and `cpack -G DEB` into a package: programs with man pages and completion, the
# shared library with its header runtime/lvt.h, pkg-config and CMake files, models, what there is to read.

# One component a package: Open MPI is asked of those alone who train in several processes.
set(CMAKE_INSTALL_DEFAULT_COMPONENT_NAME lvt)

# Before 1.0 every minor version may change the interface, so the shared object's name carries it.
foreach(unit base ir program kernels session data continual report)
  list(APPEND lvt_objects $<TARGET_OBJECTS:lvt_${unit}>)
endforeach()
add_library(lvt SHARED ${lvt_objects})
target_link_libraries(lvt PRIVATE ${PROTOBUF_C_LIBRARY} ${DNNL_LIBRARY} ${CMAKE_DL_LIBS} PkgConfig::PNG PkgConfig::JPEG PkgConfig::ZLIB
                                  PkgConfig::CJSON $<$<BOOL:${WEBP_FOUND}>:PkgConfig::WEBP> OpenMP::OpenMP_C m)
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
if(LVT_JIT)
  install(TARGETS lvt_codegen LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR} NAMELINK_SKIP)
endif()
install(TARGETS lvtc lvt-run RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
if(TARGET lvt-mpi)
  install(TARGETS lvt-mpi LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}/lvt COMPONENT mpi)
endif()
# All that is installed, without the tests.
add_custom_target(programs DEPENDS lvtc lvt-run lvt $<$<TARGET_EXISTS:lvt_codegen>:lvt_codegen> $<$<TARGET_EXISTS:lvt-mpi>:lvt-mpi>)
# The public interface: lvt.h and what it includes, nothing else of ir. tests/install compares this with what the shared
# library exports.
install(FILES runtime/lvt.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lvt)
install(FILES ir/base/diag.h ir/base/version.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lvt/ir/base)
install(FILES ir/type.h DESTINATION ${CMAKE_INSTALL_INCLUDEDIR}/lvt/ir)
install(DIRECTORY models/ DESTINATION ${CMAKE_INSTALL_DATADIR}/lvt/models FILES_MATCHING PATTERN "*.lvt" PATTERN "*.sweep")
install(FILES frontend/lvtc/lvtc.1 runtime/command/lvt-run.1 DESTINATION ${CMAKE_INSTALL_MANDIR}/man1)
foreach(program lvtc lvt-run) # bash looks for a file of the program's name
  install(FILES runtime/package/completion.bash DESTINATION ${CMAKE_INSTALL_DATADIR}/bash-completion/completions RENAME ${program})
endforeach()

# The Python module: nothing to compile. It is told where the library lies from where it lies itself.
option(LVT_PYTHON "install the Python module" ON)
set(LVT_PYTHON_DIR lib/python3/dist-packages CACHE STRING "where it goes, below the prefix")
if(LVT_PYTHON)
  file(RELATIVE_PATH library_from_module /${LVT_PYTHON_DIR}/lvt /${CMAKE_INSTALL_LIBDIR})
  file(WRITE ${CMAKE_BINARY_DIR}/_where.py
       "LIBRARY = \"${library_from_module}/liblvt.so.${PROJECT_VERSION_MAJOR}.${PROJECT_VERSION_MINOR}\"\n")
  install(DIRECTORY runtime/python/lvt DESTINATION ${LVT_PYTHON_DIR} FILES_MATCHING PATTERN "*.py" PATTERN "py.typed"
          PATTERN "__pycache__" EXCLUDE)
  install(FILES ${CMAKE_BINARY_DIR}/_where.py DESTINATION ${LVT_PYTHON_DIR}/lvt)
endif()

# What there is to read, in folders as here, so that links lead on: README.md, frontend/README.md (the language),
# models/README.md and so on; the example; the licence.
file(GLOB_RECURSE documents CONFIGURE_DEPENDS RELATIVE ${CMAKE_SOURCE_DIR} README.md frontend/*.md ir/*.md models/*.md passes/*.md
     runtime/*.md tests/*.md)
foreach(document ${documents})
  get_filename_component(folder ${document} DIRECTORY)
  install(FILES ${document} DESTINATION ${CMAKE_INSTALL_DOCDIR}/${folder})
endforeach()
install(FILES tests/install/user.c DESTINATION ${CMAKE_INSTALL_DOCDIR}/examples)
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR})
install(FILES LICENSE DESTINATION ${CMAKE_INSTALL_DOCDIR} RENAME copyright)

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

# ---- packages: cpack -G DEB in the build folder -------------------------------------------------------------------
# What they depend on is read from what is linked; so a package is for the release of Debian that it was made on.
set(CPACK_GENERATOR DEB)
set(CPACK_PACKAGE_NAME lvt)
set(CPACK_PACKAGE_CONTACT "lvt <lvt@localhost>")
set(CPACK_PACKAGE_VERSION ${PROJECT_VERSION})
set(CPACK_PACKAGE_DESCRIPTION_SUMMARY ${PROJECT_DESCRIPTION})
set(CPACK_PACKAGING_INSTALL_PREFIX /usr)
set(CPACK_STRIP_FILES ON)
set(CPACK_COMPONENTS_ALL lvt)
set(CPACK_COMPONENT_LVT_DESCRIPTION "The compiler lvtc, lvt-run, the library with its header, models and what there is to read.")
if(TARGET lvt-mpi)
  list(APPEND CPACK_COMPONENTS_ALL mpi)
  set(CPACK_COMPONENT_MPI_DESCRIPTION "Training in several processes, under mpirun.")
endif()
set(CPACK_DEB_COMPONENT_INSTALL ON)
set(CPACK_DEBIAN_FILE_NAME DEB-DEFAULT)
set(CPACK_DEBIAN_LVT_PACKAGE_NAME lvt)
set(CPACK_DEBIAN_MPI_PACKAGE_NAME lvt-mpi)
set(CPACK_DEBIAN_PACKAGE_SECTION science)
set(CPACK_DEBIAN_PACKAGE_SHLIBDEPS ON)
set(CPACK_DEBIAN_PACKAGE_CONTROL_STRICT_PERMISSION ON)
set(CPACK_DEBIAN_LVT_PACKAGE_SUGGESTS "lvt-mpi, pkg-config, bash-completion, python3-numpy")
set(CPACK_DEBIAN_MPI_PACKAGE_DEPENDS "lvt (= ${PROJECT_VERSION})")
include(CPack)
