//! A person at Keycloak's login: forms, cookies, and a code for tokens, as a browser and a program beside it do it.

use std::collections::BTreeMap;

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use jiff::Timestamp;
use rand::Rng as _;
use ring::hmac;
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use subrosa_e2e::keycloak::{Keycloak, form};

/// Where the program beside the browser waits for the code, as the example says.
pub const REDIRECT: &str = "http://127.0.0.1:8250/callback";

/// What somebody knows and has.
#[derive(Clone, Copy)]
pub struct Person {
    pub name: &'static str,
    pub password: &'static str,
    /// The password that they choose when they are asked for a new one.
    pub chosen: &'static str,
    /// The secret that their telephone shares with Keycloak, if they have one.
    pub second_factor: Option<&'static [u8]>,
}

/// The tokens of a login, as Keycloak sent them.
pub struct Tokens {
    pub id: String,
    pub access: String,
    pub refresh: String,
}

pub struct Browser<'a> {
    keycloak: &'a Keycloak,
    http: reqwest::Client,
    cookies: BTreeMap<String, String>,
}

struct Page {
    status: u16,
    location: Option<String>,
    text: String,
}

impl<'a> Browser<'a> {
    /// One that nobody has used yet.
    pub fn new(keycloak: &'a Keycloak) -> Self {
        let http = keycloak.endpoint().http_client().unwrap();
        Self { keycloak, http, cookies: BTreeMap::new() }
    }

    /// Logs a person in at a realm for a client (RFC 6749 with RFC 7636). Nobody is asked where there is a session.
    pub async fn tokens(&mut self, realm: &str, client: &str, person: &Person) -> Tokens {
        let verifier: [u8; 32] = rand::rng().random();
        let verifier = URL_SAFE_NO_PAD.encode(verifier);
        let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(&verifier));
        let code = self.code(realm, client, person, &[("code_challenge", challenge.as_str())]).await;
        let code = parameter(&code, "code").unwrap_or_else(|| panic!("no code: {code}"));
        let fields = [
            ("grant_type", "authorization_code"),
            ("client_id", client),
            ("redirect_uri", REDIRECT),
            ("code", code.as_str()),
            ("code_verifier", verifier.as_str()),
        ];
        tokens(&self.keycloak.token(realm, &fields).await.unwrap())
    }

    /// Fills in what is asked for; where the browser is sent in the end.
    pub async fn code(
        &mut self,
        realm: &str,
        client: &str,
        person: &Person,
        more: &[(&str, &str)],
    ) -> String {
        let mut fields = vec![
            ("response_type", "code"),
            ("scope", "openid"),
            ("client_id", client),
            ("redirect_uri", REDIRECT),
            ("code_challenge_method", "S256"),
        ];
        fields.extend(more);
        let address = format!(
            "{}/protocol/openid-connect/auth?{}",
            self.keycloak.issuer(realm),
            form(&fields).unwrap()
        );
        let mut page = self.go(&address, None).await;
        // Password, second factor, new password, and where it is sent between them.
        for _ in 0..8 {
            if let Some(location) = page.location.filter(|_| page.status == 302) {
                if location.starts_with(REDIRECT) {
                    return location;
                }
                page = self.go(&location, None).await;
                continue;
            }
            let (action, answer) = answer(&page.text, person);
            page = self.go(&action, Some(answer)).await;
        }
        panic!("{} is asked for ever: {}", person.name, page.text)
    }

    async fn go(&mut self, address: &str, form: Option<String>) -> Page {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let mut request = match form {
            Some(form) => self.http.post(address).header("content-type", FORM).body(form),
            None => self.http.get(address),
        };
        request = request.header("cookie", cookies.join("; "));
        let answer = request.send().await.unwrap();
        for cookie in answer.headers().get_all("set-cookie") {
            let pair = cookie.to_str().unwrap().split(';').next().unwrap();
            let (name, value) = pair.split_once('=').unwrap();
            self.cookies.insert(name.to_owned(), value.to_owned());
        }
        let status = answer.status().as_u16();
        let location = answer.headers().get("location").map(|location| location.to_str().unwrap().to_owned());
        Page { status, location, text: answer.text().await.unwrap() }
    }
}

const FORM: &str = "application/x-www-form-urlencoded";

/// Where a page's form goes, and what a person fills in.
fn answer(page: &str, person: &Person) -> (String, String) {
    let asks = |field: &str| page.contains(&format!("name=\"{field}\""));
    let (_, rest) = page.split_once("action=\"").unwrap_or_else(|| panic!("a page without a form: {page}"));
    let action = rest.split('"').next().unwrap().replace("&amp;", "&");
    let fields = if asks("password-new") {
        form(&[("password-new", person.chosen), ("password-confirm", person.chosen)])
    } else if asks("otp") {
        let secret = person.second_factor.unwrap_or_else(|| panic!("{} has no second factor", person.name));
        form(&[("otp", one_time_password(secret, Timestamp::now().as_second()).as_str())])
    } else if asks("password") {
        form(&[("username", person.name), ("password", person.password)])
    } else {
        panic!("a page that asks for nothing known: {page}")
    };
    (action, fields.unwrap())
}

fn parameter(address: &str, name: &str) -> Option<String> {
    let address = reqwest::Url::parse(address).unwrap();
    address.query_pairs().find(|(key, _)| key == name).map(|(_, value)| value.into_owned())
}

pub fn tokens(answer: &Value) -> Tokens {
    let token =
        |name: &str| answer[name].as_str().unwrap_or_else(|| panic!("no {name}: {answer}")).to_owned();
    Tokens { id: token("id_token"), access: token("access_token"), refresh: token("refresh_token") }
}

/// The claims of a token.
pub fn claims(token: &str) -> Value {
    let part = token.split('.').nth(1).unwrap();
    let json = URL_SAFE_NO_PAD.decode(part).unwrap();
    serde_json::from_slice(&json).unwrap()
}

/// RFC 6238 with SHA-1, six digits and steps of thirty seconds.
fn one_time_password(secret: &[u8], second: i64) -> String {
    let key = hmac::Key::new(hmac::HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret);
    let tag = hmac::sign(&key, &(second / 30).to_be_bytes());
    let bytes = tag.as_ref();
    let offset = usize::from(bytes[bytes.len() - 1] & 15);
    let four: [u8; 4] = bytes[offset..offset + 4].try_into().unwrap();
    format!("{:06}", (u32::from_be_bytes(four) & 0x7fff_ffff) % 1_000_000)
}

/// Appendix B of RFC 6238, of whose eight digits the last six.
#[test]
fn one_time_passwords_are_those_of_the_standard() {
    for (second, known) in [(59, "287082"), (1_111_111_109, "081804"), (20_000_000_000, "353130")] {
        assert_eq!(one_time_password(b"12345678901234567890", second), known);
    }
}
