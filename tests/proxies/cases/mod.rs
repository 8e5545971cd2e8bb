//! The rows of the table: [`LIST`]. A case asks through the proxy of one column, and panics where something does not
//! hold.

mod cross_origin;
mod forgery;
mod leaving;
mod lies;
mod own_routes;
mod people;
mod reserved;
mod secret;
mod service;
mod spelling;
mod transport;
mod upgrades;

use std::pin::Pin;

use crate::column::Program::{self, Envoy, Nginx, Traefik};
use crate::stack::Stack;

/// It is told what is otherwise behind the proxy of the column, and holds it to that: where the list does not say so, the
/// proxy has to be like the others, and where it does, not.
type Check = fn(&'static Stack, Option<&'static Bound>) -> Pin<Box<dyn Future<Output = ()>>>;

pub struct Case {
    pub name: &'static str,
    pub check: Check,
    /// Whether it needs the service for itself.
    pub stops_the_service: bool,
    bounds: &'static [Bound],
}

/// What is otherwise behind some proxies. The check holds them to it.
pub struct Bound {
    programs: &'static [Program],
    /// Whether the case means something there at all.
    pub applies: bool,
    pub text: &'static str,
}

impl Case {
    /// What is otherwise behind `program`.
    pub fn bound(&self, program: Program) -> Option<&'static Bound> {
        let mut bounds = self.bounds.iter();
        bounds.find(|bound| bound.programs.contains(&program))
    }

    const fn stopping(mut self) -> Self {
        self.stops_the_service = true;
        self
    }

    const fn but(mut self, bounds: &'static [Bound]) -> Self {
        self.bounds = bounds;
        self
    }
}

const fn case(name: &'static str, check: Check) -> Case {
    Case {
        name,
        check,
        stops_the_service: false,
        bounds: &[],
    }
}

/// It holds there with a difference.
const fn differs(programs: &'static [Program], text: &'static str) -> Bound {
    Bound {
        programs,
        applies: true,
        text,
    }
}

/// It cannot be had there.
const fn cannot(programs: &'static [Program], text: &'static str) -> Bound {
    Bound {
        programs,
        applies: false,
        text,
    }
}

