//! `/api/openapi.json` for programs and `/api/docs` for people: one page made here, nothing loaded from elsewhere.

use std::fmt::Write as _;

use axum::Router;
use axum::http::header::CONTENT_TYPE;
use axum::response::IntoResponse;
use axum::routing::get;
use serde_json::Value;

use crate::http::caller::Caller;
use crate::state::AppState;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
code{font:14px ui-monospace,monospace}summary{cursor:pointer;padding:.3rem 0}\
table{border-collapse:collapse}td,th{border:1px solid #999;padding:.2rem .6rem;text-align:left;vertical-align:top}\
@media(prefers-color-scheme:dark){body{background:#111;color:#ddd}}";

/// The routes. Both need a login.
pub fn routes(document: &Value) -> Router<AppState> {
    let json = document.to_string();
    let page = page_of(document);
    Router::new()
        .route(
            "/api/openapi.json",
            get(move |_: Caller| async move { ([(CONTENT_TYPE, "application/json")], json).into_response() }),
        )
        .route(
            "/api/docs",
            get(move |_: Caller| async move {
                ([(CONTENT_TYPE, "text/html; charset=utf-8")], page).into_response()
            }),
        )
        .route(
            "/api/docs.css",
            get(|| async { ([(CONTENT_TYPE, "text/css; charset=utf-8")], STYLE) }),
        )
}

fn page_of(document: &Value) -> String {
    let mut page = String::from(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\"><title>Tancho relay API</title>\
         <link rel=\"stylesheet\" href=\"/api/docs.css\"></head><body><main><h1>Tancho relay API</h1>",
    );
    let about = document["info"]["description"].as_str().unwrap_or_default();
    let _ = write!(
        page,
        "<p>{}</p><p><a href=\"/api/openapi.json\">openapi.json</a></p>",
        escaped(about)
    );
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, operation) in item.as_object().into_iter().flatten() {
            write_operation(&mut page, method, path, operation);
        }
    }
    page.push_str("<h2>Shapes</h2>");
    for (name, schema) in document["components"]["schemas"]
        .as_object()
        .into_iter()
        .flatten()
    {
        write_schema(&mut page, name, schema);
    }
    page.push_str("</main></body></html>");
    page
}

fn write_operation(page: &mut String, method: &str, path: &str, operation: &Value) {
    let _ = write!(
        page,
        "<details><summary><code>{} {}</code></summary>",
        escaped(&method.to_uppercase()),
        escaped(path)
    );
    for key in ["summary", "description"] {
        if let Some(text) = operation[key].as_str() {
            let _ = write!(page, "<p>{}</p>", escaped(text));
        }
    }
    page.push_str("<ul>");
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let _ = write!(
            page,
            "<li><code>{}</code> ({}){}: {}</li>",
            escaped(parameter["name"].as_str().unwrap_or_default()),
            escaped(parameter["in"].as_str().unwrap_or_default()),
            if parameter["required"] == true {
                ", required"
            } else {
                ""
            },
            escaped(parameter["description"].as_str().unwrap_or_default())
        );
    }
    if let Some(shape) = shape_in(&operation["requestBody"]["content"]) {
        let _ = write!(page, "<li>takes {shape}</li>");
    }
    for (status, response) in operation["responses"].as_object().into_iter().flatten() {
        let shape = shape_in(&response["content"])
            .map(|shape| format!(": {shape}"))
            .unwrap_or_default();
        let about = escaped(response["description"].as_str().unwrap_or_default());
        let _ = write!(page, "<li>{} {about}{shape}</li>", escaped(status));
    }
    page.push_str("</ul></details>");
}

fn shape_in(content: &Value) -> Option<String> {
    content
        .as_object()?
        .values()
        .next()
        .map(|media| shape_of(&media["schema"]))
}

fn shape_of(schema: &Value) -> String {
    if let Some(name) = schema["$ref"]
        .as_str()
        .and_then(|reference| reference.rsplit('/').next())
    {
        return format!("<a href=\"#{0}\">{0}</a>", escaped(name));
    }
    for key in ["oneOf", "anyOf", "allOf"] {
        if let Some(choices) = schema[key].as_array() {
            return choices.iter().map(shape_of).collect::<Vec<_>>().join(" or ");
        }
    }
    match &schema["type"] {
        Value::String(kind) if kind == "array" => format!("list of {}", shape_of(&schema["items"])),
        Value::String(kind) => escaped(kind),
        Value::Array(kinds) => escaped(
            &kinds
                .iter()
                .filter_map(Value::as_str)
                .collect::<Vec<_>>()
                .join(" or "),
        ),
        _ => "anything".to_owned(),
    }
}

fn write_schema(page: &mut String, name: &str, schema: &Value) {
    let name = escaped(name);
    let _ = write!(
        page,
        "<h3 id=\"{name}\">{name}</h3><p>{}</p>",
        escaped(schema["description"].as_str().unwrap_or(""))
    );
    if let Some(words) = schema["enum"].as_array() {
        let words = words
            .iter()
            .filter_map(Value::as_str)
            .map(escaped)
            .collect::<Vec<_>>();
        let _ = write!(
            page,
            "<p>one of <code>{}</code></p>",
            words.join("</code>, <code>")
        );
    }
    page.push_str("<table>");
    for (field, about) in schema["properties"].as_object().into_iter().flatten() {
        let required = schema["required"]
            .as_array()
            .is_some_and(|names| names.iter().any(|name| name == field));
        let _ = write!(
            page,
            "<tr><td><code>{}</code>{}</td><td>{}</td><td>{}</td></tr>",
            escaped(field),
            if required { "" } else { " (may be absent)" },
            shape_of(about),
            escaped(about["description"].as_str().unwrap_or_default())
        );
    }
    page.push_str("</table>");
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
}
