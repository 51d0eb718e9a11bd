//! Who may look. In: requests. Out: those that may be answered, and headers that keep browsers from doing more than asked.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::middleware::Next;
use axum::response::{IntoResponse as _, Redirect, Response};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use super::{Shared, count};
use crate::bytes::hex;

/// Letters that a token has at least: 16 of base64 are 96 bits.
const SHORTEST: usize = 16;
/// Name of the cookie that stands for the token.
const COOKIE: &str = "meetscope";
/// Seconds after which a browser is asked for the token again: half a day.
const COOKIE_S: u32 = 43_200;

/// What a browser may do with the answers: run our own script and style, ask us, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; \
     form-action 'self'; base-uri 'none'; frame-ancestors 'none'";

/// Headers of every answer.
const HEADERS: [(HeaderName, &str); 8] = [
    (header::CONTENT_SECURITY_POLICY, POLICY),
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
    (header::CACHE_CONTROL, "no-store"),
    (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
    (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    (HeaderName::from_static("permissions-policy"), "camera=(), microphone=(), geolocation=()"),
];

/// What a visitor has to bring. Only its digest is kept.
#[derive(Clone)]
pub struct Token {
    digest: [u8; 32],
}

impl fmt::Debug for Token {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str("Token(..)")
    }
}

/// Why a token is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum TokenError {
    /// It could be guessed.
    #[error(
        "the token has {letters} letters; at least {SHORTEST} are needed (head -c 32 /dev/urandom | base64 makes one)"
    )]
    Short {
        /// Its length.
        letters: usize,
    },
    /// It could not be sent in a header.
    #[error("the token may hold letters, digits and signs of ASCII only, without spaces, in one line")]
    Letters,
}

impl Token {
    /// Of the first line of a file or of a variable; spaces around it do not count.
    ///
    /// # Errors
    /// Where it is too short, or holds what no header can.
    pub fn new(text: &str) -> Result<Self, TokenError> {
        let text = text.trim();
        if !text.chars().all(|letter| letter.is_ascii_graphic()) {
            return Err(TokenError::Letters);
        }
        if text.len() < SHORTEST {
            return Err(TokenError::Short { letters: text.len() });
        }
        Ok(Self { digest: digest(text.as_bytes()) })
    }

    /// Compared by digests, in a time that says nothing of where they differ.
    fn is(&self, given: &str) -> bool {
        self.digest.ct_eq(&digest(given.as_bytes())).into()
    }

    /// What a browser keeps instead of the token, which cannot be had from it.
    fn cookie(&self) -> String {
        let mut hash = Sha256::new();
        hash.update(b"meetscope dashboard cookie");
        hash.update(self.digest);
        hex(&hash.finalize())
    }

    fn is_cookie(&self, given: &str) -> bool {
        self.cookie().as_bytes().ct_eq(given.as_bytes()).into()
    }
}

fn digest(bytes: &[u8]) -> [u8; 32] {
    Sha256::digest(bytes).into()
}

/// Pages that are shown without the token: they hold nothing of what was seen.
fn is_open(path: &str) -> bool {
    path == "/login" || path == "/healthz" || path.starts_with("/assets/")
}

/// One way in.
#[derive(Clone)]
pub(super) struct Door {
    shared: Arc<Shared>,
    /// The token is not asked for here.
    is_open: bool,
}

impl Door {
    pub(super) fn new(shared: &Arc<Shared>, is_open: bool) -> Self {
        Self { shared: Arc::clone(shared), is_open }
    }
}

/// Stands before every route.
pub(super) async fn guard(State(door): State<Door>, request: Request, next: Next) -> Response {
    count(&door.shared.counters.requests);
    let mut answer = match refusal(&door, &request) {
        Some(refused) => refused,
        None => next.run(request).await,
    };
    let headers = answer.headers_mut();
    for (name, value) in HEADERS {
        headers.insert(name, HeaderValue::from_static(value));
    }
    answer
}

