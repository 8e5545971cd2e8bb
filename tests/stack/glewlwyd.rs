//! A second opinion by a provider of other people, in another language: Debian's Glewlwyd. It lies below a path, keeps
//! claims to userinfo, announces no `iss`, and says `auth_time: 0`.

use std::path::{Path, PathBuf};
use std::time::Duration;

use rcgen::KeyPair;
use reqwest::Method;
use reqwest::header::{CONTENT_TYPE, COOKIE, LOCATION, SET_COOKIE};
use serde_json::{Value, json};

use crate::kit::ask::Ask;
use crate::kit::caddy::Caddy;
use crate::kit::child::Running;
use crate::kit::gate::{self, Gate};
use crate::kit::provider::{CLIENT_ID, random_secret, write_secret};
use crate::kit::upstream::Upstream;
use crate::kit::{Failure, Result, browser::Browser, example, ports, tools};
use crate::setup::{FILMS, MIXED, NOTES, PORTAL, folder, program};

const START_LIMIT: Duration = Duration::from_secs(15);
const SCOPES: [&str; 4] = ["openid", "profile", "email", "groups"];

struct Glewlwyd {
    /// Lives as long as this.
    _running: Running,
    api: String,
}

/// Somebody who is signed in there.
struct Visitor {
    client: reqwest::Client,
    api: String,
    cookie: String,
}

impl Glewlwyd {
    /// Starts it with an empty database, where `admin` has the password `password`.
    async fn start(folder: &Path) -> Result<Self> {
        let home = tools::source_root().join("target/tools/glewlwyd");
        if !home.join("empty.db").is_file() {
            return Err(Failure::new("no Glewlwyd here: run `make tools`"));
        }
        let database = folder.join("glewlwyd.db");
        std::fs::copy(home.join("empty.db"), &database).map_err(Failure::of("empty.db"))?;
        let port = ports::free();
        let file = folder.join("glewlwyd.conf");
        std::fs::write(&file, configuration(&home, &database, port))
            .map_err(Failure::of(file.display()))?;
        let log = folder.join("glewlwyd.log");
        let binary = home.join("usr/bin/glewlwyd");
        let mut running = Running::start("glewlwyd", &binary, &log, |command| {
            command.arg(format!("--config-file={}", file.display()));
        })?;
        let api = format!("http://localhost:{port}/api");
        running
            .wait_for(START_LIMIT, || Visitor::enter(&api, "admin", "password"))
            .await?;
        Ok(Self {
            _running: running,
            api,
        })
    }

    fn issuer(&self) -> String {
        format!("{}/oidc", self.api)
    }

    /// Makes the provider, one client and one user.
    async fn set_up(&self, secret: &str, relying_party: &str) -> Result<()> {
        let admin = Visitor::enter(&self.api, "admin", "password").await?;
        // Without a `groups` of its own a user has none to tell.
        let groups = json!({ "multiple": true, "read": true, "write": true });
        let users = json!({
            "module": "database", "name": "database", "display_name": "users", "parameters": {
                "use-glewlwyd-connection": true, "data-format": { "groups": groups },
            },
        });
        admin.put("mod/user/database", &users).await?;
        admin.put("mod/user/database/reset", &json!({})).await?;
        for name in SCOPES {
            let scope = json!({
                "name": name, "display_name": name, "password_required": name == "openid",
                "password_max_age": 0, "scheme": {},
            });
            match name {
                "openid" => admin.put("scope/openid", &scope).await?,
                _ => admin.post("scope", &scope).await?,
            };
        }
        admin
            .post("mod/plugin", &oidc_plugin(&self.issuer())?)
            .await?;
        let client = json!({
            "client_id": CLIENT_ID, "name": "Portcullis", "enabled": true, "confidential": true,
            "password": secret, "redirect_uri": [format!("{relying_party}/callback")],
            "authorization_type": ["code", "refresh_token"],
            "token_endpoint_auth_method": ["client_secret_basic"], "scope": [],
        });
        admin.post("client", &client).await?;
        let user = json!({
            "username": "ada", "name": "Ada Lovelace", "email": "ada@example.net",
            "password": "correct horse", "enabled": true, "groups": ["media", "staff"],
            "scope": ["openid", "profile", "email", "groups", "g_profile"],
        });
        admin.post("user", &user).await.map(drop)
    }
}

