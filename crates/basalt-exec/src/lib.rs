//! The door to the host: subprocesses, files, sandbox, block devices, device-mapper, mounts.
