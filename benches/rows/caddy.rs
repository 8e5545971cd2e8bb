//! A page through Caddy, which asks us before it asks the app, against the same with a server that lets everybody in.

use std::fs;
use std::path::Path;
use std::time::Duration;

use reqwest::{RequestBuilder, Response};

use super::{answer_about, check_allowed};
use crate::compare::{Side, in_turns};
use crate::filled::Filled;
use crate::kit::browser::bare_client;
use crate::kit::caddy::{self, Caddy};
use crate::kit::example::snippet_in;
use crate::kit::printed::Places;
use crate::kit::{Failure, Result, ports, tools};
use crate::load::{Asks, CONNECTIONS, Load};
use crate::machine;
use crate::question::{HOST, browser_headers, cookie};
use crate::reference::{Kind, Reference};
use crate::report::Row;
use crate::service::{Configuration, Service, Store, program};

const TARGET: f64 = 0.97;
/// Of the page.
const BYTES: usize = 4_096;

const START_LIMIT: Duration = Duration::from_secs(30);

pub async fn measure(folder: &Path) -> Result<Vec<Row>> {
    let filled = Filled::start(folder, "caddy", 100).await?;
    let url = filled.redis.url();
    let store = Store {
        url: &url,
        password_file: None,
    };
    let service = Configuration::write(folder, "caddy", &store)?
        .start()
        .await?;
    let value = filled.first_cookie()?;
    let answer = answer_about(&service, &value)?;
    let reference = Reference::start(folder, "static", &Kind::Bare, &answer).await?;
    let app = Reference::start(folder, "app", &Kind::Page(BYTES), &answer).await?;
    let (port, reference_port) = (ports::free(), ports::free());
    let snippet = printed(&service)?;
    let other = snippet.replace(
        &format!("127.0.0.1:{}", service.ports.verify),
        &format!("127.0.0.1:{}", reference.port),
    );
    let other = other.replacen("(portcullis)", "(static)", 1);
    let site = |port: u16, imported: &str| {
        let app = app.port;
        format!("{HOST}:{port} {{\n\timport {imported}\n\treverse_proxy 127.0.0.1:{app}\n}}\n")
    };
    let sites = [
        snippet,
        other,
        site(port, "portcullis"),
        site(reference_port, "static"),
    ]
    .concat();
    let own = folder.join("caddy-sites");
    fs::create_dir_all(&own).map_err(Failure::of(own.display()))?;
    let program = machine::pinned(folder, machine::MEASURED, &tools::find(caddy::CURRENT)?)?;
    let mut caddy = Caddy::start_program(&program.to_string_lossy(), &own, port, &sites).await?;
    let headers = browser_headers(Some(&cookie(&value)));
    for port in [port, reference_port] {
        wait_for_page(&mut caddy, port, &headers).await?;
    }
    let load = |port: u16| Load {
        url: format!("https://{HOST}:{port}/api/library/items?limit=50&offset=100"),
        asks: Asks::The(&headers),
        connections: CONNECTIONS,
    };
    let before = service.decisions()?;
    let comparison = in_turns(
        folder,
        &Side {
            load: &|_| load(port),
            processes: &[caddy.running.id(), service.running.id()],
        },
        &Side {
            load: &|_| load(reference_port),
            processes: &[caddy.running.id(), reference.running.id()],
        },
    )?;
    check_allowed(&service, before, &comparison)?;
    let row = Row::compared("caddy", TARGET, &comparison);
    Ok(vec![row.about(
        "a page through Caddy (https, the printed block), forward_auth to us against a static 200, all on one core",
    )])
}

/// Until the certificate is there too.
async fn wait_for_page(caddy: &mut Caddy, port: u16, headers: &[(&str, String)]) -> Result<()> {
    let file = caddy.root_certificate();
    let root = fs::read(&file).map_err(Failure::of(file.display()))?;
    let client = bare_client(&root, START_LIMIT)?;
    let page = || async {
        let ask = client.get(format!("https://{HOST}:{port}/"));
        let with = |ask: RequestBuilder, (name, value): &(&str, String)| ask.header(*name, value);
        let answer = headers.iter().fold(ask, with).send().await;
        let answer = answer.and_then(Response::error_for_status);
        answer.map(drop).map_err(Failure::new)
    };
    caddy.running.wait_for(START_LIMIT, page).await
}

/// The block that an operator is given.
fn printed(service: &Service) -> Result<String> {
    let places = Places {
        program: program(),
        configuration: &service.configuration.file,
        services: &["films"],
        https_port: 443,
        hosts: &[HOST],
        app_port: 0,
        changes: &[],
        certificate: &|_| Default::default(),
    };
    let text = places.printed("caddy")?;
    let snippet = snippet_in(&text).ok_or(Failure::new("nothing is printed for Caddy"))?;
    Ok(snippet.to_owned())
}
