//! Who somebody is: the pair of issuer and subject, and what the issuer says about them.

use serde::{Deserialize, Serialize};

/// A signed-in person, as their issuer describes them.
///
/// The pair `(issuer, subject)` alone names the person (OIDC Core §5.7); everything else is an
/// attribute, and several of them can be changed by their owner at some providers.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// The issuer, exactly as in its ID tokens (`iss`).
    pub issuer: String,
    /// The issuer's name for the person (`sub`): stable, and never given to anybody else.
    pub subject: String,
    /// The claim that the configuration names as user name (`preferred_username` by default).
    pub username: Option<String>,
    /// The display name (`name`).
    pub name: Option<String>,
    /// The mail address, only where the issuer says that it is verified (`email_verified`), or the
    /// operator has decided to trust unverified ones.
    pub email: Option<String>,
    /// The names of the groups, as sent: case and blanks are significant.
    pub groups: Vec<String>,
}

impl Identity {
    /// Whether the person is in the group `name`. Names compare byte for byte.
    #[must_use]
    pub fn is_member_of(&self, name: &str) -> bool {
        self.groups.iter().any(|group| group == name)
    }
}
