//! What comes of renewing a session.

/// What came of renewing one session. There is one for each attempt, and for each session that is found to be over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RefreshResult {
    /// The tokens are new.
    Renewed,
    /// Another attempt had renewed the tokens, and could not have the session say so. Now it does.
    Completed,
    /// The provider was not there, or its answer is not believed. The session is kept for now.
    Unavailable,
    /// The provider refuses, for a reason that is not the person's. The session is kept for now.
    Misconfigured,
    /// Its tokens do not open. The session is kept for now.
    TokensUnreadable,
    /// The store did not take what was to be written.
    NotStored,
    /// Somebody else has the lease by now, or has written other tokens.
    Overtaken,
    /// The session had ended meanwhile, and stays so.
    SessionGone,
    /// Ended: the provider has ended the grant.
    GrantEnded,
    /// Ended: the answer was about another person, or from another issuer.
    AnotherSubject,
    /// Ended: renewing has failed for as long as it may.
    GraceOver,
    /// Ended: its tokens are gone from the store.
    TokensGone,
    /// Ended: the access token has lapsed, there is no refresh token, and `session.without_refresh` is `"token"`.
    TokenLapsed,
}

impl RefreshResult {
    /// A stable name for logs and metrics.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Renewed => "renewed",
            Self::Completed => "completed",
            Self::Unavailable => "provider_unavailable",
            Self::Misconfigured => "misconfigured",
            Self::TokensUnreadable => "tokens_unreadable",
            Self::NotStored => "not_stored",
            Self::Overtaken => "overtaken",
            Self::SessionGone => "session_gone",
            Self::GrantEnded => "grant_ended",
            Self::AnotherSubject => "another_subject",
            Self::GraceOver => "grace_over",
            Self::TokensGone => "tokens_gone",
            Self::TokenLapsed => "token_lapsed",
        }
    }

    /// Whether the session ended by it.
    #[must_use]
    pub const fn is_end(self) -> bool {
        matches!(
            self,
            Self::GrantEnded
                | Self::AnotherSubject
                | Self::GraceOver
                | Self::TokensGone
                | Self::TokenLapsed
        )
    }
}
