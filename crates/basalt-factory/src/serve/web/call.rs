//! A request and its answer, as values: what handlers see of HTTP.

use std::{net::IpAddr, path::PathBuf};

use axum::{
    body::Bytes,
    http::{HeaderMap, Method, StatusCode, header},
};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use schemars::JsonSchema;
use serde::{Serialize, de::DeserializeOwned};

use crate::serve::{
    Site,
    check::{Checked, Finding},
    event::Failure,
    form::Fields,
    secret,
    state::{Scope, StateError, Who},
};

/// The session's cookie.
pub(super) const COOKIE: &str = "basalt_session";
/// A cookie that a browser without a session has, so that its forms are known as ours.
pub(super) const STRANGER: &str = "basalt_form";

/// A request.
#[derive(Debug)]
pub(in crate::serve) struct Call {
    pub(super) method: Method,
    pub(super) path: String,
    /// What stands in the places of the route's path.
    pub(super) places: Vec<(String, String)>,
    pub(super) query: Fields,
    pub(super) headers: HeaderMap,
    pub(super) body: Bytes,
    pub(super) peer: IpAddr,
}

/// An answer.
#[derive(Debug)]
pub(in crate::serve) struct Reply {
    pub(super) status: StatusCode,
    pub(super) headers: Vec<(header::HeaderName, String)>,
    pub(super) body: Body,
}

/// What an answer carries.
#[derive(Debug)]
pub(super) enum Body {
    Bytes(Vec<u8>),
    /// A part of a file.
    File {
        path: PathBuf,
        start: u64,
        length: u64,
    },
    /// The events of a build after the first so many, until it ends.
    Events {
        folder: PathBuf,
        seen: usize,
    },
}

/// Why a request gets no answer of its own.
#[derive(Debug)]
pub(in crate::serve) enum Refusal {
    /// There is nothing here, or nothing of theirs.
    NotFound,
    /// Nobody is signed in, or the token opens nothing.
    Stranger,
    /// They are known and may not.
    Forbidden(&'static str),
    /// The request itself makes no sense.
    Bad(String),
    /// Not now: the thing is in another state.
    Conflict(String),
    /// The recipe is refused.
    Recipe(Box<Checked>),
    /// The recipe's packages can't be resolved.
    Unresolved(Box<Failure>),
    /// Too much at once: try again after so many seconds.
    TooMany { seconds: u64, why: &'static str },
    /// Too much of it.
    TooLarge,
    /// Ours.
    Broken(String),
}

/// The result of a handler.
pub(in crate::serve) type Outcome = Result<Reply, Refusal>;

/// What went wrong, for programs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub(super) struct Problem {
    /// A word for it.
    error: &'static str,
    /// What is wrong, for people.
    message: String,
    /// What to do next.
    hints: Vec<String>,
    /// What is wrong with the recipe, if that is what is wrong.
    findings: Vec<Finding>,
}

impl From<StateError> for Refusal {
    fn from(error: StateError) -> Self {
        Self::Broken(crate::error::chain(&error))
    }
}

impl Refusal {
    /// The status of the answer.
    pub(super) const fn status(&self) -> StatusCode {
        match self {
            Self::NotFound => StatusCode::NOT_FOUND,
            Self::Stranger => StatusCode::UNAUTHORIZED,
            Self::Forbidden(_) => StatusCode::FORBIDDEN,
            Self::Bad(_) => StatusCode::BAD_REQUEST,
            Self::Conflict(_) => StatusCode::CONFLICT,
            Self::Recipe(_) | Self::Unresolved(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::TooMany { .. } => StatusCode::TOO_MANY_REQUESTS,
            Self::TooLarge => StatusCode::PAYLOAD_TOO_LARGE,
            Self::Broken(_) => StatusCode::INTERNAL_SERVER_ERROR,
        }
    }

    /// What a person reads.
    pub(super) fn message(&self) -> String {
        match self {
            Self::NotFound => "there is nothing here".to_owned(),
            Self::Stranger => "sign in first".to_owned(),
            Self::Forbidden(why) => (*why).to_owned(),
            Self::Bad(why) | Self::Conflict(why) => why.clone(),
            Self::Recipe(_) => "the recipe is refused".to_owned(),
            Self::Unresolved(failure) => failure.line(),
            Self::TooMany { why, .. } => (*why).to_owned(),
            Self::TooLarge => "this is too large".to_owned(),
            // What broke is for whoever runs the factory: it is on standard error.
            Self::Broken(_) => "something here is broken; it is in the factory's log".to_owned(),
        }
    }

    const fn word(&self) -> &'static str {
        match self {
            Self::NotFound => "not-found",
            Self::Stranger => "unauthorized",
            Self::Forbidden(_) => "forbidden",
            Self::Bad(_) => "bad-request",
            Self::Conflict(_) => "conflict",
            Self::Recipe(_) => "recipe-refused",
            Self::Unresolved(_) => "unresolved",
            Self::TooMany { .. } => "too-many",
            Self::TooLarge => "too-large",
            Self::Broken(_) => "broken",
        }
    }

