//! Web servers and proxies.

use crate::{
    channel::{ChannelType, Reload},
    preset::facts::{PresetFacts, direct, file, plain},
};

pub(in crate::preset) static NGINX: PresetFacts = PresetFacts {
    type_: ChannelType::Integration,
    listeners: &[direct("https", 443, "HTTPS")],
    closed: &[plain(80, "HTTP"), plain(8080, "HTTP of the unprivileged image")],
    settings: &[
        file("tls.crt", "`ssl_certificate`, and `proxy_ssl_certificate` towards others"),
        file("tls.key", "`ssl_certificate_key`, and `proxy_ssl_certificate_key` towards others"),
        file("clients-ca.crt", "`ssl_client_certificate`"),
        file("servers-ca.crt", "`proxy_ssl_trusted_certificate`"),
    ],
    reload: Reload::Workload,
    reload_by: "`nginx -s reload` starts workers with the new files and lets the old ones finish what they have; with a \
                file that does not fit it keeps the old ones.",
    command: Some("nginx -s reload"),
    recordings: None,
    notes: &[
        "`ssl_verify_client on` refuses a request without a certificate of `ssl_client_certificate` after the handshake, \
         with status 400.",
        "Towards others TLS is not verified unless `proxy_ssl_verify on` says so.",
    ],
    sources: &[
        "[ngx_http_ssl_module](https://nginx.org/en/docs/http/ngx_http_ssl_module.html)",
        "[ngx_http_proxy_module](https://nginx.org/en/docs/http/ngx_http_proxy_module.html): proxy_ssl_*",
        "[Controlling nginx](https://nginx.org/en/docs/control.html): changing configuration",
    ],
};

pub(in crate::preset) static ENVOY: PresetFacts = PresetFacts {
    type_: ChannelType::Integration,
    listeners: &[direct("https", 8443, "HTTPS")],
    closed: &[
        plain(80, "HTTP"),
        plain(8080, "HTTP"),
        plain(9901, "the admin interface, which may do anything"),
    ],
    settings: &[
        file("tls.crt", "`certificate_chain` of a file-based secret (SDS)"),
        file("tls.key", "`private_key` of the same secret"),
        file("clients-ca.crt", "`trusted_ca` of the listener's validation context (SDS)"),
        file("servers-ca.crt", "`trusted_ca` of a cluster's validation context (SDS)"),
    ],
    reload: Reload::Workload,
    reload_by: "Envoy reads the files again when the directory in `watched_directory` changes, as the kubelet's swap of a \
                Secret's files does. Nothing has to be run.",
    command: None,
    recordings: None,
    notes: &[
        "Files named directly in `common_tls_context` are read once at the start: only those of a secret (SDS), which may \
         be a file too, are watched.",
        "`require_client_certificate: true` refuses who has no certificate; without it the validation context checks only \
         who shows one.",
    ],
    sources: &[
        "[Secret discovery service](https://www.envoyproxy.io/docs/envoy/latest/configuration/security/secret): key \
         rotation",
        "[Common TLS configuration](https://www.envoyproxy.io/docs/envoy/latest/api-v3/extensions/transport_sockets/tls/v3/common.proto): \
         watched_directory",
    ],
};
