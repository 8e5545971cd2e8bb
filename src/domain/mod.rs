//! Values and decisions. Nothing below knows async, a clock, a socket or a framework: what a rule
//! needs comes in as an argument.

pub mod authentication;
pub mod cookie_scope;
pub mod decision;
pub mod dialects;
pub mod explanation;
pub mod forwarded;
pub mod header_plan;
pub mod host;
pub mod identity;
pub mod identity_headers;
pub mod judgement_words;
pub mod navigation;
pub mod path_pattern;
pub mod paths;
pub mod plain_path;
pub mod policy;
pub mod proxies;
pub mod reason;
pub mod redis_settings;
pub mod relying_party;
pub mod renewal;
pub mod return_to;
pub mod rules;
pub mod same_origin;
pub mod service;
pub mod service_host;
pub mod service_table;
pub mod session;
pub mod session_key;
pub mod target;
pub mod telling;
pub mod time;
pub mod upstream_key;
