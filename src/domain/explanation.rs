//! The decision about one request, told step by step.
