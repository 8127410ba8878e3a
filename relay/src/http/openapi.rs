//! The API document (OpenAPI 3.1), made from the code. `relay/openapi.json` is a copy that a test keeps equal.

use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};

use crate::http::caller::COOKIE_SECURE;
use crate::http::problem::Problem;

/// Operations that send a body or delete and need no `Idempotency-Key`, because repeating them does no harm.
const WITHOUT_KEY: [&str; 5] = [
    "log_in",
    "log_out",
    "evaluate_findings",
    "report_focus",
    "search_reading_requests",
];
/// Operations that need no login.
const WITHOUT_LOGIN: [&str; 1] = ["log_in"];

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Tancho relay",
        description = "Reading requests, reports, phone calls and images of a teleradiology network. \
            Instants are milliseconds UTC. Every refusal is a problem document (RFC 9457) with a stable `code`."
    ),
    components(schemas(Problem))
)]
struct Base;

/// The document before any slice has added its routes.
#[must_use]
pub fn base() -> utoipa::openapi::OpenApi {
    let mut document = Base::openapi();
    let components = document.components.get_or_insert_default();
    components.add_security_scheme(
        "session",
        SecurityScheme::ApiKey(ApiKey::Cookie(ApiKeyValue::with_description(
            COOKIE_SECURE,
            "set by logging in; named `tancho` on plain HTTP over loopback",
        ))),
    );
    components.add_security_scheme(
        "bearer",
        SecurityScheme::Http(HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build()),
    );
    document
}

/// The document with what holds for every operation: problem documents, login, `Idempotency-Key`.
#[must_use]
pub fn completed(document: utoipa::openapi::OpenApi) -> Value {
    let mut document = serde_json::to_value(document).expect("the document is made of texts and maps");
    let operations = document
        .get_mut("paths")
        .and_then(Value::as_object_mut)
        .into_iter()
        .flat_map(|paths| paths.values_mut())
        .filter_map(Value::as_object_mut)
        .flat_map(|path| path.iter_mut());
    for (method, operation) in operations {
        complete_operation(method, operation);
    }
    document
}

fn complete_operation(method: &str, operation: &mut Value) {
    let id = operation["operationId"].as_str().unwrap_or_default().to_owned();
    let changes_something = matches!(method, "post" | "put" | "patch" | "delete");
    operation["responses"]["default"] = json!({
        "description": "refused or failed",
        "content": { "application/problem+json": { "schema": { "$ref": "#/components/schemas/Problem" } } },
    });
    operation["security"] = if WITHOUT_LOGIN.contains(&id.as_str()) {
        json!([])
    } else {
        json!([{ "session": [] }, { "bearer": [] }])
    };
    if changes_something && !WITHOUT_KEY.contains(&id.as_str()) {
        let key = json!({
            "name": "Idempotency-Key", "in": "header", "required": true,
            "description": "a UUID made where the person acted; repeating it gives the first answer",
            "schema": { "type": "string", "format": "uuid" },
        });
        match operation["parameters"].as_array_mut() {
            Some(parameters) => parameters.push(key),
            None => operation["parameters"] = json!([key]),
        }
    }
}

/// The document of this program.
#[must_use]
pub fn document() -> Value {
    completed(crate::http::router::slices().into_openapi())
}
