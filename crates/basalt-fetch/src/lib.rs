//! The network and the content store: HTTP, Debian repositories, verification.
