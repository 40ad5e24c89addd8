//! Debian's own formats and rules: control files, versions, indices, dependencies, .deb archives, the dpkg database.
