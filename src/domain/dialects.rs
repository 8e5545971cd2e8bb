//! The dialects in which proxies ask: which of them are answered here.

/// How a kind of proxy describes a request, and which answers it takes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dialect {
    /// Caddy's `forward_auth` and Traefik's ForwardAuth.
    ForwardAuth,
    /// nginx's `auth_request`.
    Nginx,
    /// Envoy's `ext_authz`, over HTTP.
    Envoy,
}

impl Dialect {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::ForwardAuth, Self::Nginx, Self::Envoy];

    /// As the operator writes it.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ForwardAuth => "forward-auth",
            Self::Nginx => "nginx",
            Self::Envoy => "envoy",
        }
    }

    /// Below which path it is asked.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::ForwardAuth => "/verify",
            Self::Nginx => "/verify/nginx",
            Self::Envoy => "/verify/envoy",
        }
    }

    /// Where it is asked, for a sentence.
    #[must_use]
    pub const fn asked_at(self) -> &'static str {
        match self {
            Self::ForwardAuth => "/verify, or /verify/policy/ and a name",
            Self::Nginx => "/verify/nginx, or /verify/nginx/policy/ and a name",
            Self::Envoy => "/verify/envoy and the path that was asked for",
        }
    }
}

/// The dialects that are answered; never none.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dialects(Vec<Dialect>);

impl Dialects {
    /// Answers these; `None` for none at all.
    #[must_use]
    pub fn new(dialects: Vec<Dialect>) -> Option<Self> {
        (!dialects.is_empty()).then_some(Self(dialects))
    }

    /// Whether `dialect` is answered.
    #[must_use]
    pub fn hold(&self, dialect: Dialect) -> bool {
        self.0.contains(&dialect)
    }

    /// Each of them.
    pub fn iter(&self) -> impl Iterator<Item = Dialect> {
        self.0.iter().copied()
    }
}

impl Default for Dialects {
    fn default() -> Self {
        Self(vec![Dialect::ForwardAuth])
    }
}
