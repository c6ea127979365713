//! The description of the HTTP interface, as checked in at `proto/api/openapi.json`.

use utoipa::OpenApi;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};

use crate::http;

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Abide",
        description = "Brokers' HTTP interface. Errors are problem documents (RFC 9457)."
    ),
    paths(
        http::login::begin,
        http::login::answer,
        http::login::logout,
        http::login::account,
        http::cluster::profiles,
        http::placement::explain,
        http::sessions::list,
        http::sessions::start,
        http::sessions::end,
        http::sessions::connect,
        http::sessions::abandon,
        http::sessions::status,
        http::cluster::agents,
        http::history::show,
        http::drain::begin,
        http::drain::cancel,
        http::audit::show,
        http::cluster::cluster,
        http::cluster::join_token,
        http::cluster::remove_broker,
        http::recovery::show,
        http::recovery::expect,
        http::recovery::go,
        http::recovery::confirm,
        http::config::show,
        http::config::put,
        http::config::check,
        http::config::history,
        http::config::version,
        http::events::stream,
    ),
    security(("token" = [])),
    modifiers(&Bearer)
)]
struct Description;

/// Tokens travel in `Authorization: Bearer`.
struct Bearer;

impl utoipa::Modify for Bearer {
    fn modify(&self, openapi: &mut utoipa::openapi::OpenApi) {
        let components = openapi.components.get_or_insert_default();
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        components.add_security_scheme("token", scheme);
    }
}

/// The description.
pub fn openapi() -> utoipa::openapi::OpenApi {
    Description::openapi()
}
