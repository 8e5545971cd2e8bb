//! An OpenID Provider in the test's own process: honest, until a test tells it how to lie.
//!
//! It checks what a strict provider checks (redirect URI, PKCE, client authentication, a code used
//! once) and answers what one answers. [`Behaviour`] holds every lie it knows.

mod endpoints;
mod keys;
mod logout_token;
mod protocol;

use std::collections::HashMap;
use std::net::{SocketAddr, TcpListener};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use actix_web::dev::ServerHandle;
use actix_web::{App, HttpServer, web};
use serde_json::{Value, json};
use url::Url;

use portcullis::domain::relying_party::{ClaimPath, ClientAuth, OidcSettings, Userinfo};
use portcullis::domain::upstream_key::LiveSecret;

use self::keys::Keys;
pub use self::keys::{Algorithm, other_p521_key};
pub use self::logout_token::LogoutDraft;
use self::protocol::{Grant, RefreshGrant};
use super::clock::TestClock;
use super::front::Front;

pub const CLIENT_ID: &str = "portcullis";

/// With characters that Basic authentication has to escape (RFC 6749 §2.3.1).
pub const CLIENT_SECRET: &str = "s3cret: 100%+/=";

/// Somebody with an account.
#[derive(Debug)]
pub struct User {
    /// What `sub` says.
    pub subject: &'static str,
    pub username: &'static str,
    pub name: &'static str,
    pub email: &'static str,
    pub groups: &'static [&'static str],
}

pub const USERS: [User; 3] = [
    User {
        subject: "0a11ce00-ada0-4000-8000-000000000001",
        username: "ada",
        name: "Ada Lovelace",
        email: "ada@example.net",
        groups: &["admins"],
    },
    User {
        subject: "0b0b0000-be00-4000-8000-000000000002",
        username: "ben",
        name: "Ben Müller",
        email: "ben@example.net",
        groups: &["media"],
    },
    User {
        subject: "0e0e0000-e0e0-4000-8000-000000000003",
        username: "eve",
        name: "Eve",
        email: "eve@example.net",
        groups: &[],
    },
];

/// What an endpoint does instead of answering honestly.
#[derive(Debug, Clone)]
pub enum Answer {
    Status(u16),
    /// A body of one's own, as JSON.
    Json(String),
    /// A body of one's own, as a JWT.
    Jwt(String),
    /// Nothing, for a minute.
    Hang,
    /// The honest answer, late.
    Slow(Duration),
    /// The same, where all is done at once but for the answer.
    Late(Duration),
    /// A page, with status 200.
    Page,
}

/// The endpoints that can be made to answer otherwise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Endpoint {
    Discovery,
    Jwks,
    Authorize,
    Token,
    /// The token endpoint, asked with a refresh token.
    Refresh,
    Userinfo,
    EndSession,
}

/// The `iss` of an authorization response (RFC 9207).
#[derive(Debug, Clone, Copy)]
pub enum ResponseIss {
    Ours,
    Missing,
    Other(&'static str),
}

type Edit = Box<dyn Fn(&mut Value) + Send>;

/// What can be edited as the text that it is at the end: so that a member may stand twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Part {
    Header,
    Claims,
    TokenAnswer,
    Userinfo,
    Metadata,
    Jwks,
}

type EditText = Box<dyn Fn(String) -> String + Send>;

/// How the issuer behaves. The default is honest.
#[allow(clippy::struct_excessive_bools, reason = "each is a habit of its own")]
pub struct Behaviour {
    /// What ID tokens are signed with.
    pub algorithm: Algorithm,
    /// Edit the ID token's header and claims before they are signed.
    pub edit_header: Edit,
    pub edit_claims: Edit,
    /// Edits the finished ID token.
    pub edit_token: Box<dyn Fn(&str) -> String + Send>,
    pub edit_metadata: Edit,
    pub edit_jwks: Edit,
    pub edit_token_answer: Edit,
    pub edit_userinfo: Edit,
    /// Edits of finished texts.
    pub edit_text: HashMap<Part, EditText>,
    pub response_iss: ResponseIss,
    /// How far its clock is ahead of ours, in seconds; behind, where negative.
    pub skew: i64,
    /// Keep the claims that scopes ask for to userinfo, as OIDC Core §5.4 has it.
    pub sparse_id_token: bool,
    /// How people sign in (`amr`).
    pub methods: &'static [&'static str],
    /// Has whoever is signed in sign in again, where the request asks for that.
    pub asks_again: bool,
    /// Send the browser back with this error.
    pub refuse_login: Option<&'static str>,
    pub answers: HashMap<Endpoint, Answer>,
    /// Whether a login brings a refresh token.
    pub gives_refresh: bool,
    /// Whether each use of it brings another one, and the one before is good for nothing; for worse than nothing, as at
    /// Pocket ID: its use ends all that came of the login.
    pub rotates: bool,
    /// What `expires_in` says.
    pub expires_in: Value,
    /// Whether new tokens come with an ID token.
    pub renews_id_token: bool,
    /// Answer a refresh token with this error.
    pub refuse_refresh: Option<&'static str>,
    /// What everybody is a member of by now.
    pub groups: Option<&'static [&'static str]>,
}

