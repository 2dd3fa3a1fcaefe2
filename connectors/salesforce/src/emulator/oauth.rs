//! Logins and sessions: the token endpoint with its four flows, revoke, userinfo, introspect.
//!
//! A session dies by inactivity on the virtual clock. Refresh tokens may rotate: then the old one is
//! dead at once, and showing it again revokes everything that came from it.

use std::collections::HashMap;

use base64::Engine as _;
use jsonwebtoken::{Algorithm, DecodingKey, Validation};
use overlock_core::Timestamp;
use overlock_sandbox::{Request, Response};
use serde::Deserialize;
use sha2::{Digest, Sha256};

use super::answer::{Answer, Refusal, empty, quote};
use super::options::{Behaviour, Credentials};
use super::schema::id18;

/// The org that is played, 18 characters.
pub(super) fn org_id() -> String {
    id18("00DOv0000000001")
}

/// The user that every session acts as, 18 characters.
pub(super) fn user_id() -> String {
    id18("005Ov0000000001")
}

/// An assertion may run out at most so many seconds after it was made (3 minutes, with some slack for
/// clocks that differ).
const LONGEST_ASSERTION_SECS: i64 = 3 * 60 + 120;

#[derive(Debug)]
struct Session {
    last_used: Timestamp,
    /// The refresh family it came from.
    family: Option<u64>,
}

/// Access and refresh tokens that were given out.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    live: HashMap<String, Session>,
    /// Refresh token to family, and whether it is still good.
    refresh: HashMap<String, (u64, bool)>,
    families: u64,
    serial: u64,
    /// Logins that succeeded.
    pub(super) logins: u64,
}

impl Sessions {
    /// Checks an access token and keeps its session alive.
    pub(super) fn touch(
        &mut self,
        token: &str,
        now: Timestamp,
        behaviour: &Behaviour,
    ) -> Answer<()> {
        let alive = match self.live.get_mut(token) {
            Some(session) if now.since(session.last_used) < behaviour.session_time() => {
                session.last_used = session.last_used.max(now);
                true
            }
            _ => false,
        };
        if alive {
            return Ok(());
        }
        self.live.remove(token);
        Err(if behaviour.expired_as_jwt {
            Refusal::new(401, "INVALID_AUTH_HEADER", "INVALID_JWT_FORMAT")
        } else {
            Refusal::new(401, "INVALID_SESSION_ID", "Session expired or invalid")
        })
    }

    /// Ends every session; refresh tokens stay good.
    pub(super) fn expire_all(&mut self) {
        self.live.clear();
    }

    fn open(&mut self, now: Timestamp, family: Option<u64>) -> String {
        self.serial += 1;
        self.logins += 1;
        let token = format!(
            "{}!AQ.canary{}",
            short_org(),
            opaque("access", self.serial, now)
        );
        let session = Session {
            last_used: now,
            family,
        };
        self.live.insert(token.clone(), session);
        token
    }

    fn revoke_family(&mut self, family: u64) {
        self.live
            .retain(|_, session| session.family != Some(family));
        for known in self.refresh.values_mut() {
            if known.0 == family {
                known.1 = false;
            }
        }
    }
}

/// What the login resources need to know.
pub(super) struct Door<'a> {
    pub(super) credentials: &'a Credentials,
    pub(super) behaviour: &'a Behaviour,
    pub(super) instance_url: &'a str,
    pub(super) now: Timestamp,
}

