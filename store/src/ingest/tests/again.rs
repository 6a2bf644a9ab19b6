//! Adding what was added before.
