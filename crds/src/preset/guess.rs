//! Guesses the server in an image by the image's name, for drafts that a person reviews.

use super::Preset;

/// What an image of each server is usually called.
const NAMES: [(&str, Preset); 14] = [
    ("kamailio", Preset::Kamailio),
    ("asterisk", Preset::Asterisk),
    ("freeswitch", Preset::FreeSWITCH),
    ("livekit", Preset::LiveKit),
    ("livekit-server", Preset::LiveKit),
    ("postfix", Preset::Postfix),
    ("dovecot", Preset::Dovecot),
    ("postgres", Preset::PostgreSQL),
    ("postgresql", Preset::PostgreSQL),
    ("mosquitto", Preset::Mosquitto),
    ("eclipse-mosquitto", Preset::Mosquitto),
    ("nginx", Preset::Nginx),
    ("nginx-unprivileged", Preset::Nginx),
    ("envoy", Preset::Envoy),
];

/// The server in `image`, if the last part of the image's name is a usual name of it. An exporter or a tool for a
/// server has another name and does not match.
pub fn of_image(image: &str) -> Option<Preset> {
    let name = image.split('@').next()?.rsplit('/').next()?;
    let name = name.split(':').next()?;
    NAMES.iter().find(|(known, _)| *known == name).map(|(_, preset)| *preset)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_image_is_known_by_the_last_part_of_its_name() {
        assert_eq!(of_image("postgres"), Some(Preset::PostgreSQL));
        assert_eq!(of_image("docker.io/library/postgres:17.2"), Some(Preset::PostgreSQL));
        assert_eq!(of_image("registry.example:5000/nginx@sha256:ab"), Some(Preset::Nginx));
        assert_eq!(
            of_image("registry.example:5000/x/eclipse-mosquitto:2@sha256:ab"),
            Some(Preset::Mosquitto)
        );
        for other in ["prometheuscommunity/postgres-exporter:v1", "nginx/nginx-ingress", "my-envoy", ""] {
            assert_eq!(of_image(other), None, "{other}");
        }
    }
}
