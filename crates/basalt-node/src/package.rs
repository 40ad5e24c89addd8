//! What the package that carries the node programs holds.
