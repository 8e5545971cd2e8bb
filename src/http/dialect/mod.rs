//! How proxies ask, one file a dialect. Each reads only its own headers, and no other spelling of them.

pub(super) mod caddy_traefik;
