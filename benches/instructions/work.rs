//! What is counted: decisions of the service's own handlers, in this process and without a socket.

use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use actix_web::dev::{Service, ServiceResponse};
use actix_web::http::StatusCode;
use actix_web::test::{TestRequest, init_service};
use actix_web::web::{Data, ServiceConfig};
use actix_web::{Error, rt};
use portcullis::clock::SystemClock;
use portcullis::config::Config;
use portcullis::http::routes;
use portcullis::startup::{Application, app};

use crate::kit::{Failure, Result};
use crate::question::{cookie, verify_headers, verify_headers_at};

/// How many decisions, of those that cost little, and of those that need somebody else each time.
const COUNT: usize = 5_000;
const READ_COUNT: usize = 1_000;

/// How many people there are: one for each decision of the second kind, twice as many of them, and one to begin with.
pub const PEOPLE: usize = 2 * READ_COUNT + 1;

/// A kind of decision.
#[derive(Clone, Copy)]
pub enum Decision {
    /// Somebody who was here a moment ago.
    Cached,
    /// Somebody whose session is read from the file, opened and kept, and the app's headers put together.
    Read,
    /// Somebody who is not signed in: 401 for a part of a page.
    Anonymous,
    /// The same for a page: 302 to the sign-in.
    Login,
    /// A path that is open to everybody.
    Bypass,
    /// Somebody whom the path's policy does not let in.
    Denied,
}

impl Decision {
    pub const ALL: [Self; 6] = [
        Self::Cached,
        Self::Read,
        Self::Anonymous,
        Self::Login,
        Self::Bypass,
        Self::Denied,
    ];

    pub const fn name(self) -> &'static str {
        match self {
            Self::Cached => "cached",
            Self::Read => "read",
            Self::Anonymous => "anonymous",
            Self::Login => "login",
            Self::Bypass => "bypass",
            Self::Denied => "denied",
        }
    }

    /// How many are made; the second time twice as many.
    pub const fn count(self) -> usize {
        match self {
            Self::Read => READ_COUNT,
            _ => COUNT,
        }
    }

    fn status(self) -> StatusCode {
        match self {
            Self::Cached | Self::Read | Self::Bypass => StatusCode::OK,
            Self::Anonymous => StatusCode::UNAUTHORIZED,
            Self::Login => StatusCode::FOUND,
            Self::Denied => StatusCode::FORBIDDEN,
        }
    }

    /// The request that a decision is made about.
    fn request(self, first: &str, another: &str) -> TestRequest {
        let headers = match self {
            Self::Cached => verify_headers(Some(&cookie(first))),
            Self::Read => verify_headers(Some(&cookie(another))),
            Self::Anonymous => verify_headers(None),
            Self::Login => verify_headers_at("/", "theme=dark"),
            Self::Bypass => verify_headers_at("/ping", "theme=dark"),
            Self::Denied => verify_headers_at("/admin/users", &cookie(first)),
        };
        let peer = SocketAddr::from(([127, 0, 0, 1], 40_000));
        let request = TestRequest::with_uri("/verify").peer_addr(peer);
        let with = |request: TestRequest, header| request.insert_header(header);
        headers.into_iter().fold(request, with)
    }
}

/// The program that is counted: its arguments are the kind, how many, the configuration and the cookies. As many requests
/// are made whatever the count, so that making them does not count.
pub fn work(arguments: &[&str]) -> Result<()> {
    let [kind, count, configuration, cookies] = arguments else {
        return Err(Failure::new("a kind, a count, a configuration and cookies"));
    };
    let decision = Decision::ALL
        .into_iter()
        .find(|decision| decision.name() == *kind);
    let decision = decision.ok_or_else(|| Failure(format!("no such decision: {kind}")))?;
    let count: usize = count.parse().map_err(Failure::of("count"))?;
    let cookies = std::fs::read_to_string(cookies).map_err(Failure::of(cookies))?;
    rt::System::new().block_on(async {
        portcullis::oidc::install_crypto_provider();
        let config = Config::load(Some(Path::new(configuration))).map_err(Failure::new)?;
        let dialects = config.server.dialects.clone();
        let application =
            Application::build(config, Arc::new(SystemClock)).map_err(Failure::new)?;
        let routes = move |config: &mut ServiceConfig| routes::verify(&dialects, config);
        let service = init_service(app(application.http(), &Data::default(), routes)).await;
        let (first, others) = cookies.split_once('\n').unwrap_or_default();
        let others = others.lines().cycle().take(2 * decision.count());
        // Whatever is done once is done.
        decide(
            &service,
            decision,
            decision.request(first, first).to_request(),
        )
        .await?;
        for (number, another) in others.enumerate() {
            let request = decision.request(first, another).to_request();
            if number < count {
                decide(&service, decision, request).await?;
            }
        }
        Ok(())
    })
}

async fn decide<R, B>(
    service: &impl Service<R, Response = ServiceResponse<B>, Error = Error>,
    decision: Decision,
    request: R,
) -> Result<()> {
    let answer = service.call(request).await.map_err(Failure::new)?;
    if answer.status() == decision.status() {
        return Ok(());
    }
    Err(Failure(format!(
        "{} is answered {}",
        decision.name(),
        answer.status()
    )))
}
