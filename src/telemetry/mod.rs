//! What the program says about itself: logs and audit events. Every layer but `domain` may speak here.

pub mod audit;
pub mod subscriber;
