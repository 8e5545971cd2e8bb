//! Flows against the real code, beside an issuer and a clock of the test's own: one binary, a file
//! for each subject.

mod audit;
mod backchannel;
mod control;
mod cookies;
mod dialects;
mod discovery;
mod envoy;
mod full_disk;
mod hostile;
mod id_token;
mod known_faults;
mod limits;
mod login;
mod login_edges;
mod logout;
mod markup;
mod metrics;
mod nginx;
mod pages;
mod patterns;
mod provider;
mod redis;
mod redis_outages;
mod refresh;
mod replicas;
mod replicas_behind_caddy;
mod seed;
mod sockets;
mod step_up;
mod stopping;
mod store_file;
mod support;
mod upgrades;
mod verify;
mod verify_edges;
