//! Which URL is answered where.

use actix_web::Resource;
use actix_web::web::{Data, ServiceConfig, delete, get, head, post, resource, scope, to};

use crate::domain::dialects::{Dialect, Dialects};
use crate::domain::paths::RESERVED_PREFIX;
use crate::http::Http;
use crate::http::dialect::caddy_traefik::CaddyTraefik;
use crate::http::dialect::check::{check, check_policy, elsewhere};
use crate::http::dialect::envoy::{self, Envoy};
use crate::http::dialect::nginx;
use crate::http::{admin, backchannel, control, login, logout, portal};

/// `server.listen`: for the proxy alone. Any method, because proxies differ in what they send.
pub fn verify(dialects: &Dialects, config: &mut ServiceConfig) {
    if dialects.hold(Dialect::ForwardAuth) {
        config
            .service(resource(Dialect::ForwardAuth.path()).to(check::<CaddyTraefik>))
            .service(resource("/verify/policy/{name}").to(check_policy::<CaddyTraefik>));
    }
    if dialects.hold(Dialect::Nginx) {
        let named = format!("{}/policy/{{name}}", nginx::PREFIX);
        config
            .app_data(nginx::AskedHere)
            .service(resource(nginx::PREFIX).to(check::<nginx::Subrequest>))
            .service(resource(named).to(check_policy::<nginx::Subrequest>));
    }
    if dialects.hold(Dialect::Envoy) {
        config.service(scope(envoy::PREFIX).default_service(to(check::<Envoy>)));
    }
    config.default_service(to(elsewhere));
}

/// `server.portal_listen`: what browsers see, below `path`, which is empty where the portal has a host of its own.
/// Served as asked: the proxy does not strip it.
pub fn portal_at(path: &str, dialects: &Dialects, config: &mut ServiceConfig) {
    if dialects.hold(Dialect::Nginx) {
        let own_paths = RESERVED_PREFIX.trim_end_matches('/');
        config.service(scope(own_paths).default_service(to(check::<nginx::PortalLocation>)));
    }
    if path.is_empty() {
        portal(config);
    } else {
        // `/auth` without a slash is the front page too.
        config.route(path, get().to(portal::front));
        config.route(path, head().to(portal::front));
        config.service(scope(path).configure(portal));
    }
    config.default_service(to(portal::not_found));
}

fn portal(config: &mut ServiceConfig) {
    let page = |path: &str, allow: &'static str| {
        let wrong = move |http: Data<Http>| async move { portal::wrong_method(&http, allow) };
        resource(path.to_owned()).default_service(to(wrong))
    };
    config
        .service(
            page("/", "GET, HEAD")
                .route(get().to(portal::front))
                .route(head().to(portal::front)),
        )
        .service(
            page("/login", "GET, HEAD")
                .route(get().to(login::begin))
                .route(head().to(login::begin)),
        )
        .service(page("/callback", "GET").route(get().to(login::complete)))
        .service(
            page("/logout", "GET, HEAD, POST")
                .route(get().to(logout::ask))
                .route(head().to(logout::ask))
                .route(post().to(logout::act)),
        )
        .service(page("/logout/everywhere", "POST").route(post().to(logout::everywhere)))
        .service(page("/backchannel-logout", "POST").route(post().to(backchannel::logout)))
        .service(
            page("/signed-out", "GET, HEAD")
                .route(get().to(logout::done))
                .route(head().to(logout::done)),
        )
        .service(
            page("/whoami", "GET, HEAD")
                .route(get().to(portal::whoami))
                .route(head().to(portal::whoami)),
        );
}

/// `server.admin_listen`: health and metrics.
pub fn admin(config: &mut ServiceConfig) {
    let read_only = |path: &str| -> Resource {
        resource(path.to_owned()).default_service(to(admin::not_found))
    };
    config
        .service(
            read_only("/health/live")
                .route(get().to(admin::live))
                .route(head().to(admin::live)),
        )
        .service(
            read_only("/health/ready")
                .route(get().to(admin::ready))
                .route(head().to(admin::ready)),
        )
        .service(
            read_only("/metrics")
                .route(get().to(admin::metrics))
                .route(head().to(admin::metrics)),
        )
        .default_service(to(admin::not_found));
}

/// `server.control_socket`: the commands of administrators.
pub fn control(config: &mut ServiceConfig) {
    let known = |path: &str| -> Resource {
        resource(path.to_owned()).default_service(to(control::not_found))
    };
    config
        .service(
            known("/v1/sessions")
                .route(get().to(control::list))
                .route(delete().to(control::revoke_user)),
        )
        .service(known("/v1/sessions/{id}").route(delete().to(control::revoke)))
        .default_service(to(control::not_found));
}
