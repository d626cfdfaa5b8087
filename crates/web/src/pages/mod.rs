//! The pages. They read what the API reads, and do what it does, through the same functions.

mod accounts;
mod activity;
mod changes;
mod demo;
mod follow_form;
mod following;
mod home;
mod leaders;
mod operations;
mod order_page;
mod positions;

use askama::Template;
use axum::{
    Extension, Router,
    extract::DefaultBodyLimit,
    http::{HeaderName, HeaderValue, StatusCode, header::CONTENT_TYPE},
    response::{Html, IntoResponse, Response},
    routing::{get, post},
};
use tracing::error;

use crate::{
    Shared,
    guard::{Token, Visitor},
    limits::BODY,
    problem::Problem,
};

/// What every page is made with.
pub(crate) struct Page {
    pub(crate) title: String,
    /// Its address, by which it is asked for again.
    pub(crate) path: String,
    /// What its writes carry.
    pub(crate) token: String,
    /// Whom it is for.
    pub(crate) visitor: Visitor,
}

/// Pages of the navigation.
const PAGES: [(&str, &str); 9] = [
    ("/", "Home"),
    ("/activity", "Activity"),
    ("/following", "Following"),
    ("/leaders", "Leaders"),
    ("/positions", "Positions"),
    ("/accounts", "Accounts"),
    ("/operations", "Operations"),
    ("/users", "Users"),
    ("/security", "Security"),
];

impl Page {
    pub(crate) fn new(title: &str, path: &str, token: &Token) -> Self {
        Self {
            title: title.to_owned(),
            path: path.to_owned(),
            token: token.0.clone(),
            visitor: token.1.clone(),
        }
    }

    pub(crate) fn pages(&self) -> impl Iterator<Item = (&'static str, &'static str)> {
        let Visitor { operates, administers, .. } = self.visitor;
        let may = move |path: &str| match path {
            "/operations" => operates,
            "/users" => administers,
            _ => true,
        };
        PAGES.into_iter().filter(move |(path, _)| may(path))
    }

    pub(crate) fn is_at(&self, path: &str) -> bool {
        match path {
            "/" => self.path == "/",
            "/activity" => ["/activity", "/trades", "/orders"].iter().any(|of| self.path.starts_with(of)),
            other => self.path.starts_with(other),
        }
    }
}

/// A page, or why there is none.
pub(crate) type Shown = Result<Response, Failed>;

/// A page that could not be made, told as a page.
pub(crate) struct Failed {
    problem: Problem,
    page: Option<Page>,
}

impl Failed {
    /// Of a page with its frame.
    pub(crate) fn on(page: Page) -> impl FnOnce(Problem) -> Self {
        |problem| Self { problem, page: Some(page) }
    }
}

impl From<Problem> for Failed {
    fn from(problem: Problem) -> Self {
        Self { problem, page: None }
    }
}

#[derive(Template)]
#[template(path = "error.html")]
struct ErrorPage<'a> {
    page: Page,
    problem: &'a Problem,
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        let Self { problem, page } = self;
        match page {
            Some(page) => {
                let code = problem.code();
                let shown = html(&ErrorPage { page, problem: &problem });
                (code, shown).into_response()
            }
            None => notice(&problem),
        }
    }
}

/// A template as a page.
pub(crate) fn html(template: &impl Template) -> Response {
    match template.render() {
        Ok(text) => Html(text).into_response(),
        Err(error) => {
            error!(%error, "a page cannot be written: {error}");
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}

/// What was not done, as a note on the page that asked for it.
fn notice(problem: &Problem) -> Response {
    let mut response = (problem.code(), Html(note("bad", &problem.detail))).into_response();
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/html; charset=utf-8"));
    response
}

/// What was done, as a note on the page that asked for it, which then shows everything anew.
pub(crate) fn done(words: &str) -> Response {
    let mut response = Html(note("good", words)).into_response();
    response.headers_mut().insert(HeaderName::from_static("hx-trigger"), HeaderValue::from_static("refresh"));
    response
}

/// Goes to another page of ours.
pub(crate) fn go_to(path: &str) -> Response {
    let mut response = StatusCode::OK.into_response();
    if let Ok(path) = HeaderValue::from_str(path) {
        response.headers_mut().insert(HeaderName::from_static("hx-redirect"), path);
    }
    response
}

#[derive(Template)]
#[template(source = "<p class=\"notice {{ tone }}\">{{ words }}</p>", ext = "html")]
struct Note<'a> {
    tone: &'a str,
    words: &'a str,
}

fn note(tone: &str, words: &str) -> String {
    Note { tone, words }.render().unwrap_or_default()
}

/// Addresses that nobody has.
pub(crate) async fn not_found(Extension(token): Extension<Token>) -> Failed {
    let page = Page::new("Not found", "", &token);
    Failed::on(page)(Problem::not_found("there is no such page"))
}

/// The routes of the pages.
pub(crate) fn router() -> Router<Shared> {
    Router::new()
        .route("/", get(home::page))
        .route("/activity", get(activity::page))
        .route("/trades/{tx}", get(activity::trade))
        .route("/orders/{order}", get(order_page::page))
        .route("/leaders", get(leaders::page))
        .route("/leaders/find", get(leaders::find))
        .route("/leaders/{wallet}", get(leaders::one))
        .route("/following", get(following::page).post(following::follow))
        .route("/following/new", get(following::new))
        .route("/following/preview", post(following::preview))
        .route("/following/{relationship}", get(following::one))
        .route("/following/{relationship}/edit", get(following::edit_form).post(following::edit))
        .route("/following/{relationship}/preview", post(following::preview_edit))
        .route("/following/{relationship}/{what}", post(changes::set_status))
        .route("/positions", get(positions::page))
        .route("/positions/ledger.csv", get(positions::ledger))
        .route("/accounts", get(accounts::page).post(accounts::add))
        .route("/operations", get(operations::page))
        .route("/panic", post(changes::panic))
        .route("/holds/{hold}/lift", post(changes::lift))
        .route("/demo", get(demo::strip))
        .route("/demo/break", post(demo::break_something))
        .layer(DefaultBodyLimit::max(BODY))
}
