//! A sealed file moves to another cohort and to another version, and on every refusal it is as it was.

use std::{fs, path::Path};

use jiff::{ToSpan as _, Zoned, civil::Date};
use serde_json::json;
use subrosa_crds::{cohort::Cohort, cohort::CohortPeriod, names::ChannelId};
use subrosa_e2e::{openbao::OpenBao, operator, tools};

use crate::sealing::{Pod, recording, said};

/// The day that an import begins with.
pub fn a_week_ago() -> Date {
    Zoned::now().in_tz("Europe/Amsterdam").unwrap().date().checked_sub(7.days()).unwrap()
}

/// The recorder seals and opens; the writer only seals.
pub async fn sealed_files_move(recorder: &Pod, writer: &Pod, id: &ChannelId, bao: &OpenBao) {
    let subrosa = operator::binary().unwrap();
    let today = Zoned::now().in_tz("Europe/Amsterdam").unwrap().date();
    let key = |date: Date| format!("{id}.call-recording.{}", Cohort::of(date, CohortPeriod::Week));
    // The week of which data is imported.
    let before = a_week_ago();
    let made = bao.request("GET", &format!("transit/keys/{}", key(before)), None).await.unwrap();
    assert_eq!(
        (&made["data"]["latest_version"], &made["data"]["auto_rotate_period"]),
        (&json!(1), &json!(0))
    );
    fs::write(recorder.at("r.wav"), recording(3 << 20)).unwrap();
    recorder.well(&subrosa, &["seal", "--class", "call-recording", "r.wav"]);
    fs::remove_file(recorder.at("r.wav")).unwrap();

    let (first, day) = (fs::read(recorder.at("r.wav.age")).unwrap(), before.to_string());
    let refused = recorder.fails(&["reseal", "--anchor", &day, "r.wav.age"]);
    assert!(refused.contains("its life would be shorter"), "{refused}");
    assert_same(recorder, &first);
    recorder.well(&subrosa, &["reseal", "--anchor", &day, "--earlier", "r.wav.age"]);
    let moved = fs::read(recorder.at("r.wav.age")).unwrap();
    assert!(recipient(&moved).contains(&key(before)) && payload(&moved) == payload(&first));
    opens(recorder, "r.wav");
    // And back: a longer life needs no word. Stock age opens it as well.
    recorder.well(&subrosa, &["reseal", "--anchor", &today.to_string(), "r.wav.age"]);
    let age = tools::age().unwrap();
    recorder.well(&age, &["-d", "-i", "identity", "-o", "by-age-again", "r.wav.age"]);
    assert!(fs::read(recorder.at("by-age-again")).unwrap() == recording(3 << 20));

    // To a new version of the same key, and no further.
    bao.request("POST", &format!("transit/keys/{}/rotate", key(today)), None).await.unwrap();
    recorder.well(&subrosa, &["reseal", "r.wav.age"]);
    let newest = fs::read(recorder.at("r.wav.age")).unwrap();
    assert!(recipient(&newest).contains(&format!("{} 2 ", key(today))), "{}", recipient(&newest));
    recorder.well(&subrosa, &["reseal", "r.wav.age"]);
    assert_same(recorder, &newest);
    refusals_change_nothing(recorder, &newest, today);
    rights_are_named(recorder, writer, bao).await;
    assert_same(recorder, &newest);
    opens(recorder, "r.wav");
}

fn refusals_change_nothing(recorder: &Pod, newest: &[u8], today: Date) {
    let long_ago = today.checked_sub(21.days()).unwrap().to_string();
    let refused = recorder.fails(&["reseal", "--anchor", &long_ago, "--earlier", "r.wav.age"]);
    assert!(refused.contains("there is no such key"), "{refused}");
    assert_same(recorder, newest);
    // Another file under this name; a byte of the payload; the end cut off.
    fs::copy(recorder.at("r.wav.age"), recorder.at("other.wav.age")).unwrap();
    let refused = recorder.fails(&["reseal", "--anchor", &today.to_string(), "other.wav.age"]);
    assert!(refused.contains("another file was put in its place"), "{refused}");
    let mut damaged = newest.to_vec();
    damaged[2 << 20] ^= 1;
    for bytes in [damaged.as_slice(), &newest[..newest.len() - 20]] {
        fs::write(recorder.at("r.wav.age"), bytes).unwrap();
        let moved = today.checked_sub(7.days()).unwrap().to_string();
        let refused = recorder.fails(&["reseal", "--anchor", &moved, "--earlier", "r.wav.age"]);
        assert!(refused.contains("does not open"), "{refused}");
        assert_same(recorder, bytes);
    }
    fs::write(recorder.at("r.wav.age"), newest).unwrap();
    let left = fs::read_dir(recorder.at("")).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    assert!(!left.iter().any(|name| name.ends_with(".part")), "{left:?}");
}

/// Who may only seal, and who may only open.
async fn rights_are_named(recorder: &Pod, writer: &Pod, bao: &OpenBao) {
    fs::write(writer.at("w.wav"), b"a recording").unwrap();
    writer.well(&operator::binary().unwrap(), &["seal", "--class", "call-recording", "w.wav"]);
    let refused = writer.fails(&["reseal", "w.wav.age"]);
    assert!(refused.contains("may not open") && refused.contains("workloadMay"), "{refused}");
    let policy = json!({"policy": r#"path "transit/decrypt/*" { capabilities = ["update"] }"#});
    bao.request("PUT", "sys/policies/acl/only-opens", Some(policy)).await.unwrap();
    let token = json!({"policies": ["only-opens", "default"], "ttl": "10m"});
    let made = bao.request("POST", "auth/token/create", Some(token)).await.unwrap();
    let token = made["auth"]["client_token"].as_str().unwrap();
    let mut command = recorder.command(&operator::binary().unwrap());
    let output = command.env("VAULT_TOKEN", token).args(["reseal", "r.wav.age"]).output().unwrap();
    assert!(!output.status.success() && said(&output).contains("may not seal with"), "{}", said(&output));
}

fn opens(pod: &Pod, name: &str) {
    pod.well(&operator::binary().unwrap(), &["unseal", &format!("{name}.age")]);
    assert!(fs::read(pod.at(name)).unwrap() == recording(3 << 20));
    fs::remove_file(pod.at(name)).unwrap();
}

fn assert_same(pod: &Pod, bytes: &[u8]) {
    assert!(fs::read(Path::new(&pod.at("r.wav.age"))).unwrap() == bytes);
}

fn recipient(file: &[u8]) -> String {
    String::from_utf8_lossy(&file[..400]).lines().nth(1).unwrap().to_owned()
}

fn payload(file: &[u8]) -> &[u8] {
    let mac = file.windows(4).position(|window| window == b"--- ").unwrap();
    let end = file[mac..].iter().position(|byte| *byte == b'\n').unwrap();
    &file[mac + end + 1..]
}
