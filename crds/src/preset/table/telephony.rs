//! Servers of voice and video.

use crate::{
    channel::{ChannelType, Reload},
    preset::facts::{ClosedPort, PresetFacts, direct, file, media, plain, udp},
    sealing::Finished,
};

pub(in crate::preset) static KAMAILIO: PresetFacts = PresetFacts {
    type_: ChannelType::Voice,
    listeners: &[direct("sips", 5061, "SIP over TLS")],
    closed: &[
        ClosedPort { ports: udp(5060, 5060), unless: None, what: "SIP over UDP" },
        plain(5060, "SIP over TCP"),
    ],
    settings: &[
        file("tls.crt", "`certificate` of `[server:default]` and `[client:default]` in tls.cfg"),
        file("tls.key", "`private_key` of both"),
        file("clients-ca.crt", "`ca_list` of `[server:default]`"),
        file("servers-ca.crt", "`ca_list` of `[client:default]`"),
    ],
    reload: Reload::Workload,
    reload_by: "`kamcmd tls.reload` reads tls.cfg and all files it names again, for new connections.",
    command: Some("kamcmd -s unixs:/run/kamailio/kamailio_ctl tls.reload"),
    recordings: None,
    notes: &[
        "Kamailio checks by whom a certificate is signed and not the name in it: `ca_list` alone decides who is let in, \
         which is why its files hold exactly the declared peers.",
        "With OpenSSL 3 a reload while clients connect can end connections, and the whole server, in 5.6.3, the one of \
         Debian 12; its developers name an error queue that its processes share. 6.0.1 was reloaded 172 times during \
         21,900 connections and lost none. Take a release that knows `tls_threads_mode` (5.7.5, 5.8 and later); with an \
         earlier one write `tls.reload: Restart`.",
        "Memory grows with each reload; with renewals weeks apart it is of no concern.",
        "Media goes past it. Where rtpengine runs in the same pod, write its ports beside `sips` in `spec.listeners`.",
    ],
    sources: &[
        "[TLS module](https://www.kamailio.org/docs/modules/stable/modules/tls.html): tls.reload, Known Limitations",
        "[CTL module](https://www.kamailio.org/docs/modules/stable/modules/ctl.html)",
    ],
};

pub(in crate::preset) static ASTERISK: PresetFacts = PresetFacts {
    type_: ChannelType::Voice,
    listeners: &[direct("sips", 5061, "SIP over TLS"), media("rtp", udp(10000, 20000), "SRTP")],
    closed: &[
        ClosedPort { ports: udp(5060, 5060), unless: None, what: "SIP over UDP" },
        plain(5060, "SIP over TCP"),
        ClosedPort { ports: udp(4569, 4569), unless: None, what: "IAX2" },
        plain(5038, "the manager interface"),
        plain(8088, "HTTP, ARI and WebSocket"),
    ],
    settings: &[
        file("tls.crt", "`cert_file` of the transport in pjsip.conf"),
        file("tls.key", "`priv_key_file`"),
        file("clients-ca.crt", "`ca_list_file`"),
        file("servers-ca.crt", "`ca_list_file` of a second transport, for calls to others"),
    ],
    reload: Reload::Restart,
    reload_by: "What `workload.ref` names is restarted in turn. `asterisk -rx 'module reload res_pjsip.so'` is not \
                enough: it looks at the files only when pjsip.conf itself was changed or touched.",
    command: None,
    recordings: Some((
        Finished::Closed,
        "MixMonitor opens the file when the recording begins and closes it when it ends, before its command runs.",
    )),
    notes: &[
        "Releases since the end of 2022, built with their bundled PJSIP, open the TLS transport again with a changed \
         certificate of the same file name when `res_pjsip.so` is reloaded after `touch pjsip.conf`. Who does that writes \
         `tls.reload: Workload`.",
        "A restart ends calls that its termination grace does not outlast: have `preStop` run \
         `asterisk -rx 'core stop gracefully'`.",
        "`ca_list_file` is for both directions of a transport: calls to others need a second transport with \
         `servers-ca.crt`, on a port that is no listener.",
        "RTP is as secret as the endpoint says: `media_encryption=sdes` or `dtls`, and never \
         `media_encryption_optimistic=yes`.",
    ],
    sources: &[
        "[res_pjsip](https://docs.asterisk.org/Latest_API/API_Documentation/Module_Configuration/res_pjsip/): transport, \
         endpoint",
        "`res/res_pjsip/config_transport.c` and `res/res_sorcery_config.c` of Asterisk: what a reload looks at",
        "`configs/samples/rtp.conf.sample` of Asterisk: the ports of RTP",
        "`apps/app_mixmonitor.c` of Asterisk: when a recording is opened and closed",
    ],
};