#[rustfmt::skip] // a line each
pub static LIST: &[Case] = &[
    case("member", |stack, _| Box::pin(people::a_member(stack))),
    case("non-member", |stack, _| Box::pin(people::a_non_member(stack))),
    case("stranger navigating", |stack, _| Box::pin(people::a_stranger_navigates(stack))),
    case("stranger's fetch", |stack, _| Box::pin(people::a_stranger_fetches(stack))),
    case("login and return", |stack, _| Box::pin(people::login_and_return(stack))),
    case("signed in or not", |stack, _| Box::pin(people::signed_in_or_not(stack))),
    case("bypass", |stack, _| Box::pin(people::a_bypass(stack))),
    case("allowed network", |stack, _| Box::pin(people::an_allowed_network(stack))),
    case("host without a service", |stack, _| Box::pin(people::a_host_without_a_service(stack))),
    case("the app's own key", |stack, _| Box::pin(people::a_key_for_the_app(stack))),
    case("forged identity headers", |stack, _| Box::pin(forgery::forged_identity(stack))),
    case("Remote_User, Remote.User", |stack, _| Box::pin(forgery::forged_spellings(stack))),
    case("Connection: Remote-User", |stack, _| Box::pin(forgery::connection_names(stack))),
    case("duplicate headers", |stack, bound| Box::pin(forgery::duplicates(stack, bound))).but(&[
        differs(&[Envoy], "cookies in several lines of HTTP/1.1 are nobody's: Envoy joins them with commas"),
    ]),
    case("our credentials", |stack, _| Box::pin(forgery::our_credentials(stack))),
    case("forged X-Original-*", |stack, _| Box::pin(lies::x_original(stack))),
    case("forged X-Forwarded-*", |stack, _| Box::pin(lies::x_forwarded(stack))),
    case("forged Forwarded", |stack, _| Box::pin(lies::forwarded(stack))),
    case("forged X-Real-IP", |stack, _| Box::pin(lies::x_real_ip(stack))),
    case("other descriptions", |stack, _| Box::pin(lies::other_descriptions(stack))),
    case("X-Rewrite-URL", |stack, _| Box::pin(lies::another_path(stack))),
    case("the client's query", |stack, _| Box::pin(lies::the_query(stack))),
    case("two hosts in a request", |stack, _| Box::pin(lies::two_hosts(stack))),
    case("the proxy's own routes", |stack, bound| Box::pin(own_routes::beside_ours(stack, bound))).but(&[
        differs(&[Nginx], "a location with `return` is open to everybody: nginx answers it before it asks"),
        differs(&[Envoy], "open where a route says so by ExtAuthzPerRoute, and nowhere else"),
        differs(&[Traefik], "a router is protected by its own middleware, and open without"),
    ]),
    case("policy of the proxy", |stack, bound| Box::pin(own_routes::a_policy_of_the_proxy(stack, bound))).but(&[
        cannot(&[Envoy], "no address names a policy there: with `from_proxy` everybody is refused"),
    ]),
    case("stale copy list", |stack, bound| Box::pin(own_routes::a_stale_list(stack, bound))).but(&[
        differs(&[Nginx], "503 with `not_copied`; the log names the header, since nginx hands no page on"),
        differs(&[Envoy], "503 without a page; the log names the header, since Envoy takes any 5xx for a failure"),
    ]),
    case("WebSocket, member", |stack, _| Box::pin(upgrades::web_socket_of_a_member(stack))),
    case("WebSocket, stranger", |stack, _| Box::pin(upgrades::web_socket_of_a_stranger(stack))),
    case("WebSocket, refused by the app", |stack, _| Box::pin(upgrades::web_socket_that_the_app_refuses(stack))),
    case("WebSocket, cross-site", |stack, _| Box::pin(upgrades::web_socket_across_sites(stack))),
    case("other Upgrade: values", |stack, bound| Box::pin(upgrades::other_upgrades(stack, bound))).but(&[
        differs(&[Traefik], "Traefik takes h2c away itself, and hands on what it does not know"),
    ]),
    case("extended CONNECT", |stack, _| Box::pin(upgrades::extended_connect(stack))),
    case("CORS preflight", |stack, _| Box::pin(cross_origin::preflights(stack))),
    case("writes across sites", |stack, _| Box::pin(cross_origin::writes_across_sites(stack))),
    case("HTTP/2", |stack, _| Box::pin(transport::http2(stack))),
    case("encoded and dotted paths", |stack, _| Box::pin(spelling::no_spelling_gets_past(stack))),
    case("odd requests", |stack, _| Box::pin(reserved::odd_requests(stack))),
    case("8 KB URL", |stack, _| Box::pin(transport::a_long_address(stack))),
    case("the proxy's secret", |stack, _| Box::pin(secret::the_secret_of_the_proxy(stack))),
    case("large head", |stack, _| Box::pin(transport::a_large_head(stack))),
    case("POST with a length", |stack, _| Box::pin(transport::a_body_with_a_length(stack))),
    case("POST in pieces", |stack, _| Box::pin(transport::a_body_in_pieces(stack))),
    case("Expect: 100-continue", |stack, _| Box::pin(transport::expect_continue(stack))),
    case("keep-alive", |stack, _| Box::pin(transport::keep_alive(stack))),
    case("200 connections at once", |stack, _| Box::pin(transport::many_at_once(stack))),
    case("logout", |stack, _| Box::pin(leaving::logout(stack))),
    case("two root domains", |stack, _| Box::pin(leaving::two_root_domains(stack))),
    case("/verify from outside", |stack, _| Box::pin(reserved::verify_from_outside(stack))),
    case("/.portcullis/", |stack, _| Box::pin(reserved::our_own_paths(stack))),
    case("at a socket", |stack, bound| Box::pin(service::at_a_socket(stack, bound))).but(&[
        cannot(&[Traefik], "Traefik asks over addresses alone; `portcullis snippet traefik` says so"),
    ]),
    case("service stopped", |stack, _| Box::pin(service::stopped(stack))).stopping(),
];
