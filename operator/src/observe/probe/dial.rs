//! One round: asks every listener of every pod, with limits on concurrency and time.

use std::{
    collections::BTreeMap,
    io::ErrorKind,
    net::{IpAddr, SocketAddr},
    time::Duration,
};

use futures::{StreamExt as _, stream};
use subrosa_crds::channel::ListenerTls;
use subrosa_plan::{
    probe::Targets,
    world::answers::{Answer, PodSeen, Seen},
};
use tokio::{net::TcpStream, sync::Semaphore};

use super::{handshake, preamble};

/// The deadline for one listener, from the first packet to its certificate.
const DEADLINE: Duration = Duration::from_secs(3);
/// The limit of concurrent handshakes for one Channel.
const OF_ONE: usize = 16;

/// Asks every listener of every pod.
pub(super) async fn round(targets: &Targets, slots: &Semaphore) -> Seen {
    let mut all = Vec::new();
    for (name, target) in &targets.pods {
        all.extend(targets.listeners.iter().map(|(port, begins)| (name.clone(), *target, *port, *begins)));
    }
    let asked = stream::iter(all).map(|(name, target, port, begins)| async move {
        // The semaphore is never closed, and one handshake too many would be harmless.
        let _slot = slots.acquire().await;
        let answer = ask(target.ip, port, begins, targets.server_name.as_deref(), &targets.authorities).await;
        (name, target, port, answer)
    });
    let mut seen = Seen::new();
    let mut asked = asked.buffer_unordered(OF_ONE);
    while let Some((name, target, port, answer)) = asked.next().await {
        let pod = seen.entry(name).or_insert_with(|| PodSeen { target, answers: BTreeMap::new() });
        pod.answers.insert(port, answer);
    }
    seen
}

/// Asks one listener for its certificate, by `server_name`. `authorities` are those of the Channel, PEM.
pub async fn ask(
    ip: IpAddr,
    port: u16,
    begins: ListenerTls,
    server_name: Option<&str>,
    authorities: &[String],
) -> Answer {
    if !may_be_a_pods(ip) {
        return Answer::Silent;
    }
    let asking = async {
        let mut stream = match TcpStream::connect(SocketAddr::new(ip, port)).await {
            Ok(stream) => stream,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Answer::Refused,
            Err(_) => return Answer::Silent,
        };
        if let Err(answer) = preamble::begin(&mut stream, begins).await {
            return answer;
        }
        handshake::ask(stream, server_name, ip, authorities).await
    };
    tokio::time::timeout(DEADLINE, asking).await.unwrap_or(Answer::Silent)
}

/// Whether an address can be a pod's. Excludes multicast, loopback, link-local and unspecified addresses.
fn may_be_a_pods(ip: IpAddr) -> bool {
    let link_local = match ip {
        IpAddr::V4(ip) => ip.is_link_local() || ip.is_broadcast(),
        IpAddr::V6(ip) => ip.is_unicast_link_local(),
    };
    !(link_local || ip.is_unspecified() || ip.is_multicast())
}

#[cfg(test)]
mod tests;
