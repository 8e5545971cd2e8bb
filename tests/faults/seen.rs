//! What one answer was, and what is wrong with it whatever else holds.

use reqwest::header::HeaderMap;

/// What became of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Seen {
    /// 2xx.
    Pass,
    /// 302 to the login, or 401.
    SignIn,
    /// 403.
    Forbidden,
    /// 503.
    Unavailable,
    /// 500: what a handler comes to that breaks down.
    Broken,
    /// What a proxy answers whose gate is not there.
    NoGate,
    /// No answer at all: the connection was refused or broken, or the time was over.
    NoAnswer,
    /// Anything else.
    Other(u16),
}

/// An answer as it came.
pub struct Answer<'a> {
    pub status: u16,
    pub headers: &'a HeaderMap,
    pub body: &'a str,
}

/// Words that stand on no page: the insides of the service and of what it depends on.
const INSIDES: [&str; 9] = [
    "redis",
    "redb",
    "127.0.0.1",
    ".rs:",
    "panicked",
    "backtrace",
    "os error",
    "secret_file",
    "client_secret",
];

impl Answer<'_> {
    fn header(&self, name: &str) -> &str {
        let value = self.headers.get(name);
        value
            .and_then(|value| value.to_str().ok())
            .unwrap_or_default()
    }

    /// `login` is what the address of a login begins with.
    pub fn seen(&self, login: &str) -> Seen {
        match self.status {
            200..=299 => Seen::Pass,
            302 if self.header("location").starts_with(login) => Seen::SignIn,
            401 => Seen::SignIn,
            403 => Seen::Forbidden,
            503 => Seen::Unavailable,
            500 if self.headers.contains_key("cache-control") => Seen::Broken,
            // Caddy answers 502, Traefik 500 without a word.
            500 | 502 | 504 => Seen::NoGate,
            other => Seen::Other(other),
        }
    }

    /// What is wrong with an answer of the service, seen by itself. `secrets` may stand on no page.
    pub fn complaint(&self, secrets: &[String]) -> Option<String> {
        if !self.header("cache-control").contains("no-store") {
            return Some(format!("{} without Cache-Control: no-store", self.status));
        }
        if self.status == 503 && self.header("retry-after").parse::<u32>().is_err() {
            return Some("503 without Retry-After".to_owned());
        }
        let lower = self.body.to_ascii_lowercase();
        let inside = INSIDES.iter().find(|word| lower.contains(*word));
        if let Some(word) = inside {
            return Some(format!("`{word}` on a page with status {}", self.status));
        }
        let told = secrets
            .iter()
            .any(|secret| self.body.contains(secret.as_str()));
        told.then(|| format!("a secret on a page with status {}", self.status))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Who {
    /// Nobody, at a protected page.
    Anonymous,
    /// Signed in, without the group.
    Groupless,
    /// The cookie of a session that was signed out of.
    LoggedOut,
    /// Signed in, with the group.
    Valid,
    /// Nobody, at a page that is open.
    Bypassed,
}

impl Who {
    pub const ALL: [Self; 5] = [
        Self::Anonymous,
        Self::Groupless,
        Self::LoggedOut,
        Self::Valid,
        Self::Bypassed,
    ];

    /// Whether this one may ever get in.
    pub fn may_pass(self) -> bool {
        matches!(self, Self::Valid | Self::Bypassed)
    }
}

/// What each of them may come to see in a phase.
#[derive(Clone, Copy, Debug)]
pub struct Expect {
    pub valid: &'static [Seen],
    pub groupless: &'static [Seen],
    pub logged_out: &'static [Seen],
    pub anonymous: &'static [Seen],
    pub bypassed: &'static [Seen],
}

impl Expect {
    /// All is well.
    pub const CALM: Self = Self {
        valid: &[Seen::Pass],
        groupless: &[Seen::Forbidden],
        logged_out: &[Seen::SignIn],
        anonymous: &[Seen::SignIn],
        bypassed: &[Seen::Pass],
    };
    /// The store cannot tell who anybody is. Nobody is sent to sign in who may be signed in.
    pub const STORE_DOWN: Self = Self {
        valid: &[Seen::Unavailable],
        groupless: &[Seen::Unavailable],
        logged_out: &[Seen::Unavailable],
        ..Self::CALM
    };
    /// The store comes and goes.
    pub const STORE_SHAKY: Self = Self {
        valid: &[Seen::Pass, Seen::Unavailable],
        groupless: &[Seen::Forbidden, Seen::Unavailable],
        logged_out: &[Seen::SignIn, Seen::Unavailable],
        ..Self::CALM
    };
    /// Every session is gone.
    pub const SIGNED_OUT: Self = Self {
        valid: &[Seen::SignIn],
        groupless: &[Seen::SignIn],
        ..Self::CALM
    };

    pub fn allows(&self, who: Who, seen: Seen) -> bool {
        let allowed = match who {
            Who::Valid => self.valid,
            Who::Groupless => self.groupless,
            Who::LoggedOut => self.logged_out,
            Who::Anonymous => self.anonymous,
            Who::Bypassed => self.bypassed,
        };
        allowed.contains(&seen)
    }
}