pub(in crate::preset) static FREESWITCH: PresetFacts = PresetFacts {
    type_: ChannelType::Voice,
    listeners: &[direct("sips", 5061, "SIP over TLS"), media("rtp", udp(16384, 32768), "SRTP")],
    closed: &[
        ClosedPort { ports: udp(5060, 5060), unless: None, what: "SIP over UDP" },
        plain(5060, "SIP over TCP"),
        ClosedPort { ports: udp(5080, 5080), unless: None, what: "SIP over UDP of the external profile" },
        plain(5080, "SIP over TCP of the external profile"),
        plain(5066, "SIP over WebSocket"),
        plain(8021, "the event socket, which may do anything"),
        plain(8081, "Verto over WebSocket"),
    ],
    settings: &[
        file("tls.crt", "the first part of `agent.pem` in `tls-cert-dir` of the SIP profile"),
        file("tls.key", "the second part of `agent.pem`"),
        file("clients-ca.crt", "`cafile.pem` in `tls-cert-dir` of the profile that is called"),
        file("servers-ca.crt", "`cafile.pem` in `tls-cert-dir` of a profile that calls"),
    ],
    reload: Reload::Restart,
    reload_by: "What `workload.ref` names is restarted in turn; an init container puts `agent.pem` together.",
    command: None,
    recordings: Some((
        Finished::Quiet,
        "`record_session` may open a file again (`RECORD_APPEND`), and writes in steps of 64 KiB: choose `--quiet-for` \
         longer than a step takes.",
    )),
    notes: &[
        "Since May 2026, with Sofia-SIP 1.13.18, the API command `reloadcert` reads `agent.pem` and `cafile.pem` again. \
         Who has that version, and something that puts `agent.pem` together anew, writes `tls.reload: Workload`.",
        "One profile has one `cafile.pem` for both directions: let one profile be called and another one call.",
        "RTP is as secret as the dialplan says: `rtp_secure_media=mandatory`.",
    ],
    sources: &[
        "`conf/vanilla/sip_profiles/internal.xml`, `conf/vanilla/vars.xml` and \
         `conf/vanilla/autoload_configs/switch.conf.xml` of FreeSWITCH: settings and ports",
        "`libsofia-sip-ua/tport/tport_tls.c` of Sofia-SIP: `agent.pem`, `cafile.pem`",
        "`src/switch_ivr_async.c` of FreeSWITCH: when a recording is written",
    ],
};

pub(in crate::preset) static LIVEKIT: PresetFacts = PresetFacts {
    type_: ChannelType::Video,
    listeners: &[
        direct("wss", 8443, "signalling over WebSocket and the API, by a proxy in the pod"),
        media("rtp", udp(50000, 60000), "WebRTC media, always DTLS-SRTP"),
    ],
    closed: &[plain(7880, "signalling and the API without TLS"), plain(6789, "metrics")],
    settings: &[
        file("tls.crt", "`certificate_chain` of the proxy (here Envoy)"),
        file("tls.key", "`private_key` of the proxy"),
        file("clients-ca.crt", "`trusted_ca` of the proxy"),
    ],
    reload: Reload::Workload,
    reload_by: "The proxy, Envoy, watches the directory of the files.",
    command: None,
    recordings: None,
    notes: &[
        "LiveKit's server has no TLS for signalling: its documentation puts a proxy before it. Here the proxy is in the \
         pod, and the server binds to 127.0.0.1 only, so no plain text leaves the pod.",
        "With its own TURN over TLS (5349) the server reads the certificate at its start only: write the listener, and \
         `tls.reload: Restart`.",
        "ICE over TCP (7881) is encrypted too, and no part of the preset: write the listener with `tls: None` where \
         clients need it.",
    ],
    sources: &[
        "[Ports and firewall](https://docs.livekit.io/oss/deployment/ports-firewall)",
        "[Deployment](https://docs.livekit.io/oss/deployment): TLS is terminated before it",
        "`config-sample.yaml` and `pkg/service/turn.go` of livekit: `bind_addresses`, the certificate of TURN",
    ],
};
