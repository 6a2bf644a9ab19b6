//! What cannot be added.