impl Default for Behaviour {
    fn default() -> Self {
        Self {
            algorithm: Algorithm::Es256,
            edit_header: Box::new(|_| {}),
            edit_claims: Box::new(|_| {}),
            edit_token: Box::new(str::to_owned),
            edit_metadata: Box::new(|_| {}),
            edit_jwks: Box::new(|_| {}),
            edit_token_answer: Box::new(|_| {}),
            edit_userinfo: Box::new(|_| {}),
            edit_text: HashMap::new(),
            response_iss: ResponseIss::Ours,
            skew: 0,
            sparse_id_token: false,
            methods: &["phr"],
            asks_again: true,
            refuse_login: None,
            answers: HashMap::new(),
            gives_refresh: false,
            rotates: true,
            expires_in: json!(3600),
            renews_id_token: true,
            refuse_refresh: None,
            groups: None,
        }
    }
}

impl Behaviour {
    /// What a text becomes.
    fn text(&self, part: Part, text: String) -> String {
        match self.edit_text.get(&part) {
            Some(edit) => edit(text),
            None => text,
        }
    }
}

/// A running issuer. It stops when the test's runtime does, or when told to.
pub struct FakeIssuer {
    shared: Arc<Shared>,
    server: ServerHandle,
}

/// What the endpoints share.
struct Shared {
    /// The issuer identifier.
    issuer: String,
    clock: TestClock,
    secret: Mutex<String>,
    state: Mutex<State>,
}