    /// The answer for a program.
    pub(super) fn into_json(self) -> Reply {
        let (status, word, message) = (self.status(), self.word(), self.message());
        let mut headers = self.headers();
        if status == StatusCode::UNAUTHORIZED {
            headers.push((header::WWW_AUTHENTICATE, "Bearer".to_owned()));
        }
        let (hints, findings) = match self {
            Self::Recipe(checked) => (Vec::new(), checked.findings),
            Self::Unresolved(failure) => (failure.hints, Vec::new()),
            Self::NotFound
            | Self::Stranger
            | Self::Forbidden(_)
            | Self::Bad(_)
            | Self::Conflict(_)
            | Self::TooMany { .. }
            | Self::TooLarge
            | Self::Broken(_) => (Vec::new(), Vec::new()),
        };
        let problem = Problem { error: word, message, hints, findings };
        let mut reply = Reply::json(&problem).with_status(status);
        reply.headers.extend(headers);
        reply
    }

    /// Headers that go with it.
    pub(super) fn headers(&self) -> Vec<(header::HeaderName, String)> {
        match self {
            Self::TooMany { seconds, .. } => vec![(header::RETRY_AFTER, seconds.to_string())],
            Self::NotFound
            | Self::Stranger
            | Self::Forbidden(_)
            | Self::Bad(_)
            | Self::Conflict(_)
            | Self::Recipe(_)
            | Self::Unresolved(_)
            | Self::TooLarge
            | Self::Broken(_) => Vec::new(),
        }
    }
}

impl Reply {
    /// Bytes of this type.
    pub(super) fn of(kind: &str, bytes: impl Into<Vec<u8>>) -> Self {
        let headers = vec![(header::CONTENT_TYPE, kind.to_owned())];
        Self { status: StatusCode::OK, headers, body: Body::Bytes(bytes.into()) }
    }

    /// A page.
    pub(super) fn html(page: maud::Markup) -> Self {
        // What a page shows is one account's.
        Self::of("text/html; charset=utf-8", page.into_string()).with(header::CACHE_CONTROL, "no-store")
    }

    /// A value for a program.
    pub(super) fn json(value: &impl Serialize) -> Self {
        match serde_json::to_vec(value) {
            Ok(bytes) => Self::of("application/json", bytes).with(header::CACHE_CONTROL, "no-store"),
            Err(error) => {
                crate::serve::complain(&format!("an answer can't be written: {error}"));
                Self::of("application/json", "{}").with_status(StatusCode::INTERNAL_SERVER_ERROR)
            }
        }
    }

    /// Sends a browser to another page, to be asked for anew.
    pub(super) fn see_other(path: &str) -> Self {
        Self {
            status: StatusCode::SEE_OTHER,
            headers: vec![(header::LOCATION, path.to_owned())],
            body: Body::Bytes(Vec::new()),
        }
    }

    pub(super) fn with(mut self, name: header::HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, value.into()));
        self
    }

    pub(super) fn with_status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// Gives a browser a cookie; without a value it takes the cookie away.
    pub(super) fn with_cookie(self, site: &Site, (name, value): (&str, Option<&str>)) -> Self {
        let secure = if site.options.is_https() { "; Secure" } else { "" };
        let age = if value.is_some() { "" } else { "; Max-Age=0" };
        let value = value.unwrap_or_default();
        self.with(
            header::SET_COOKIE,
            format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{age}"),
        )
    }
}

impl Call {
    /// What stands in a place of the route's path.
    pub(super) fn place(&self, name: &str) -> &str {
        self.places
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
            .unwrap_or_default()
    }

    /// A header as text.
    pub(super) fn header(&self, name: header::HeaderName) -> Option<&str> {
        self.headers.get(name).and_then(|value| value.to_str().ok())
    }

    /// The value of a cookie (RFC 6265 section 5.4).
    pub(super) fn cookie(&self, name: &str) -> Option<&str> {
        let cookies = self.header(header::COOKIE)?;
        let mut pairs = cookies.split(';').filter_map(|pair| pair.trim().split_once('='));
        pairs.find(|(known, _)| *known == name).map(|(_, value)| value)
    }

