//! Scripts and styles, embedded in the binary. Their addresses carry a digest, so that browsers keep them for good.

use std::{collections::HashMap, io::Write as _, sync::LazyLock};

use axum::{
    Router,
    extract::Path,
    http::{
        HeaderMap, HeaderValue, StatusCode,
        header::{ACCEPT_ENCODING, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_TYPE, VARY},
    },
    response::{IntoResponse, Response},
    routing::get,
};
use flate2::{Compression, write::GzEncoder};
use sha2::{Digest, Sha256};

use crate::Shared;

const SCRIPT: &str = "text/javascript; charset=utf-8";
const STYLE: &str = "text/css; charset=utf-8";
/// For a year: another content has another address.
const FOR_GOOD: HeaderValue = HeaderValue::from_static("public, max-age=31536000, immutable");

/// Name, kind, content.
const FILES: [(&str, &str, &[u8]); 7] = [
    ("app.css", STYLE, include_bytes!("../assets/app.css")),
    ("app.js", SCRIPT, include_bytes!("../assets/app.js")),
    ("door.js", SCRIPT, include_bytes!("../assets/door.js")),
    ("htmx.min.js", SCRIPT, include_bytes!("../assets/htmx.min.js")),
    ("uplot.min.css", STYLE, include_bytes!("../assets/uplot.min.css")),
    ("uplot.min.js", SCRIPT, include_bytes!("../assets/uplot.min.js")),
    ("icon.svg", "image/svg+xml", include_bytes!("../assets/icon.svg")),
];

struct Asset {
    kind: &'static str,
    plain: &'static [u8],
    packed: Vec<u8>,
    address: String,
}

static ASSETS: LazyLock<HashMap<&'static str, Asset>> = LazyLock::new(|| {
    let made = |(name, kind, plain): &(&'static str, &'static str, &'static [u8])| {
        let digest = hex::encode(Sha256::digest(plain));
        let address = format!("/assets/{}/{name}", digest.get(..12).unwrap_or_default());
        // Without a packed one the plain one is sent.
        let mut packer = GzEncoder::new(Vec::new(), Compression::best());
        let packed = packer.write_all(plain).and_then(|()| packer.finish()).unwrap_or_default();
        (*name, Asset { kind, plain, packed, address })
    };
    FILES.iter().map(made).collect()
});

/// Where a file is.
pub(crate) fn address(name: &str) -> &'static str {
    ASSETS.get(name).map_or("", |asset| asset.address.as_str())
}

pub(crate) fn router() -> Router<Shared> {
    Router::new().route("/assets/{digest}/{name}", get(file))
}

async fn file(Path((digest, name)): Path<(String, String)>, headers: HeaderMap) -> Response {
    let found = ASSETS.get(name.as_str()).filter(|asset| asset.address == format!("/assets/{digest}/{name}"));
    let Some(asset) = found else { return StatusCode::NOT_FOUND.into_response() };
    let packed = headers
        .get(ACCEPT_ENCODING)
        .and_then(|accepted| accepted.to_str().ok())
        .is_some_and(|accepted| accepted.contains("gzip") && !asset.packed.is_empty());
    let body: &'static [u8] = if packed { &asset.packed } else { asset.plain };
    let mut response = body.into_response();
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(asset.kind));
    headers.insert(CACHE_CONTROL, FOR_GOOD);
    headers.insert(VARY, HeaderValue::from_static("accept-encoding"));
    if packed {
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}
