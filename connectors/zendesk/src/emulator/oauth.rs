//! Logins: the token endpoint, tokens that end, who asks.

use std::collections::HashMap;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use overlock_core::Timestamp;
use overlock_sandbox::{Request, Response};
use serde_json::{Value, json};

use super::answer::{Answer, Refusal, json as answer};
use super::options::{Behaviour, Credentials};

/// Who a request comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Caller {
    /// No credentials.
    Anonymous,
    /// A known user with these scopes.
    Known(Vec<String>),
}

#[derive(Debug, Clone)]
struct Token {
    id: u64,
    expires: Timestamp,
    scopes: Vec<String>,
    /// Requests it is still good for.
    left: Option<u64>,
}

/// Tokens that were given out.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    access: HashMap<String, Token>,
    /// Refresh token to its end, the access token of the same pair, and whether it is still good.
    refresh: HashMap<String, (Timestamp, Option<String>, bool)>,
    serial: u64,
    /// The access token of the account is dead.
    revoked: bool,
    /// Tokens given out.
    pub(super) logins: u64,
}

impl Tokens {
    /// Ends every access token, the fixed one too if asked for.
    pub(super) fn expire_all(&mut self, fixed: bool) {
        self.access.clear();
        self.revoked |= fixed;
    }

    /// Who asks, by the `Authorization` header.
    pub(super) fn caller(&mut self, request: &Request, known: &Credentials) -> Answer<Caller> {
        let header = request.header("authorization");
        let Some((kind, rest)) = header.split_once(' ') else {
            return Ok(Caller::Anonymous);
        };
        if kind.eq_ignore_ascii_case("basic") {
            let decoded = STANDARD.decode(rest.trim()).unwrap_or_default();
            let wanted = format!("{}/token:{}", known.email, known.api_token);
            return if decoded == wanted.as_bytes() {
                Ok(Caller::Known(known.granted.clone()))
            } else if decoded.windows(7).any(|part| part == b"/token:") {
                Err(Refusal::not_authenticated())
            } else {
                // A password, which the service forgets about rather than refuses.
                Ok(Caller::Anonymous)
            };
        }
        if !kind.eq_ignore_ascii_case("bearer") {
            return Err(Refusal::not_authenticated());
        }
        let token = rest.trim();
        if token == known.access_token && !self.revoked {
            return Ok(Caller::Known(known.granted.clone()));
        }
        let Some(found) = self.access.get_mut(token) else {
            return Err(Refusal::invalid_token());
        };
        if found.expires <= request.at || found.left == Some(0) {
            return Err(Refusal::invalid_token());
        }
        found.left = found.left.map(|left| left - 1);
        Ok(Caller::Known(found.scopes.clone()))
    }

    /// `POST /oauth/tokens`.
    pub(super) fn token(
        &mut self,
        request: &Request,
        known: &Credentials,
        behaviour: &Behaviour,
    ) -> Answer {
        let given = parameters(request)?;
        let text = |name: &str| given[name].as_str().unwrap_or_default().to_owned();
        let invalid_client = || {
            Refusal::oauth(
                401,
                "invalid_client",
                "Client authentication failed due to unknown client, no client authentication included, or \
                 unsupported authentication method.",
            )
        };
        let secret_may_lack = known.public_client && text("grant_type") == "refresh_token";
        let has_secret = text("client_secret") == known.client_secret;
        if text("client_id") != known.client_id || !has_secret && !secret_may_lack {
            return Err(invalid_client());
        }
        let scopes = wanted_scopes(&given, known)?;
        let life = life(
            &given["expires_in"],
            300,
            172_801,
            behaviour.access_token_secs,
        )?;
        let refresh_life = life_of_refresh(&given, behaviour)?;
        match text("grant_type").as_str() {
            "client_credentials" if known.public_client => Err(Refusal::oauth(
                400,
                "unauthorized_client",
                "The client is not authorized to request a token using this method.",
            )),
            "client_credentials" => {
                let token = self.open(request.at, life, &scopes, behaviour);
                Ok(answer(grant(&token, &scopes, life, None, behaviour)))
            }
            "refresh_token" => {
                let shown = text("refresh_token");
                if shown == known.refresh_token && !self.refresh.contains_key(&shown) {
                    let end = request.at.plus(Duration::from_secs(refresh_life));
                    self.refresh.insert(shown.clone(), (end, None, true));
                }
                let refused = || {
                    Refusal::oauth(
                        400,
                        "invalid_grant",
                        "The provided authorization grant or refresh token is invalid, expired or revoked.",
                    )
                };
                let entry = self.refresh.get_mut(&shown).ok_or_else(refused)?;
                // Showing a consumed token again is refused, and harms nothing else.
                if !entry.2 || entry.0 <= request.at {
                    return Err(refused());
                }
                entry.2 = false;
                if let Some(old) = entry.1.take() {
                    self.access.remove(&old);
                }
                let token = self.open(request.at, life, &scopes, behaviour);
                let next = format!("canary-zendesk-refresh-{:06}", self.serial);
                let end = request.at.plus(Duration::from_secs(refresh_life));
                self.refresh
                    .insert(next.clone(), (end, Some(token.clone()), true));
                let refresh = Some((next.as_str(), refresh_life));
                Ok(answer(grant(&token, &scopes, life, refresh, behaviour)))
            }
            _ => Err(Refusal::oauth(
                400,
                "unsupported_grant_type",
                "The authorization grant type is not supported by the authorization server.",
            )),
        }
    }