fn refusal(door: &Door, request: &Request) -> Option<Response> {
    let shared = &door.shared;
    let headers = request.headers();
    let named = request.uri().host().map(str::to_owned).or_else(|| host(headers));
    if !named.as_deref().is_some_and(|name| is_ours(name, &shared.hosts)) {
        count(&shared.counters.refused_host);
        let why =
            "This name is not known here. Ask by address or as localhost, or name it with --web-host.\n";
        return Some((StatusCode::MISDIRECTED_REQUEST, why).into_response());
    }
    if is_of_another_site(headers) {
        count(&shared.counters.refused_host);
        return Some((StatusCode::FORBIDDEN, "Asked for by another site.\n").into_response());
    }
    let path = request.uri().path();
    let token = shared.token.as_ref().filter(|_| !door.is_open)?;
    if is_open(path) || bears(token, headers) {
        return None;
    }
    count(&shared.counters.refused_token);
    if path == "/" {
        return Some(Redirect::to("/login").into_response());
    }
    let challenge = [(header::WWW_AUTHENTICATE, "Bearer realm=\"meetscope\"")];
    Some((StatusCode::UNAUTHORIZED, challenge, "The token is needed.\n").into_response())
}

/// The name in the `Host` header, without its port; there has to be one of it.
fn host(headers: &HeaderMap) -> Option<String> {
    let mut all = headers.get_all(header::HOST).iter();
    let only = all.next()?.to_str().ok()?;
    if all.next().is_some() {
        return None;
    }
    let name = match only.strip_prefix('[') {
        Some(rest) => rest.split_once(']')?.0,
        None => only.split_once(':').map_or(only, |(name, _)| name),
    };
    Some(name.to_owned())
}

/// An address cannot be rebound to another; of names only those that are known are ours.
fn is_ours(name: &str, hosts: &[String]) -> bool {
    let name = name.trim_start_matches('[').trim_end_matches(']').trim_end_matches('.').to_ascii_lowercase();
    name == "localhost" || name.parse::<IpAddr>().is_ok() || hosts.contains(&name)
}

/// Browsers say where a request comes from. A page of another site may lead here, and nothing else.
fn is_of_another_site(headers: &HeaderMap) -> bool {
    let of = |name: &str| headers.get(name).and_then(|value| value.to_str().ok());
    let foreign = of("sec-fetch-site").is_some_and(|site| site == "cross-site" || site == "same-site");
    let led = of("sec-fetch-mode") == Some("navigate") && of("sec-fetch-dest") == Some("document");
    let origin = of("origin").filter(|origin| *origin != "null");
    let elsewhere = origin.is_some_and(|origin| {
        let authority = origin.split_once("://").map_or(origin, |(_, rest)| rest);
        of("host") != Some(authority)
    });
    (foreign && !led) || elsewhere
}

fn bears(token: &Token, headers: &HeaderMap) -> bool {
    let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
    let bearer = bearer.and_then(|value| value.split_once(' '));
    if let Some((scheme, given)) = bearer
        && scheme.eq_ignore_ascii_case("bearer")
    {
        return token.is(given.trim());
    }
    let cookies = headers.get_all(header::COOKIE).iter().filter_map(|value| value.to_str().ok());
    let mut cookies = cookies.flat_map(|line| line.split(';')).filter_map(|one| one.trim().split_once('='));
    cookies.any(|(name, value)| name == COOKIE && token.is_cookie(value))
}

/// Takes the form of the login page: one line, `token=...`.
pub(super) fn login(shared: &Shared, body: &str) -> Response {
    let given = body.trim().strip_prefix("token=").unwrap_or_default().trim();
    match &shared.token {
        Some(token) if token.is(given) => {
            let cookie =
                format!("{COOKIE}={}; HttpOnly; SameSite=Strict; Path=/; Max-Age={COOKIE_S}", token.cookie());
            ([(header::SET_COOKIE, cookie)], Redirect::to("/")).into_response()
        }
        Some(_) => {
            count(&shared.counters.refused_token);
            (StatusCode::UNAUTHORIZED, super::page::login(true)).into_response()
        }
        None => Redirect::to("/").into_response(),
    }
}

/// Takes the cookie back.
pub(super) fn logout() -> Response {
    let cookie = format!("{COOKIE}=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0");
    ([(header::SET_COOKIE, cookie)], Redirect::to("/login")).into_response()
}