impl Door<'_> {
    /// Answers everything below `/services/oauth2`.
    pub(super) fn answer(
        &self,
        sessions: &mut Sessions,
        request: &Request,
        resource: &str,
    ) -> Response {
        let answered = match resource {
            "token" => self.token(sessions, request),
            "revoke" => Self::revoke(sessions, request),
            "userinfo" => {
                return match sessions.touch(bearer(request), self.now, self.behaviour) {
                    Ok(()) => self.user_info(),
                    // The only resource that answers a bad token with plain text.
                    Err(_) => Response::of(403, "text/html", "Bad_OAuth_Token"),
                };
            }
            "introspect" => self.introspect(sessions, request),
            _ => return Refusal::not_found().into_rest(),
        };
        answered.unwrap_or_else(Refusal::into_oauth)
    }

    fn token(&self, sessions: &mut Sessions, request: &Request) -> Answer {
        if request.method != http::Method::POST {
            return Err(Refusal::new(
                400,
                "invalid_request",
                "must use HTTP POST for token requests",
            ));
        }
        let form: HashMap<String, String> = request.form_pairs().into_iter().collect();
        let given = |key: &str| form.get(key).map_or("", String::as_str);
        let (client_id, client_secret) = basic(request).unwrap_or_else(|| {
            (
                given("client_id").to_owned(),
                given("client_secret").to_owned(),
            )
        });
        let known = self.credentials;
        match given("grant_type") {
            "refresh_token" => {
                if client_id != known.client_id {
                    return Err(client_identifier());
                }
                let optional = known.secret_optional && client_secret.is_empty();
                if client_secret != known.client_secret && !optional {
                    return Err(client_credentials());
                }
                self.refresh(sessions, given("refresh_token"))
            }
            "urn:ietf:params:oauth:grant-type:jwt-bearer" => {
                self.verify(given("assertion"))?;
                let token = sessions.open(self.now, None);
                Ok(Response::json(200, self.grant(&token, false, None)))
            }
            "client_credentials" => {
                let host = original_host(request);
                if host == "login.salesforce.com" || host == "test.salesforce.com" {
                    return Err(grant("request not supported on this domain"));
                }
                if client_id != known.client_id {
                    return Err(client_identifier());
                }
                if client_secret != known.client_secret {
                    return Err(client_credentials());
                }
                let token = sessions.open(self.now, None);
                Ok(Response::json(200, self.grant(&token, true, None)))
            }
            "password" => {
                if client_id != known.client_id {
                    return Err(client_identifier());
                }
                if client_secret != known.client_secret {
                    return Err(client_credentials());
                }
                let password = given("password");
                let with_token = format!("{}{}", known.password, known.security_token);
                if given("username") != known.username
                    || (password != with_token && password != known.password)
                {
                    return Err(grant("authentication failure"));
                }
                let token = sessions.open(self.now, None);
                Ok(Response::json(200, self.grant(&token, true, None)))
            }
            _ => Err(Refusal::new(
                400,
                "unsupported_grant_type",
                "grant type not supported",
            )),
        }
    }

    fn refresh(&self, sessions: &mut Sessions, refresh_token: &str) -> Answer {
        let expired = || grant("expired access/refresh token");
        if refresh_token == self.credentials.refresh_token
            && !sessions.refresh.contains_key(refresh_token)
        {
            sessions.families += 1;
            let family = sessions.families;
            sessions
                .refresh
                .insert(refresh_token.to_owned(), (family, true));
        }
        let Some(&(family, good)) = sessions.refresh.get(refresh_token) else {
            return Err(expired());
        };
        if !good {
            // Somebody holds a copy of a dead token: nothing that came from it can be trusted.
            sessions.revoke_family(family);
            return Err(expired());
        }
        let token = sessions.open(self.now, Some(family));
        let mut rotated = None;
        if self.credentials.rotate_refresh_tokens {
            sessions
                .refresh
                .insert(refresh_token.to_owned(), (family, false));
            let next = format!(
                "5Aep861canary{}",
                opaque("refresh", sessions.serial, self.now)
            );
            sessions.refresh.insert(next.clone(), (family, true));
            rotated = Some(next);
        }
        let body = self.grant(&token, true, rotated.as_deref());
        Ok(Response::json(200, body))
    }

    /// The token answer; `full` adds what the JWT flow leaves out.
    fn grant(&self, token: &str, full: bool, refresh_token: Option<&str>) -> String {
        let mut body = format!("{{\"access_token\":{}", quote(token));
        if let Some(refresh_token) = refresh_token {
            body.extend([",\"refresh_token\":".to_owned(), quote(refresh_token)]);
        }
        if full {
            let issued_at = (self.now.micros() / 1_000).to_string();
            let signature = opaque("signature", 0, self.now);
            body.extend([format!(
                ",\"signature\":{},\"issued_at\":{}",
                quote(&format!("{signature}=")),
                quote(&issued_at)
            )]);
        }
        body.extend([format!(
            ",\"scope\":\"refresh_token api id full\",\"instance_url\":{},\"id\":{},\"token_type\":\"Bearer\"}}",
            quote(self.instance_url),
            quote(&self.identity())
        )]);
        body
    }

    fn identity(&self) -> String {
        format!(
            "{}/id/{}/{}",
            self.instance_url.trim_end_matches('/'),
            org_id(),
            user_id()
        )
    }

    /// Verifies an assertion: signature, issuer, subject, audience, expiry.
    fn verify(&self, assertion: &str) -> Answer<()> {
        #[derive(Deserialize)]
        struct Claims {
            iss: String,
            sub: Option<String>,
            prn: Option<String>,
            aud: Texts,
            exp: Expiry,
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Texts {
            One(String),
            Many(Vec<String>),
        }
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Expiry {
            Whole(i64),
            Fraction(f64),
            Text(String),
        }
        let invalid = || grant("invalid assertion");
        let key =
            DecodingKey::from_rsa_pem(self.credentials.public_key.as_bytes()).map_err(|_| {
                Refusal::new(500, "unknown_error", "the emulator's public key is no PEM")
            })?;
        // Expiry and audience are checked below: by the virtual clock, and in the vendor's own ways.
        let mut validation = Validation::new(Algorithm::RS256);
        validation.validate_exp = false;
        validation.validate_aud = false;
        validation.required_spec_claims.clear();
        let claims = jsonwebtoken::decode::<Claims>(assertion, &key, &validation)
            .map_err(|_| invalid())?
            .claims;
        if claims.iss != self.credentials.client_id {
            return Err(client_identifier());
        }
        let subject = claims.sub.or(claims.prn).unwrap_or_default();
        if subject != self.credentials.username {
            return Err(grant("user hasn't approved this consumer"));
        }
        let audiences = match claims.aud {
            Texts::One(audience) => vec![audience],
            Texts::Many(audiences) => audiences,
        };
        if !audiences.iter().any(|audience| self.is_audience(audience)) {
            return Err(grant("audience is invalid"));
        }
        let expiry = match claims.exp {
            Expiry::Whole(seconds) => seconds,
            #[expect(
                clippy::cast_possible_truncation,
                reason = "`as` saturates, which is fine here"
            )]
            Expiry::Fraction(seconds) => seconds as i64,
            Expiry::Text(text) => text
                .split('.')
                .next()
                .and_then(|text| text.parse().ok())
                .ok_or_else(invalid)?,
        };
        let now = self.now.seconds();
        if expiry <= now {
            return Err(grant("expired authorization code"));
        }
        if expiry > now + LONGEST_ASSERTION_SECS {
            return Err(invalid());
        }
        Ok(())
    }

    fn is_audience(&self, audience: &str) -> bool {
        let audience = audience.trim_end_matches('/');
        audience == "https://login.salesforce.com"
            || audience == "https://test.salesforce.com"
            || audience == self.instance_url.trim_end_matches('/')
            || self
                .credentials
                .audiences
                .iter()
                .any(|known| known.trim_end_matches('/') == audience)
    }

    fn revoke(sessions: &mut Sessions, request: &Request) -> Answer {
        let token = request
            .form_pairs()
            .into_iter()
            .chain(request.query_pairs())
            .find(|pair| pair.0 == "token")
            .map(|pair| pair.1)
            .unwrap_or_default();
        if sessions.live.remove(&token).is_some() {
            return Ok(empty(200));
        }
        match sessions.refresh.get(&token) {
            Some(&(family, true)) => {
                sessions.revoke_family(family);
                Ok(empty(200))
            }
            _ => Err(Refusal::new(
                400,
                "invalid_token",
                "invalid token: unknown or revoked",
            )),
        }
    }

    /// The identity resource.
    pub(super) fn user_info(&self) -> Response {
        let body = format!(
            "{{\"sub\":{0},\"user_id\":{1},\"organization_id\":{2},\"preferred_username\":{3},\"nickname\":\"loader\",\
             \"name\":\"Data Loader\",\"email\":{3},\"email_verified\":true,\"active\":true,\"user_type\":\"STANDARD\",\
             \"language\":\"en_US\",\"locale\":\"en_US\",\"utcOffset\":0,\"urls\":{{\"rest\":{4}}}}}",
            quote(&self.identity()),
            quote(&user_id()),
            quote(&org_id()),
            quote(&self.credentials.username),
            quote(&format!(
                "{}/services/data/v{{version}}/",
                self.instance_url.trim_end_matches('/')
            )),
        );
        Response::json(200, body)
    }

    fn introspect(&self, sessions: &Sessions, request: &Request) -> Answer {
        let form: HashMap<String, String> = request.form_pairs().into_iter().collect();
        let given = |key: &str| form.get(key).map_or("", String::as_str);
        let (client_id, client_secret) = basic(request).unwrap_or_else(|| {
            (
                given("client_id").to_owned(),
                given("client_secret").to_owned(),
            )
        });
        if client_id != self.credentials.client_id
            || client_secret != self.credentials.client_secret
        {
            return Err(client_credentials());
        }
        let token = given("token");
        let live = sessions
            .live
            .get(token)
            .filter(|session| self.now.since(session.last_used) < self.behaviour.session_time());
        let good_refresh = sessions.refresh.get(token).is_some_and(|known| known.1);
        if live.is_none() && !good_refresh {
            return Ok(Response::json(200, "{\"active\":false}"));
        }
        let last_used = live.map_or(self.now, |session| session.last_used);
        let expiry = last_used.plus(self.behaviour.session_time()).seconds();
        let kind = if live.is_some() {
            "access_token"
        } else {
            "refresh_token"
        };
        Ok(Response::json(
            200,
            format!(
                "{{\"active\":true,\"scope\":\"api refresh_token\",\"client_id\":{},\"username\":{},\"sub\":{},\
                 \"token_type\":\"{kind}\",\"exp\":{expiry},\"iat\":{},\"nbf\":{}}}",
                quote(&self.credentials.client_id),
                quote(&self.credentials.username),
                quote(&self.identity()),
                last_used.seconds(),
                last_used.seconds()
            ),
        ))
    }

    /// SOAP `login()`, which foreign clients use by default. Gone from version 65.0 on.
    pub(super) fn soap(
        &self,
        sessions: &mut Sessions,
        request: &Request,
        version: &str,
    ) -> Response {
        const OPEN: &str = "<?xml version=\"1.0\" encoding=\"UTF-8\"?><soapenv:Envelope \
            xmlns:soapenv=\"http://schemas.xmlsoap.org/soap/envelope/\" xmlns=\"urn:partner.soap.sforce.com\" \
            xmlns:sf=\"urn:fault.partner.soap.sforce.com\" \
            xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\"><soapenv:Body>";
        const CLOSE: &str = "</soapenv:Body></soapenv:Envelope>";
        let fault = |code: &str, message: &str| {
            let body = format!(
                "{OPEN}<soapenv:Fault><faultcode>{code}</faultcode><faultstring>{code}: {message}</faultstring><detail>\
                 <sf:LoginFault xsi:type=\"sf:LoginFault\"><sf:exceptionCode>{code}</sf:exceptionCode>\
                 <sf:exceptionMessage>{message}</sf:exceptionMessage></sf:LoginFault></detail></soapenv:Fault>{CLOSE}"
            );
            Response::of(500, "text/xml; charset=utf-8", body)
        };
        let number: f64 = version.parse().unwrap_or(0.0);
        if !(31.0..65.0).contains(&number) {
            return fault(
                "UNSUPPORTED_API_VERSION",
                "Invalid Api version specified on URL",
            );
        }
        let text = String::from_utf8_lossy(&request.body).into_owned();
        let username = element(&text, "username");
        let password = element(&text, "password");
        let known = self.credentials;
        let with_token = format!("{}{}", known.password, known.security_token);
        if username != known.username || (password != with_token && password != known.password) {
            return fault(
                "INVALID_LOGIN",
                "Invalid username, password, security token; or user locked out.",
            );
        }
        let token = sessions.open(self.now, None);
        let base = self.instance_url.trim_end_matches('/');
        let org = short_org();
        let user = user_id();
        let body = format!(
            "{OPEN}<loginResponse><result><metadataServerUrl>{base}/services/Soap/m/{version}/{org}</metadataServerUrl>\
             <passwordExpired>false</passwordExpired><sandbox>false</sandbox>\
             <serverUrl>{base}/services/Soap/u/{version}/{org}</serverUrl><sessionId>{token}</sessionId>\
             <userId>{user}</userId></result></loginResponse>{CLOSE}"
        );
        Response::of(200, "text/xml; charset=utf-8", body)
    }
}

