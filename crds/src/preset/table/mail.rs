//! Servers of e-mail.

use crate::{
    channel::{ChannelType, ListenerTls, Reload},
    preset::facts::{ClosedPort, Offer, PresetFacts, direct, file, plain, tcp},
};

pub(in crate::preset) static POSTFIX: PresetFacts = PresetFacts {
    type_: ChannelType::Email,
    listeners: &[
        direct("submissions", 465, "submission over TLS (RFC 8314)"),
        Offer {
            name: "submission",
            ports: tcp(587),
            tls: ListenerTls::Smtp,
            what: "submission, TLS required before anything else",
        },
    ],
    closed: &[
        ClosedPort {
            ports: tcp(25),
            unless: Some(ListenerTls::Smtp),
            what: "SMTP between servers; say `tls: SMTP` where STARTTLS is required there",
        },
        ClosedPort { ports: tcp(587), unless: Some(ListenerTls::Smtp), what: "submission without STARTTLS" },
    ],
    settings: &[
        file("tls.key", "`smtpd_tls_chain_files` and `smtp_tls_chain_files`, before the certificate"),
        file("tls.crt", "`smtpd_tls_chain_files` and `smtp_tls_chain_files`, after the key"),
        file("clients-ca.crt", "`smtpd_tls_CAfile`"),
        file("servers-ca.crt", "`smtp_tls_CAfile`"),
    ],
    reload: Reload::Workload,
    reload_by: "`postfix reload` replaces the processes, each of which reads the files as it starts.",
    command: Some("postfix reload"),
    recordings: None,
    notes: &[
        "`smtpd_tls_security_level = encrypt` is what makes STARTTLS required; with `may` the port is plain text.",
        "`smtpd_tls_req_ccert = yes` refuses who has no certificate of `clients-ca.crt`; \
         `permit_tls_all_clientcerts` lets exactly those relay.",
        "Processes also end by themselves after a while (`max_use`, `max_idle`), so an old certificate never stays for \
         long on a server that is used.",
    ],
    sources: &[
        "[postconf(5)](https://www.postfix.org/postconf.5.html): the settings named here",
        "[TLS_README](https://www.postfix.org/TLS_README.html)",
        "[postfix(1)](https://www.postfix.org/postfix.1.html): reload",
    ],
};

pub(in crate::preset) static DOVECOT: PresetFacts = PresetFacts {
    type_: ChannelType::Email,
    listeners: &[direct("imaps", 993, "IMAP over TLS")],
    closed: &[
        ClosedPort {
            ports: tcp(143),
            unless: Some(ListenerTls::Imap),
            what: "IMAP; say `tls: IMAP` where `ssl = required` guards it",
        },
        plain(110, "POP3"),
        plain(24, "LMTP"),
        plain(4190, "ManageSieve"),
    ],
    settings: &[
        file("tls.crt", "`ssl_cert`, with `<` before the path"),
        file("tls.key", "`ssl_key`, with `<` before the path"),
        file("clients-ca.crt", "`ssl_ca`, with `<` before the path"),
        file("servers-ca.crt", "`ssl_client_ca_file`, where Dovecot itself connects to others"),
    ],
    reload: Reload::Workload,
    reload_by: "`doveadm reload` has the master read its configuration and the files again; logins that come after it \
                meet the new ones.",
    command: Some("doveadm reload"),
    recordings: None,
    notes: &[
        "`ssl_require_crl` is `yes` unless said otherwise, and then nobody gets in: Subrosa makes no revocation lists, it \
         takes the authority out of the file.",
        "Dovecot finishes the TLS handshake with a client it does not trust and refuses its login: \
         `auth_ssl_require_client_cert` is what closes the door.",
        "These are the names of Dovecot 2.3. Dovecot 2.4 calls them `ssl_server_cert_file`, `ssl_server_key_file`, \
         `ssl_server_ca_file` and `ssl_server_request_client_cert`.",
        "Expunged mail is not gone: sender, subject and preview stay in the cache of the mailbox's index until \
         `doveadm mailbox cache purge` has run.",
        "In Maildir a changed flag starts the period of `autoexpunge` anew for that mail and holds back all that came after \
         it (2.3.19): take sdbox, or let `doveadm expunge` search by `before`, which is the time of arrival.",
    ],
    sources: &[
        "[SSL configuration](https://doc.dovecot.org/2.3/configuration_manual/dovecot_ssl_configuration/)",
        "doveadm(1): reload",
    ],
};