/// A provider that signs with ES256 and a key of this run.
fn oidc_plugin(issuer: &str) -> Result<Value> {
    let key = KeyPair::generate().map_err(Failure::new)?;
    let claim = |name: &str, property: &str| {
        json!({
            "name": name, "user-property": property, "type": "string",
            "mandatory": true, "on-demand": false, "scope": [],
        })
    };
    Ok(json!({
        "module": "oidc", "name": "oidc", "display_name": "OIDC", "parameters": {
            "iss": issuer, "jwt-type": "ecdsa", "jwt-key-size": "256",
            "key": key.serialize_pem(), "cert": key.public_key_pem(),
            "access-token-duration": 3_600, "refresh-token-duration": 86_400, "code-duration": 600,
            "refresh-token-rolling": true, "allow-non-oidc": false, "auth-type-code-enabled": true,
            "auth-type-token-enabled": false, "auth-type-id-token-enabled": true,
            "auth-type-none-enabled": false, "auth-type-password-enabled": false,
            "auth-type-client-enabled": false, "auth-type-device-enabled": false,
            "auth-type-refresh-enabled": true, "subject-type": "public", "scope": [],
            "pkce-allowed": true, "pkce-required": true, "pkce-method-plain-allowed": false,
            "name-claim": "on-demand", "email-claim": "on-demand", "scope-claim": "no",
            "claims": [claim("preferred_username", "username"), claim("groups", "groups")],
            "additional-parameters": [], "session-management-allowed": false,
        },
    }))
}

fn configuration(home: &Path, database: &Path, port: u16) -> String {
    let modules = |kind: &str| {
        home.join("usr/lib/glewlwyd")
            .join(kind)
            .display()
            .to_string()
    };
    format!(
        r#"port = {port}
bind_address = "127.0.0.1"
external_url = "http://localhost:{port}"
api_prefix = "api"
static_files_path = "{pages}"
log_mode = "console"
log_level = "WARNING"
cookie_domain = "localhost"
cookie_secure = 0
session_expiration = 3600
session_key = "GLEWLWYD2_SESSION_ID"
admin_scope = "g_admin"
profile_scope = "g_profile"
user_module_path = "{users}"
user_middleware_module_path = "{middleware}"
client_module_path = "{clients}"
user_auth_scheme_module_path = "{schemes}"
plugin_module_path = "{plugins}"
hash_algorithm = "SHA512"
database = {{ type = "sqlite3" path = "{database}" }};
"#,
        pages = home.join("usr/share/glewlwyd/webapp").display(),
        users = modules("user"),
        middleware = modules("user_middleware"),
        clients = modules("client"),
        schemes = modules("scheme"),
        plugins = modules("plugin"),
        database = database.display(),
    )
}

impl Visitor {
    async fn enter(api: &str, username: &str, password: &str) -> Result<Self> {
        let mut visitor = Self {
            client: gate::plain_client()?,
            api: api.to_owned(),
            cookie: String::new(),
        };
        let who = json!({ "username": username, "password": password });
        let answer = visitor.send(Method::POST, "auth", &who).await?;
        let cookies = answer.headers().get_all(SET_COOKIE).iter();
        let pairs = cookies.filter_map(|line| line.to_str().ok()?.split(';').next());
        visitor.cookie = pairs.collect::<Vec<_>>().join("; ");
        Ok(visitor)
    }

    async fn post(&self, path: &str, body: &Value) -> Result<reqwest::Response> {
        self.send(Method::POST, path, body).await
    }

    async fn put(&self, path: &str, body: &Value) -> Result<reqwest::Response> {
        self.send(Method::PUT, path, body).await
    }

    async fn send(&self, method: Method, path: &str, body: &Value) -> Result<reqwest::Response> {
        let request = self
            .client
            .request(method, format!("{}/{path}", self.api))
            .header(CONTENT_TYPE, "application/json")
            .header(COOKIE, &self.cookie);
        let answer = request.body(body.to_string()).send().await;
        let answer = answer.map_err(Failure::of(path))?;
        if answer.status().is_success() {
            return Ok(answer);
        }
        let status = answer.status();
        let text = answer.text().await.unwrap_or_default();
        Err(Failure(format!("{path}: {status}: {text}")))
    }

