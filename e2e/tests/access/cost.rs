//! What a request of a person costs by the number of slots that the policy of the login has: for opening alone, and with as many for
//! sealing. `cargo test … -- --ignored --nocapture` and nothing else on the machine, else the numbers say nothing.

use std::time::{Duration, Instant};

use futures::future::join_all;
use serde_json::json;
use subrosa_e2e::Environment;
use subrosa_records::vault::setup::ProviderKeys;

use super::{
    provider::{ISSUER, Provider},
    world::{RECORDING, World},
};

const COUNTS: [usize; 3] = [16, 64, 256];
/// How many open at the same time.
const AT_ONCE: usize = 16;
/// How often each session has its turn.
const TURNS: usize = 7;
const TURN: Duration = Duration::from_secs(2);

pub async fn of_an_opening() {
    let env = Environment::builder().local().start().await.unwrap();
    let provider = Provider::new();
    let keys = ProviderKeys::Given(vec![provider.public_key()]);
    let logins = COUNTS.iter().flat_map(|count| {
        [
            json!({"name": format!("opens-{count}"), "acceptedAmr": ["mfa"], "slots": count, "grantSlots": 0}),
            json!({"name": format!("seals-{count}"), "acceptedAmr": ["mfa"], "slots": count, "sealSlots": count, "grantSlots": 0}),
        ]
    });
    let access = json!({"provider": {"issuer": ISSUER, "groups": 1}, "logins": logins.collect::<Vec<_>>()});
    let mut world = World::of(env, access, keys, provider).await;
    let (key, ciphertext) = world.sealed("voice", RECORDING).await;
    // It would empty the slots, which no AccessRole names.
    world.stop_operator();
    let bao = world.env.openbao();
    let plain =
        json!({"policy": format!("path \"transit/decrypt/{key}\" {{ capabilities = [\"update\"] }}")});
    bao.request("POST", "sys/policies/acl/plain", Some(plain)).await.unwrap();
    let made = json!({"policies": ["plain"], "no_default_policy": true, "type": "batch", "ttl": "1h"});
    let made = bao.request("POST", "auth/token/create", Some(made)).await.unwrap();
    let mut sessions = vec![("plain".to_owned(), made["auth"]["client_token"].as_str().unwrap().to_owned())];
    for login in COUNTS.iter().flat_map(|count| [format!("opens-{count}"), format!("seals-{count}")]) {
        let session = world.login(&login, "anna", json!({"amr": ["mfa"], "groups": ["a"]})).await.unwrap();
        let own = bao.request_as(&session, "GET", "auth/token/lookup-self", None).await.unwrap().1;
        // The person is a member of the first slot, which opens the key's class.
        let slot = format!("identity/group/name/subrosa_oosterlinde_open_{login}_000");
        let body = json!({
            "metadata": {"open": key.rsplit_once('.').unwrap().0}, "member_entity_ids": [own["data"]["entity_id"]],
        });
        bao.request("POST", &slot, Some(body)).await.unwrap();
        assert!(world.opens(&session, &(key.clone(), ciphertext.clone())).await, "{login}");
        sessions.push((login, session));
    }
    let mut rates: Vec<Vec<f64>> = vec![Vec::new(); sessions.len()];
    for _ in 0..TURNS {
        for ((_, session), rates) in sessions.iter().zip(&mut rates) {
            let began = Instant::now();
            let one = || async {
                let mut count = 0_u32;
                while began.elapsed() < TURN {
                    assert!(world.opens(session, &(key.clone(), ciphertext.clone())).await);
                    count += 1;
                }
                count
            };
            let all: u32 = join_all((0..AT_ONCE).map(|_| one())).await.iter().sum();
            rates.push(f64::from(all) / began.elapsed().as_secs_f64());
        }
    }
    let median = |rates: &mut Vec<f64>| {
        rates.sort_by(f64::total_cmp);
        rates[rates.len() / 2]
    };
    let base = median(&mut rates[0]);
    for ((login, _), rates) in sessions.iter().zip(&mut rates) {
        let one = median(rates);
        println!("{login}: {one:.0} a second, {:.2} of a policy without a template", one / base);
    }
}
