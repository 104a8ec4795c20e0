//! Servers that keep or pass on data.

use crate::{
    channel::{ChannelType, ListenerTls, Reload},
    preset::facts::{ClosedPort, Offer, PresetFacts, direct, file, plain, tcp},
};

pub(in crate::preset) static POSTGRESQL: PresetFacts = PresetFacts {
    type_: ChannelType::Database,
    listeners: &[Offer {
        name: "postgres",
        ports: tcp(5432),
        tls: ListenerTls::PostgreSQL,
        what: "PostgreSQL, with TLS after its SSLRequest",
    }],
    closed: &[ClosedPort {
        ports: tcp(5432),
        unless: Some(ListenerTls::PostgreSQL),
        what: "PostgreSQL without TLS; `hostssl` in pg_hba.conf refuses it on the same port",
    }],
    settings: &[
        file("tls.crt", "`ssl_cert_file`"),
        file("tls.key", "`ssl_key_file`"),
        file("clients-ca.crt", "`ssl_ca_file`"),
        file("servers-ca.crt", "`sslrootcert` of a standby's `primary_conninfo`, where there is one"),
    ],
    reload: Reload::Workload,
    reload_by: "SIGHUP to the postmaster (`pg_ctl reload`) reads all files again, for new connections; with a file that \
                does not fit it keeps the old ones and says so in its log.",
    command: Some("pg_ctl reload -D \"$PGDATA\""),
    recordings: None,
    notes: &[
        "The key must belong to the database's user with mode 0600, or to root with at most 0640: mount with \
         `defaultMode: 0440` and the user's group in `fsGroup`.",
        "`clientcert=verify-full` takes a certificate only where its common name is the database user: write that user in \
         `tls.commonName` of the client's Channel. `verify-ca` checks the authority alone.",
        "No `host` line in pg_hba.conf: only `hostssl` refuses plain text.",
        "Where pgaudit (1.7) keeps the audit trail, set `pgaudit.log_relation = on`: without it a `MERGE` has no entry.",
    ],
    sources: &[
        "[Secure TCP/IP connections with SSL](https://www.postgresql.org/docs/current/ssl-tcp.html)",
        "[pg_hba.conf](https://www.postgresql.org/docs/current/auth-pg-hba-conf.html)",
    ],
};

pub(in crate::preset) static MOSQUITTO: PresetFacts = PresetFacts {
    type_: ChannelType::Integration,
    listeners: &[direct("mqtts", 8883, "MQTT over TLS")],
    closed: &[plain(1883, "MQTT"), plain(9001, "MQTT over WebSocket")],
    settings: &[
        file("tls.crt", "`certfile`"),
        file("tls.key", "`keyfile`"),
        file("clients-ca.crt", "`cafile` of the listener"),
        file("servers-ca.crt", "`bridge_cafile`, where it bridges to another broker"),
    ],
    reload: Reload::Restart,
    reload_by: "What `workload.ref` names is restarted in turn. SIGHUP is not enough: it reads `certfile` and `keyfile` \
                again, but `cafile` only at the start, so a peer whose authority was renewed would be refused.",
    command: None,
    recordings: None,
    notes: &[
        "Clients connect again by themselves; keep `persistence true` on a volume so that sessions survive the restart.",
        "`require_certificate true` refuses who has no certificate of `cafile`; `use_identity_as_username true` makes its \
         common name the user of the access list.",
    ],
    sources: &[
        "[mosquitto(8)](https://mosquitto.org/man/mosquitto-8.html): signals",
        "[mosquitto.conf(5)](https://mosquitto.org/man/mosquitto-conf-5.html): which files SIGHUP reads again",
    ],
};
