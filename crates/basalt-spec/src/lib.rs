//! What people write and what we write for them: Recipe, Lock, Manifest.
