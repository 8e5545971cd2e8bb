//! The columns of the table: each proxy, and the way in which it asks the service.

/// Which proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// The release that the documents ask for.
    Caddy,
    /// Debian's, which is older by years.
    DebianCaddy,
    Nginx,
    Envoy,
    Traefik,
}

impl Program {
    /// As `portcullis snippet` knows it.
    pub const fn snippet(self) -> &'static str {
        match self {
            Self::Caddy | Self::DebianCaddy => "caddy",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
            Self::Traefik => "traefik",
        }
    }
}

/// How the service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reach {
    Address,
    /// Sockets in the file system.
    Socket,
}

#[derive(Debug, PartialEq, Eq)]
pub struct Column {
    pub name: &'static str,
    pub program: Program,
    pub reach: Reach,
}

pub const COLUMNS: [Column; 9] = [
    column("Caddy", Program::Caddy, Reach::Address),
    column("Caddy 2.6", Program::DebianCaddy, Reach::Address),
    column("nginx", Program::Nginx, Reach::Address),
    column("Envoy", Program::Envoy, Reach::Address),
    column("Traefik", Program::Traefik, Reach::Address),
    column("Caddy, socket", Program::Caddy, Reach::Socket),
    column("Caddy 2.6, socket", Program::DebianCaddy, Reach::Socket),
    column("nginx, socket", Program::Nginx, Reach::Socket),
    column("Envoy, socket", Program::Envoy, Reach::Socket),
];

const fn column(name: &'static str, program: Program, reach: Reach) -> Column {
    Column {
        name,
        program,
        reach,
    }
}