    /// The address that the browser knows us by.
    pub(super) fn origin(&self, site: &Site) -> String {
        match &site.options.public {
            Some(public) => public.trim_end_matches('/').to_owned(),
            None => format!("http://{}", self.header(header::HOST).unwrap_or_default()),
        }
    }

    /// The fields of a form.
    pub(super) fn fields(&self) -> Fields {
        Fields::read(&self.body)
    }

    /// A value from a program.
    pub(super) fn json<T: DeserializeOwned>(&self) -> Result<T, Refusal> {
        let kind = self.header(header::CONTENT_TYPE).unwrap_or_default();
        if !kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case("application/json")) {
            return Err(Refusal::Bad("the body must be application/json".to_owned()));
        }
        serde_json::from_slice(&self.body).map_err(|error| Refusal::Bad(format!("the body: {error}")))
    }

    /// Whether a script of ours asks, which wants a value and not a page.
    pub(super) fn wants_json(&self) -> bool {
        self.header(header::ACCEPT).is_some_and(|accept| accept.starts_with("application/json"))
    }

    /// Whoever is signed in with a browser.
    pub(super) fn signed_in(&self, site: &Site) -> Result<Who, Refusal> {
        let Some(cookie) = self.cookie(COOKIE) else { return Err(Refusal::Stranger) };
        site.state.session(cookie)?.ok_or(Refusal::Stranger)
    }

    /// Whoever is signed in and sent this form from one of our pages.
    pub(super) fn signed_form(&self, site: &Site) -> Result<(Who, Fields), Refusal> {
        let who = self.signed_in(site)?;
        let fields = self.fields();
        self.check_origin()?;
        let ours = who.form.as_ref().is_some_and(|form| secret::is_same(&form.0, fields.get("form")));
        if ours { Ok((who, fields)) } else { Err(NOT_OURS) }
    }

    /// A form of somebody who is not signed in: it holds the digest of a cookie that only we can have set.
    pub(super) fn strangers_form(&self) -> Result<Fields, Refusal> {
        self.check_origin()?;
        let fields = self.fields();
        let cookie = self.cookie(STRANGER).unwrap_or_default();
        let ours = !cookie.is_empty() && secret::is_same(&stranger_form(cookie), fields.get("form"));
        if ours { Ok(fields) } else { Err(NOT_OURS) }
    }

    /// Whoever this token belongs to, if it has the scope. A token is shown as a bearer's (RFC 6750), or as the password of any
    /// user (RFC 7617), which registries' and firmware's clients can.
    pub(super) fn token(&self, site: &Site, scope: Scope) -> Result<Who, Refusal> {
        let authorization = self.header(header::AUTHORIZATION).unwrap_or_default();
        let (kind, shown) = authorization.split_once(' ').ok_or(Refusal::Stranger)?;
        let token = match kind.to_ascii_lowercase().as_str() {
            "bearer" => shown.trim().to_owned(),
            "basic" => password(shown.trim()).ok_or(Refusal::Stranger)?,
            _other => return Err(Refusal::Stranger),
        };
        let who = site.state.token(&token)?.ok_or(Refusal::Stranger)?;
        match who.scopes.contains(&scope) {
            true => Ok(who),
            false => Err(Refusal::Forbidden(match scope {
                Scope::Read => "this token lacks the scope `read`",
                Scope::Build => "this token lacks the scope `build`",
                Scope::Manage => "this token lacks the scope `manage`",
            })),
        }
    }

    /// Refuses what another site made a browser send (Fetch Metadata; Origin where a browser has none of it).
    fn check_origin(&self) -> Result<(), Refusal> {
        let site = self.headers.get("sec-fetch-site").and_then(|value| value.to_str().ok());
        let host = self.header(header::HOST).unwrap_or_default();
        let foreign = match (site, self.header(header::ORIGIN)) {
            (Some(site), _) => !matches!(site, "same-origin" | "none"),
            (None, Some(origin)) => origin.split_once("://").is_none_or(|(_, from)| from != host),
            (None, None) => false,
        };
        if foreign { Err(NOT_OURS) } else { Ok(()) }
    }
}

/// The password of basic authentication.
fn password(encoded: &str) -> Option<String> {
    let decoded = String::from_utf8(STANDARD.decode(encoded).ok()?).ok()?;
    decoded.split_once(':').map(|(_user, password)| password.to_owned())
}

const NOT_OURS: Refusal =
    Refusal::Forbidden("this form is not from a page of this factory: load the page again");

/// What a stranger's form holds.
pub(super) fn stranger_form(cookie: &str) -> String {
    secret::digest_of(&format!("form of {cookie}")).hex()
}