struct State {
    user: &'static User,
    /// The session of the browser, here: when somebody signed in, and how.
    session: Option<(u64, &'static [&'static str])>,
    /// The parameters of the last authorization request.
    authorization: HashMap<String, String>,
    keys: Keys,
    keys_before: Option<Keys>,
    behaviour: Behaviour,
    /// By code.
    codes: HashMap<String, Grant>,
    /// Every code, access token and ID token that it ever gave away.
    issued: Vec<String>,
    /// By access token.
    access: HashMap<String, Grant>,
    /// By refresh token.
    refresh: HashMap<String, RefreshGrant>,
    /// How often tokens were renewed, and how often with a token that had been replaced.
    renewals: usize,
    reuses: usize,
    requests: HashMap<Endpoint, usize>,
    /// The parameters of the last request to end a session.
    logged_out: Option<HashMap<String, String>>,
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl FakeIssuer {
    /// Starts an issuer on a free port of loopback. It signs everybody in as ada until told
    /// otherwise.
    pub fn start(clock: &TestClock) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        Self::serve(listener, "", clock)
    }

    /// Starts an issuer behind `front`, where everybody finds it.
    pub fn start_behind(front: &Front, clock: &TestClock) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        front.lead_to(listener.local_addr().expect("its address"));
        Self::serve_as(front.url().to_owned(), listener, clock)
    }

    /// Starts an issuer at a chosen address, and with a path in its identifier (`/tenant/`).
    pub fn start_at(address: SocketAddr, path: &str, clock: &TestClock) -> Self {
        let listener = TcpListener::bind(address).expect("a free address");
        Self::serve(listener, path, clock)
    }

    fn serve(listener: TcpListener, path: &str, clock: &TestClock) -> Self {
        let address = listener.local_addr().expect("its address");
        Self::serve_as(format!("http://{address}{path}"), listener, clock)
    }

    fn serve_as(issuer: String, listener: TcpListener, clock: &TestClock) -> Self {
        let shared = Arc::new(Shared {
            issuer,
            clock: clock.clone(),
            secret: Mutex::new(CLIENT_SECRET.to_owned()),
            state: Mutex::new(State {
                user: &USERS[0],
                session: None,
                authorization: HashMap::new(),
                keys: Keys::new(1),
                keys_before: None,
                behaviour: Behaviour::default(),
                codes: HashMap::new(),
                issued: Vec::new(),
                access: HashMap::new(),
                refresh: HashMap::new(),
                renewals: 0,
                reuses: 0,
                requests: HashMap::new(),
                logged_out: None,
            }),
        });
        let data = web::Data::from(Arc::clone(&shared));
        let server = HttpServer::new(move || {
            App::new()
                .app_data(data.clone())
                .default_service(web::to(endpoints::answer))
        })
        .workers(1)
        .disable_signals()
        .shutdown_timeout(0)
        .listen(listener)
        .expect("a listening socket")
        .run();
        let handle = server.handle();
        actix_web::rt::spawn(server);
        Self {
            shared,
            server: handle,
        }
    }

    /// An address at which nobody listens.
    pub fn free_address() -> SocketAddr {
        let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        listener.local_addr().expect("its address")
    }

    /// The issuer identifier.
    pub fn issuer(&self) -> &str {
        &self.shared.issuer
    }

    /// Settings of a relying party at `public_url` that is registered here.
    pub fn settings(&self, public_url: &str) -> OidcSettings {
        settings(self.issuer(), public_url)
    }

    /// Whom the next visitors turn out to be.
    pub fn sign_in_as(&self, username: &str) {
        let user = USERS.iter().find(|user| user.username == username);
        let mut state = self.shared.state();
        state.user = user.expect("one of the users");
        state.session = None;
    }

    /// Changes how it behaves, from the next request on.
    pub fn behave(&self, change: impl FnOnce(&mut Behaviour)) {
        change(&mut self.shared.state().behaviour);
    }

    /// Makes `endpoint` answer otherwise.
    pub fn answer(&self, endpoint: Endpoint, answer: Answer) {
        self.behave(|behaviour| drop(behaviour.answers.insert(endpoint, answer)));
    }

    /// Replaces all keys, without overlap.
    pub fn rotate_keys(&self, generation: u32) {
        let mut state = self.shared.state();
        let before = std::mem::replace(&mut state.keys, Keys::new(generation));
        state.keys_before = Some(before);
    }

    /// Replaces all keys by those before the last replacement.
    pub fn rotate_back(&self) {
        let mut state = self.shared.state();
        let before = state.keys_before.take();
        state.keys = before.expect("keys from before");
    }

    /// Takes another client secret, and the old one no more.
    pub fn change_secret(&self, secret: &str) {
        let mut current = self.shared.secret.lock();
        let current = current.as_deref_mut().expect("nobody panicked");
        secret.clone_into(current);
    }

    /// Every code and token that it ever gave away.
    pub fn issued(&self) -> Vec<String> {
        self.shared.state().issued.clone()
    }

    /// How often tokens were renewed.
    pub fn renewals(&self) -> usize {
        self.shared.state().renewals
    }

    /// How often a refresh token was used that had been replaced.
    pub fn reuses(&self) -> usize {
        self.shared.state().reuses
    }

    /// How often `endpoint` was asked.
    pub fn requests(&self, endpoint: Endpoint) -> usize {
        let state = self.shared.state();
        state.requests.get(&endpoint).copied().unwrap_or(0)
    }

    /// The parameters of the last authorization request.
    pub fn authorization(&self) -> HashMap<String, String> {
        self.shared.state().authorization.clone()
    }

    /// The parameters of the last request to end a session.
    pub fn logged_out(&self) -> Option<HashMap<String, String>> {
        self.shared.state().logged_out.clone()
    }

    /// Does what a browser with a session does at the authorization endpoint, without the network:
    /// the URL that it is sent back to.
    ///
    /// # Errors
    ///
    /// What a strict provider finds wrong with the request.
    pub fn visit(&self, authorization_url: &Url) -> Result<Url, String> {
        let query = authorization_url.query_pairs().into_owned().collect();
        protocol::authorize(&self.shared, &query)
    }

    /// Stops listening, and breaks what is open.
    pub async fn stop(&self) {
        self.server.stop(false).await;
    }
}

/// Settings of a relying party at `public_url`, for an issuer that need not be running.
pub fn settings(issuer: &str, public_url: &str) -> OidcSettings {
    let page = |path: &str| Url::parse(&format!("{public_url}{path}")).expect("a URL");
    let claim = |name| ClaimPath::parse(name).expect("a claim");
    let scopes = ["openid", "profile", "email", "groups"];
    OidcSettings {
        issuer: issuer.to_owned(),
        client_id: LiveSecret::new(CLIENT_ID.into()),
        client_secret: Some(LiveSecret::new(CLIENT_SECRET.into())),
        scopes: scopes.map(str::to_owned).to_vec(),
        scopes_follow_metadata: false,
        redirect_uri: page("/callback"),
        post_logout_redirect_uri: page("/signed-out"),
        username_claim: claim("preferred_username"),
        groups_claim: claim("groups"),
        userinfo: Userinfo::WhenNeeded,
        client_auth: ClientAuth::Auto,
        authorize_params: Vec::new(),
        extra_roots_pem: None,
        trust_unverified_email: false,
        allow_http_endpoints: false,
    }
}