    /// Goes to the authorization endpoint, and says where it leads.
    async fn authorize(&self, url: &str) -> Result<String> {
        // As its login page says it, once somebody has signed in and agreed.
        let request = self.client.get(format!("{url}&g_continue"));
        let answer = request.header(COOKIE, &self.cookie).send().await;
        let answer = answer.map_err(Failure::of("authorize"))?;
        let next = answer.headers().get(LOCATION);
        let next = next.and_then(|value| value.to_str().ok());
        next.map(str::to_owned)
            .ok_or_else(|| Failure(format!("no redirect: {}", answer.status())))
    }
}

/// The chain with this provider.
struct Chain {
    provider: Glewlwyd,
    _caddy: Caddy,
    _gate: Gate,
    _films: Upstream,
    url: String,
    browser: Browser,
}

async fn start(folder: &Path) -> Result<Chain> {
    let provider = Glewlwyd::start(folder).await?;
    let https_port = ports::free();
    let gate_ports = gate::Ports::free();
    let films = Upstream::start("films")?;
    let sites = example::fitted_to(&example::Places {
        gate: gate_ports,
        portal: PORTAL,
        apps: [
            (FILMS, films.port),
            (NOTES, films.port),
            (MIXED, films.port),
        ],
    })?;
    let caddy = Caddy::start(folder, https_port, &sites).await?;
    let root = std::fs::read(caddy.root_certificate()).map_err(Failure::of("root"))?;
    let public_url = format!("https://{PORTAL}:{https_port}");
    let secret = random_secret()?;
    let client_secret_file: PathBuf = folder.join("client_secret");
    write_secret(&client_secret_file, &secret).map_err(Failure::of("client_secret"))?;
    provider.set_up(&secret, &public_url).await?;
    let gate = Gate::start(
        program(),
        folder,
        &gate::Settings {
            ports: gate_ports,
            public_url: &public_url,
            issuer: &provider.issuer(),
            client_id: CLIENT_ID,
            client_secret_file: &client_secret_file,
            ca_file: &caddy.root_certificate(),
            log_level: "info",
            server: "",
            session: "",
            rules: &format!(
                "[policies]\nmedia = {{ allowed_groups = [\"media\"] }}\n\n\
                 [services.films]\nhost = \"{FILMS}\"\npolicy = \"media\"\n"
            ),
        },
    )
    .await?;
    Ok(Chain {
        provider,
        _caddy: caddy,
        _gate: gate,
        _films: films,
        url: format!("https://{FILMS}:{https_port}/page?x=1"),
        browser: Browser::new(&root)?,
    })
}

#[tokio::test]
async fn glewlwyd_signs_people_in() {
    let absent = tools::source_root().join("target/tools/glewlwyd/not-in-this-debian");
    if absent.is_file() {
        println!("left out: this Debian has no Glewlwyd");
        return;
    }
    let folder = folder().unwrap();
    let chain = start(folder.path()).await.unwrap();
    let ada = Visitor::enter(&chain.provider.api, "ada", "correct horse");
    let ada = ada.await.unwrap();
    let scope = json!({ "scope": SCOPES.join(" ") });
    let grant = format!("auth/grant/{CLIENT_ID}");
    ada.put(&grant, &scope).await.unwrap();

    let login = chain
        .browser
        .ask(Ask::navigation(&chain.url))
        .await
        .unwrap();
    let login = Ask::navigation(login.header("location"));
    let authorize = chain.browser.ask(login).await.unwrap();
    assert!(
        authorize
            .header("location")
            .starts_with(&chain.provider.issuer()),
        "{}: {}",
        authorize.status,
        authorize.body
    );
    let callback = ada.authorize(authorize.header("location")).await.unwrap();
    let page = chain.browser.navigate(&callback).await.unwrap();
    assert_eq!(
        (page.status, page.url.as_str()),
        (200, chain.url.as_str()),
        "{}",
        page.way()
    );
    let seen = page.seen().unwrap();
    assert_eq!(seen.all("remote-user"), ["ada"]);
    assert_eq!(seen.all("remote-groups"), ["media,staff"]);
}
