//! Files sealed by a real workload with real keys: by the command and by stock age, opened by the other, and by nobody who
//! may not.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
};

use serde_json::json;
use subrosa_e2e::{installation::AUDIENCE, operator, tools};

use crate::{
    full, resealing, settings, watching,
    world::{World, channel},
};

const NS: &str = "cc-front";

/// A directory as a workload's container has it: settings, token, data.
pub struct Pod {
    directory: tempfile::TempDir,
}

impl Pod {
    /// For the Channel and ServiceAccount of this name.
    async fn new(world: &World, name: &str) -> Self {
        let pod = Self { directory: tempfile::tempdir().unwrap() };
        let settings = settings::of(world, name).await.unwrap();
        fs::write(pod.at("sealing.yaml"), settings).unwrap();
        let jwt = world.env.service_account_token(NS, name, AUDIENCE).await.unwrap();
        fs::write(pod.at("token"), jwt).unwrap();
        pod
    }

    pub fn at(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    /// A program as in the workload's container.
    pub fn command(&self, program: &Path) -> Command {
        let plugins = operator::age_plugin().unwrap();
        let mut command = Command::new(program);
        command
            .current_dir(self.directory.path())
            .env_clear()
            .env("PATH", plugins.parent().unwrap())
            .env("SUBROSA_SEALING", self.at("sealing.yaml"))
            .env("SUBROSA_TOKEN_FILE", self.at("token"))
            .stdin(Stdio::null());
        command
    }

    fn run(&self, program: &Path, arguments: &[&str]) -> Output {
        self.command(program).args(arguments).output().unwrap()
    }

    fn subrosa(&self, arguments: &[&str]) -> Output {
        self.run(&operator::binary().unwrap(), arguments)
    }

    /// What a command prints that goes well.
    pub fn well(&self, program: &Path, arguments: &[&str]) -> String {
        let output = self.run(program, arguments);
        assert!(output.status.success(), "{arguments:?}: {}", said(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// What a command says that does not.
    pub fn fails(&self, arguments: &[&str]) -> String {
        let output = self.subrosa(arguments);
        assert!(!output.status.success(), "{arguments:?}");
        said(&output)
    }
}

pub fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

pub fn recording(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 31 % 251) as u8).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_workload_seals_and_who_may_opens() {
    let world = World::start().await;
    world.governed(NS).await;
    let import = json!({"from": resealing::a_week_ago().to_string()});
    for (name, encryption) in [
        ("recorder", json!({"workloadMay": ["Seal", "Open"], "import": import})),
        ("writer", json!({"workloadMay": ["Seal"]})),
    ] {
        world.service_account(NS, name).await;
        let spec = json!({
            "workload": {"serviceAccountName": name}, "dataClasses": ["call-recording"], "encryption": encryption,
        });
        world.apply(&channel(NS, name, spec)).await;
        world.whole(NS, name).await;
    }
    let recorder = Pod::new(&world, "recorder").await;
    sealed_and_opened(&recorder);
    what_was_changed_or_exchanged_is_refused(&recorder);
    stock_age_and_the_command_read_each_other(&recorder);
    rage_and_the_others_read_each_other(&recorder);
    let writer = Pod::new(&world, "writer").await;
    who_may_only_seal_opens_nothing(&recorder, &writer);
    let (id, bao) = (world.id(NS, "recorder").await, world.env.openbao());
    resealing::sealed_files_move(&recorder, &writer, &id, bao).await;
    watching::recordings_survive_kills(&writer, bao.root_token()).await;
    watching::a_sidecar_without_a_key_removes_nothing(&recorder).await;
    full::nothing_is_lost(&recorder).await;
}

fn sealed_and_opened(pod: &Pod) {
    let subrosa = operator::binary().unwrap();
    let text = recording(3 << 20);
    fs::write(pod.at("0001.wav"), &text).unwrap();
    fs::set_permissions(pod.at("0001.wav"), fs::Permissions::from_mode(0o640)).unwrap();
    let printed = pod.well(&subrosa, &["seal", "--class", "call-recording", "0001.wav"]);
    assert_eq!(printed, "0001.wav.age\n");
    assert_eq!(fs::metadata(pod.at("0001.wav.age")).unwrap().permissions().mode() & 0o777, 0o640);
    let sealed = fs::read(pod.at("0001.wav.age")).unwrap();
    assert!(!sealed.windows(64).any(|window| text.starts_with(window)), "the plaintext is in it");
    // The original stays, and is not replaced by accident.
    let refused = pod.fails(&["unseal", "0001.wav.age"]);
    assert!(refused.contains("0001.wav is there already"), "{refused}");
    fs::remove_file(pod.at("0001.wav")).unwrap();
    pod.well(&subrosa, &["unseal", "0001.wav.age"]);
    assert!(fs::read(pod.at("0001.wav")).unwrap() == text);
    assert_eq!(fs::metadata(pod.at("0001.wav")).unwrap().permissions().mode() & 0o777, 0o600);
    let refused = pod.fails(&["seal", "--class", "dreams", "0001.wav"]);
    assert!(refused.contains("no data class \"dreams\": it has call-recording"), "{refused}");
    let refused = pod.fails(&["seal", "--class", "call-recording", "--anchor", "2020-01-01", "0001.wav"]);
    assert!(refused.contains("cohort 2020w01 has been due since 2020-04-05"), "{refused}");
    // A past cohort whose key was never made: nobody makes one by sealing.
    let past = [
        "seal",
        "--class",
        "call-recording",
        "--anchor",
        "2020-01-01",
        "--already-due",
        "--force",
        "0001.wav",
    ];
    let refused = pod.fails(&past);
    assert!(refused.contains("call-recording.2020w01"), "{refused}");
}

fn what_was_changed_or_exchanged_is_refused(pod: &Pod) {
    let sealed = fs::read(pod.at("0001.wav.age")).unwrap();
    // Another recording's file, under this one's name.
    fs::write(pod.at("0002.wav.age"), &sealed).unwrap();
    let refused = pod.fails(&["unseal", "0002.wav.age"]);
    assert!(refused.contains("another file was put in its place"), "{refused}");
    // The header's item rewritten as well: the key in Vault does not take it.
    let header = String::from_utf8_lossy(&sealed[..400]).into_owned();
    let item = header.lines().nth(1).unwrap().split(' ').nth(4).unwrap().to_owned();
    let at = sealed.windows(item.len()).position(|window| window == item.as_bytes()).unwrap();
    let mut forged = sealed.clone();
    forged[at..at + item.len()].copy_from_slice("z".repeat(item.len()).as_bytes());
    fs::write(pod.at("forged.age"), &forged).unwrap();
    let refused = pod.fails(&["unseal", "--item", &"z".repeat(item.len()), "forged.age"]);
    assert!(refused.contains("its file key does not open"), "{refused}");
    // A byte of the payload, in the second mebibyte; and the end cut off.
    let mut changed = sealed.clone();
    changed[(1 << 20) + 77] ^= 1;
    fs::write(pod.at("0001.wav"), b"what was there").unwrap();
    for (what, bytes) in [("changed", changed.as_slice()), ("cut off", &sealed[..sealed.len() - 70_000])] {
        fs::write(pod.at("0001.wav.age"), bytes).unwrap();
        let refused = pod.fails(&["unseal", "--force", "0001.wav.age"]);
        assert!(refused.contains("does not open"), "{what}: {refused}");
        assert_eq!(fs::read(pod.at("0001.wav")).unwrap(), b"what was there", "{what}");
    }
    let left = fs::read_dir(pod.directory.path()).unwrap();
    let left: Vec<_> = left.map(|entry| entry.unwrap().file_name()).collect();
    assert!(!left.iter().any(|name| name.to_string_lossy().ends_with(".part")), "{left:?}");
    fs::write(pod.at("0001.wav.age"), &sealed).unwrap();
}

fn stock_age_and_the_command_read_each_other(pod: &Pod) {
    let (age, subrosa, plugin) =
        (tools::age().unwrap(), operator::binary().unwrap(), operator::age_plugin().unwrap());
    fs::write(pod.at("identity"), pod.well(&plugin, &["identity"])).unwrap();
    let recipient = pod.well(&plugin, &["recipient", "call-recording"]);
    pod.well(&age, &["-d", "-i", "identity", "-o", "by-age", "0001.wav.age"]);
    assert!(fs::read(pod.at("by-age")).unwrap() == recording(3 << 20));
    pod.well(&age, &["-r", recipient.trim(), "-o", "stock.age", "by-age"]);
    // age does not say what the file is called: the plugin drew an item.
    let refused = pod.fails(&["unseal", "stock.age"]);
    let item = refused.split("--item ").nth(1).unwrap().split(' ').next().unwrap();
    pod.well(&subrosa, &["unseal", "--item", item, "stock.age"]);
    assert!(fs::read(pod.at("stock")).unwrap() == recording(3 << 20));
    // A second recipient would outlive the key in Vault.
    let other = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    let refused = pod.run(&age, &["-r", recipient.trim(), "-r", other, "-o", "both.age", "by-age"]);
    assert!(!refused.status.success() && !pod.at("both.age").exists(), "{}", said(&refused));
}

/// The same plugin, started by the age of another house.
fn rage_and_the_others_read_each_other(pod: &Pod) {
    let (age, rage, subrosa) = (tools::age().unwrap(), tools::rage().unwrap(), operator::binary().unwrap());
    let recipient = pod.well(&operator::age_plugin().unwrap(), &["recipient", "call-recording"]);
    for sealed in ["0001.wav.age", "stock.age"] {
        pod.well(&rage, &["-d", "-i", "identity", "-o", "by-rage", sealed]);
        assert!(fs::read(pod.at("by-rage")).unwrap() == recording(3 << 20), "{sealed}");
        fs::remove_file(pod.at("by-rage")).unwrap();
    }
    pod.well(&rage, &["-r", recipient.trim(), "-o", "rage.age", "by-age"]);
    pod.well(&age, &["-d", "-i", "identity", "-o", "rage-by-age", "rage.age"]);
    assert!(fs::read(pod.at("rage-by-age")).unwrap() == recording(3 << 20));
    let refused = pod.fails(&["unseal", "rage.age"]);
    let item = refused.split("--item ").nth(1).unwrap().split(' ').next().unwrap();
    pod.well(&subrosa, &["unseal", "--item", item, "rage.age"]);
    assert!(fs::read(pod.at("rage")).unwrap() == recording(3 << 20));
    // Changed, it opens for nobody.
    let mut changed = fs::read(pod.at("rage.age")).unwrap();
    let at = changed.len() - 70_000;
    changed[at] ^= 1;
    fs::write(pod.at("changed.age"), changed).unwrap();
    let refused = pod.run(&rage, &["-d", "-i", "identity", "-o", "changed", "changed.age"]);
    assert!(!refused.status.success(), "{}", said(&refused));
    // A second recipient would outlive the key in Vault.
    let other = "age1zvkyg2lqzraa2lnjvqej32nkuu0ues2s82hzrye869xeexvn73equnujwj";
    let refused = pod.run(&rage, &["-r", recipient.trim(), "-r", other, "-o", "both.age", "by-age"]);
    assert!(!refused.status.success() && !pod.at("both.age").exists(), "{}", said(&refused));
}

fn who_may_only_seal_opens_nothing(recorder: &Pod, writer: &Pod) {
    let subrosa = operator::binary().unwrap();
    fs::write(writer.at("0003.wav"), b"a recording").unwrap();
    writer.well(&subrosa, &["seal", "--class", "call-recording", "0003.wav"]);
    fs::remove_file(writer.at("0003.wav")).unwrap();
    let refused = writer.fails(&["unseal", "0003.wav.age"]);
    assert!(refused.contains("transit/decrypt/"), "{refused}");
    // And nobody opens another Channel's, whatever settings are given.
    fs::copy(recorder.at("0001.wav.age"), writer.at("0001.wav.age")).unwrap();
    writer.fails(&["unseal", "0001.wav.age"]);
    fs::copy(writer.at("0003.wav.age"), recorder.at("0003.wav.age")).unwrap();
    recorder.fails(&["unseal", "0003.wav.age"]);
    assert!(!writer.at("0003.wav").exists() && !recorder.at("0003.wav").exists());
}
