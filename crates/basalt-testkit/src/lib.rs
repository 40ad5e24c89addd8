//! For tests only: virtual machines, fakes, local mirrors.
