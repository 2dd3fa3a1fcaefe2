//! Logins: the token endpoint, tokens that end, key headers, entities and organisations.

use std::collections::HashMap;
use std::time::Duration;

use overlock_core::Timestamp;
use overlock_sandbox::{Request, Response};
use serde_json::json;

use super::call::{json_answer, refusal};
use super::options::{Behaviour, Credentials};

/// Tokens that were given out, and when they end.
#[derive(Debug, Default)]
pub(super) struct Tokens {
    open: HashMap<String, Option<Timestamp>>,
    serial: u64,
    /// Tokens given out.
    pub(super) logins: u64,
}

impl Tokens {
    /// Ends every token that was given out.
    pub(super) fn expire_all(&mut self) {
        self.open.clear();
    }

    /// `POST /oauth/token`.
    pub(super) fn token(
        &mut self,
        request: &Request,
        known: &Credentials,
        behaviour: &Behaviour,
    ) -> Response {
        if request.method != http::Method::POST {
            return refusal(405, 90_000_045, "Request method is not supported");
        }
        let pairs = request.form_pairs();
        let given = |name: &str| {
            let found = pairs.iter().find(|(key, _)| key == name);
            found.map_or("", |(_, value)| value.as_str())
        };
        if given("grant_type") != "client_credentials" {
            let body = json!({
                "error": "unsupported_grant_type",
                "error_description": "Unsupported grant type",
            });
            return json_answer(400, &body);
        }
        if given("client_id") != known.client_id || given("client_secret") != known.client_secret {
            return denied("Invalid client id or secret");
        }
        self.serial += 1;
        self.logins += 1;
        let token = format!("canary-zuora-token-{:013x}", self.serial);
        let ends = (behaviour.token_secs > 0)
            .then(|| request.at.plus(Duration::from_secs(behaviour.token_secs)));
        self.open.insert(token.clone(), ends);
        let life = match behaviour.token_secs {
            0 => 3_599,
            secs => secs.saturating_sub(1).max(1),
        };
        json_answer(
            200,
            &json!({
                "access_token": token,
                "expires_in": life,
                "jti": format!("c652cbc0ea384b9f81856a{:010x}", self.serial),
                "scope": "entity.1a2b7a37-3e7d-4cb3-b0e2-883de9e766cc service.echo.read tenant.19",
                "token_type": "bearer",
            }),
        )
    }

    /// Whether a request may pass.
    pub(super) fn admit(
        &self,
        request: &Request,
        known: &Credentials,
    ) -> Result<(), Box<Response>> {
        let user = request.header("apiaccesskeyid");
        if !user.is_empty() {
            let good = user == known.user && request.header("apisecretaccesskey") == known.password;
            return if good {
                Ok(())
            } else {
                let message = "this resource is protected, please sign in first";
                Err(Box::new(denied(message)))
            };
        }
        let header = request.header("authorization");
        let token = header
            .split_once(' ')
            .filter(|(kind, _)| kind.eq_ignore_ascii_case("bearer"))
            .map(|(_, token)| token.trim());
        let ends = token.and_then(|token| self.open.get(token));
        match ends {
            Some(ends) if ends.is_none_or(|ends| request.at < ends) => Ok(()),
            _ => Err(Box::new(denied("Failed to get user info"))),
        }
    }
}

fn denied(message: &str) -> Response {
    let body = json!({
        "success": false,
        "reasons": [{"code": "90000011", "message": message}],
    });
    json_answer(401, &body)
}

fn forbidden(message: &str) -> Box<Response> {
    Box::new(refusal(403, 90_000_010, message))
}

/// The entity that a request names, in a tenant that has several.
pub(super) fn entity(
    request: &Request,
    entities: &[String],
) -> Result<Option<usize>, Box<Response>> {
    let wanted = request.header("zuora-entity-ids");
    if entities.is_empty() {
        return if wanted.is_empty() {
            Ok(None)
        } else {
            Err(forbidden(
                "The tenant does not have the multi-entity feature: do not send Zuora-Entity-Ids.",
            ))
        };
    }
    if wanted.is_empty() {
        return Err(forbidden(
            "The header Zuora-Entity-Ids is required: the user can access more than one entity.",
        ));
    }
    let place = entities.iter().position(|entity| entity == wanted);
    place
        .map(Some)
        .ok_or_else(|| forbidden("The user cannot access the entity of Zuora-Entity-Ids."))
}

/// Whether the organisations that a request names are known.
pub(super) fn organisations(request: &Request, known: &[String]) -> Result<(), Box<Response>> {
    let wanted = request.header("zuora-org-ids");
    let strange = wanted
        .split(',')
        .map(str::trim)
        .any(|id| !id.is_empty() && !known.iter().any(|known| known == id));
    if strange {
        let message = "The user cannot access an organisation of Zuora-Org-Ids.";
        return Err(forbidden(message));
    }
    Ok(())
}