    fn open(
        &mut self,
        now: Timestamp,
        life: u64,
        scopes: &[String],
        behaviour: &Behaviour,
    ) -> String {
        self.serial += 1;
        self.logins += 1;
        let text = format!("canary-zendesk-token-{:06}", self.serial);
        let token = Token {
            id: self.serial,
            expires: now.plus(Duration::from_secs(life)),
            scopes: scopes.to_vec(),
            left: behaviour.access_token_requests,
        };
        self.access.insert(text.clone(), token);
        text
    }

    /// `GET /api/v2/oauth/tokens/current.json`.
    pub(super) fn current(&self, request: &Request, known: &Credentials) -> Response {
        let shown = request.header("authorization");
        let shown = shown.split_once(' ').map_or("", |(_, token)| token.trim());
        let token = match self.access.get(shown) {
            Some(token) => json!({
                "id": token.id, "client_id": 223_443, "user_id": 29_802, "expires_at": token.expires.floor_second(),
                "scopes": token.scopes, "created_at": request.at.floor_second(),
            }),
            None => json!({
                "id": 1, "client_id": 223_443, "user_id": 29_802, "expires_at": null, "scopes": known.granted,
            }),
        };
        answer(json!({ "token": token }).to_string())
    }
}

fn parameters(request: &Request) -> Answer<Value> {
    if request.method != http::Method::POST {
        return Err(Refusal::invalid_endpoint());
    }
    if let Ok(value) = serde_json::from_slice(&request.body) {
        return Ok(value);
    }
    let pairs = request.form_pairs().into_iter();
    Ok(Value::Object(
        pairs.map(|(name, value)| (name, value.into())).collect(),
    ))
}

fn wanted_scopes(given: &Value, known: &Credentials) -> Answer<Vec<String>> {
    let wanted = given["scope"].as_str().unwrap_or("read");
    let wanted: Vec<String> = wanted.split_whitespace().map(str::to_owned).collect();
    let is_known = |scope: &String| {
        let root = scope.rsplit(':').next().unwrap_or_default();
        root == "read" || root == "write"
    };
    // A name that means nothing is granted, and good for nothing.
    let outside = wanted.iter().filter(|scope| is_known(scope));
    if outside.clone().any(|scope| {
        let root = scope.rsplit(':').next().unwrap_or_default();
        !known
            .scopes
            .iter()
            .any(|ceiling| ceiling == scope || ceiling == root)
    }) {
        return Err(Refusal::oauth(
            400,
            "invalid_scope",
            "The requested scope is invalid, unknown, or malformed.",
        ));
    }
    Ok(wanted)
}

fn life(given: &Value, low: u64, high: u64, otherwise: u64) -> Answer<u64> {
    let wanted = match given {
        Value::Null => return Ok(otherwise),
        Value::String(text) => text.parse().ok(),
        other => other.as_u64(),
    };
    match wanted {
        // A test may have set a shorter life than a client can ask for: then it is meant.
        Some(wanted) if wanted > low && wanted < high => {
            Ok(if otherwise <= low { otherwise } else { wanted })
        }
        _ => Err(Refusal::oauth(
            400,
            "invalid_request",
            "expires_in is out of range",
        )),
    }
}

fn life_of_refresh(given: &Value, behaviour: &Behaviour) -> Answer<u64> {
    life(
        &given["refresh_token_expires_in"],
        604_800,
        7_776_000,
        behaviour.refresh_token_secs,
    )
}

fn grant(
    token: &str,
    scopes: &[String],
    life: u64,
    refresh: Option<(&str, u64)>,
    behaviour: &Behaviour,
) -> String {
    let scope = behaviour.echoed_scope.clone().unwrap_or(scopes.join(" "));
    let mut body = json!({
        "access_token": token, "token_type": "bearer", "scope": scope, "expires_in": life,
    });
    if let Some((token, life)) = refresh {
        body["refresh_token"] = token.into();
        body["refresh_token_expires_in"] = life.into();
    }
    body.to_string()
}
