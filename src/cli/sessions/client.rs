//! The client of the control socket.

use std::io;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;

use actix_web::rt;
use reqwest::{Method, Response, StatusCode, Url};
use serde::Deserialize;
use serde::de::DeserializeOwned;
use thiserror::Error;

use crate::http::control::SessionList;
use crate::oidc::install_crypto_provider;

/// How long an answer may take. To find the one session whose id begins so, the service may have to look at a million.
const PATIENCE: Duration = Duration::from_secs(120);

/// The longest answer that is read: many times what a step through the sessions comes to.
const MAX_ANSWER: usize = 64 * 1024 * 1024;

/// Why nobody can say what was asked, or do it.
#[derive(Debug, Error)]
pub(super) enum ClientError {
    /// There is nothing.
    #[error(
        "no service listens at {0}: it does not run, or its server.control_socket is another (--socket names one); by \
         itself it makes the socket in /run/portcullis where it has that folder"
    )]
    Missing(PathBuf),
    /// A socket that was left over.
    #[error("no service listens at {0} any more: it does not run")]
    Refused(PathBuf),
    /// The socket is its owner's.
    #[error("{0} may not be opened: run this as root, or as the user that the service runs as")]
    Forbidden(PathBuf),
    /// Anything else.
    #[error("{path} cannot be opened: {cause}")]
    Unusable { path: PathBuf, cause: io::Error },
    /// Too long for a socket, or one that nobody can connect to.
    #[error("the service at {path} does not answer: {reason}")]
    Silent { path: PathBuf, reason: String },
    /// Somebody else, or a version that knows other questions.
    #[error(
        "what listens at {0} does not answer as this version does: it is another version, or not Portcullis"
    )]
    Foreign(PathBuf),
    /// The place to go on from is gone, so the walk has to begin again.
    #[error("{0}")]
    Lost(String),
    /// The service's own word.
    #[error("{0}")]
    Told(String),
}

/// A session that has been ended.
#[derive(Debug, Deserialize)]
pub(super) struct Revoked {
    pub(super) id: String,
    pub(super) subject: Option<String>,
    pub(super) username: Option<String>,
}

#[derive(Deserialize)]
struct RevokedUser {
    ended: usize,
}

/// What the service says when it does not do what it is asked (RFC 9457).
#[derive(Deserialize)]
struct Problem {
    reason: String,
    detail: String,
}

/// Whom to ask.
pub(super) struct Client {
    path: PathBuf,
    http: reqwest::Client,
    runtime: rt::Runtime,
}

impl Client {
    /// A client for the socket `path`, which somebody listens at.
    pub(super) fn connect(path: &Path) -> Result<Self, ClientError> {
        let path = path.to_owned();
        // For the cause, in the system's own words.
        if let Err(cause) = UnixStream::connect(&path) {
            return Err(match cause.kind() {
                io::ErrorKind::NotFound => ClientError::Missing(path),
                io::ErrorKind::ConnectionRefused => ClientError::Refused(path),
                io::ErrorKind::PermissionDenied => ClientError::Forbidden(path),
                _ => ClientError::Unusable { path, cause },
            });
        }
        // The client is able to speak TLS, which nobody asks of it here, so no certificate is looked for.
        install_crypto_provider();
        let http = reqwest::Client::builder()
            .unix_socket(path.clone())
            .tls_certs_only([])
            .redirect(reqwest::redirect::Policy::none())
            .retry(reqwest::retry::never())
            .no_proxy()
            .timeout(PATIENCE)
            .user_agent(concat!("portcullis/", env!("CARGO_PKG_VERSION")))
            .build();
        let http = http.map_err(|error| silent(&path, &error))?;
        let runtime = rt::Runtime::new();
        let runtime = runtime.map_err(|error| silent(&path, &error))?;
        Ok(Self {
            path,
            http,
            runtime,
        })
    }

    /// One step through the sessions: those for which a parameter has a value, where `whose` says so.
    pub(super) fn list(
        &self,
        whose: Option<(&str, &str)>,
        after: Option<&str>,
    ) -> Result<SessionList, ClientError> {
        let after = after.map(|after| ("after", after));
        self.ask(Method::GET, &[], &[whose, after])
    }

    /// Ends the session whose id begins so.
    pub(super) fn revoke(&self, id: &str) -> Result<Revoked, ClientError> {
        self.ask(Method::DELETE, &[id], &[])
    }

    /// Ends all sessions of a person. Tells how many there were.
    pub(super) fn revoke_user(
        &self,
        subject: &str,
        issuer: Option<&str>,
    ) -> Result<usize, ClientError> {
        let whose = [
            Some(("subject", subject)),
            issuer.map(|issuer| ("issuer", issuer)),
        ];
        let revoked: RevokedUser = self.ask(Method::DELETE, &[], &whose)?;
        Ok(revoked.ended)
    }

    /// Asks below `/v1/sessions`.
    fn ask<T: DeserializeOwned>(
        &self,
        method: Method,
        below: &[&str],
        parameters: &[Option<(&str, &str)>],
    ) -> Result<T, ClientError> {
        let mut url = Url::parse("http://localhost/v1/sessions").expect("a URL");
        if let Ok(mut path) = url.path_segments_mut() {
            path.extend(below);
        }
        let parameters: Vec<_> = parameters.iter().flatten().collect();
        if !parameters.is_empty() {
            let mut query = url.query_pairs_mut();
            for (name, value) in parameters {
                query.append_pair(name, value);
            }
        }
        let answer = self.runtime.block_on(async {
            let response = self.http.request(method, url).send().await?;
            let status = response.status();
            Ok((status, read(response).await?))
        });
        let (status, body) = answer.map_err(|error: reqwest::Error| silent(&self.path, &error))?;
        let foreign = || ClientError::Foreign(self.path.clone());
        let body = body.ok_or_else(foreign)?;
        if status == StatusCode::OK {
            return serde_json::from_slice(&body).map_err(|_not_ours| foreign());
        }
        match serde_json::from_slice::<Problem>(&body) {
            Ok(problem) if problem.reason == "unknown_cursor" => {
                Err(ClientError::Lost(problem.detail))
            }
            Ok(problem)
                if !matches!(&*problem.reason, "no_such_question" | "malformed_question") =>
            {
                Err(ClientError::Told(problem.detail))
            }
            _ => Err(foreign()),
        }
    }
}

/// The body of an answer; `None` where it is too long.
async fn read(mut response: Response) -> Result<Option<Vec<u8>>, reqwest::Error> {
    let mut body = Vec::new();
    while let Some(piece) = response.chunk().await? {
        if body.len() + piece.len() > MAX_ANSWER {
            return Ok(None);
        }
        body.extend_from_slice(&piece);
    }
    Ok(Some(body))
}

/// The innermost cause says most.
fn silent(path: &Path, error: &(dyn std::error::Error + 'static)) -> ClientError {
    let mut innermost = error;
    while let Some(source) = innermost.source() {
        innermost = source;
    }
    ClientError::Silent {
        path: path.to_owned(),
        reason: innermost.to_string(),
    }
}
