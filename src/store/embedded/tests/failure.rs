//! A disk that is full, or broken, for a while.
