//! Values and decisions. Nothing below knows async, a clock, a socket or a framework: what a rule
//! needs comes in as an argument.

pub mod identity;
pub mod time;
