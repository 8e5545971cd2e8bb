//! What can be wrong with an answer of the provider.

use std::time::Duration;

/// What only the relying party asks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Metadata,
    Keys,
    Token,
    Userinfo,
}

impl Endpoint {
    pub fn of(path: &str) -> Option<Self> {
        let path = path.split_once('?').map_or(path, |(path, _)| path);
        match path {
            "/.well-known/openid-configuration" => Some(Self::Metadata),
            "/.well-known/jwks.json" => Some(Self::Keys),
            "/api/oidc/token" => Some(Self::Token),
            "/api/oidc/userinfo" => Some(Self::Userinfo),
            _ => None,
        }
    }
}

/// What becomes of an answer.
#[derive(Clone, Debug)]
pub enum Fault {
    /// This takes its place: status line without the version, further header lines, body.
    Instead {
        status: &'static str,
        headers: &'static str,
        body: Vec<u8>,
    },
    /// The connection is reset.
    Reset,
    /// Half of it comes, then the connection ends.
    Truncated,
    /// Nothing comes.
    Hang,
    /// It comes byte by byte.
    Drip,
    /// It comes this much later.
    Late(Duration),
    /// More comes than anybody wants.
    Huge,
}

impl Fault {
    /// An answer with a body and no further headers.
    pub fn answer(status: &'static str, body: &str) -> Self {
        Self::Instead {
            status,
            headers: "",
            body: body.as_bytes().to_vec(),
        }
    }
}
