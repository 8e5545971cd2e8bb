//! What the program says about itself: logs, audit events and metrics. Every layer but `domain` may speak here.

pub mod audit;
pub mod denials;
pub mod metrics;
pub mod subscriber;