/// The access token of a request in either spelling; empty if there is none.
pub(super) fn bearer(request: &Request) -> &str {
    let authorization = request.header("authorization");
    authorization
        .strip_prefix("Bearer ")
        .or_else(|| authorization.strip_prefix("OAuth "))
        .unwrap_or_default()
        .trim()
}

/// Host the client meant: a redirect shim in front of foreign clients puts it into a header.
fn original_host(request: &Request) -> &str {
    match request.header("x-original-host") {
        "" => request.header("host"),
        host => host,
    }
}

fn basic(request: &Request) -> Option<(String, String)> {
    let encoded = request.header("authorization").strip_prefix("Basic ")?;
    let decoded = base64::engine::general_purpose::STANDARD
        .decode(encoded.trim())
        .ok()?;
    let text = String::from_utf8(decoded).ok()?;
    let (user, password) = text.split_once(':')?;
    Some((user.to_owned(), password.to_owned()))
}

fn grant(description: &str) -> Refusal {
    Refusal::new(400, "invalid_grant", description)
}

fn client_identifier() -> Refusal {
    Refusal::new(400, "invalid_client_id", "client identifier invalid")
}

fn client_credentials() -> Refusal {
    Refusal::new(400, "invalid_client", "invalid client credentials")
}

fn short_org() -> String {
    org_id().chars().take(15).collect()
}

/// Opaque text that depends on its inputs alone.
fn opaque(label: &str, serial: u64, now: Timestamp) -> String {
    let digest = Sha256::digest(format!("{label}/{serial}/{}", now.micros()));
    base64::engine::general_purpose::URL_SAFE_NO_PAD.encode(digest)
}

/// Text of the first element of a local name, with or without prefix.
fn element(xml: &str, name: &str) -> String {
    let opening = [format!("<{name}>"), format!(":{name}>")];
    let after = opening
        .iter()
        .find_map(|opening| xml.split_once(opening.as_str()))
        .map_or("", |(_, after)| after);
    let text = after.split('<').next().unwrap_or_default();
    text.replace("&lt;", "<")
        .replace("&gt;", ">")
        .replace("&quot;", "\"")
        .replace("&apos;", "'")
        .replace("&amp;", "&")
}
