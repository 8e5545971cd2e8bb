//! The files with which people deploy it, as far as that needs no container engine and no NixOS.
//! `make compose-test` runs the compose file itself.

mod caddyfile;
mod compose;
mod configuration;
mod dockerfile;
mod nixos;
mod ports;
mod prometheus;
mod snippets;
mod spelling;
mod support;
mod systemd;
mod traefik;
