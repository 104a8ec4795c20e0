//! Logs: one JSON object a line in a cluster, text on a terminal.

use std::io::IsTerminal as _;

use clap::ValueEnum;
use tracing::level_filters::LevelFilter;
use tracing_subscriber::{
    Layer, Registry, filter::Targets, fmt, layer::SubscriberExt as _, util::SubscriberInitExt as _,
};

/// An additional receiver of log records.
pub type LogListener = Box<dyn Layer<Registry> + Send + Sync>;

/// How a line of the log looks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// One JSON object a line.
    Json,
    /// For people.
    Text,
}

/// The filter for records at `level` and above.
///
/// Libraries log at `info` at most, whatever the level: some log requests, answers or tokens at lower levels, and two
/// are known to log private keys. Only our own modules follow `level`.
pub fn targets(level: LevelFilter) -> Targets {
    Targets::new()
        .with_default(level.min(LevelFilter::INFO))
        .with_target("subrosa", level)
        .with_target("vaultrs", LevelFilter::OFF)
        .with_target("rustify", LevelFilter::OFF)
}

/// Starts logging to standard error and to `listener`; only the first call has an effect.
pub fn start(level: LevelFilter, format: Option<Format>, listener: Option<LogListener>) {
    let format = format.unwrap_or(if std::io::stderr().is_terminal() { Format::Text } else { Format::Json });
    let layer = match format {
        Format::Json => fmt::layer().json().flatten_event(true).with_writer(std::io::stderr).boxed(),
        Format::Text => fmt::layer().with_writer(std::io::stderr).boxed(),
    };
    // A program that embeds the operator may have set up logging already.
    let _ = tracing_subscriber::registry().with(listener).with(layer.with_filter(targets(level))).try_init();
}

#[cfg(test)]
mod tests {
    use tracing::Level;

    use super::*;

    #[test]
    fn libraries_stay_quiet_however_much_is_asked_of_us() {
        let targets = targets(LevelFilter::TRACE);
        assert!(targets.would_enable("subrosa::execute::keys", &Level::TRACE));
        assert!(targets.would_enable("kube_client::client", &Level::INFO));
        assert!(!targets.would_enable("kube_client::client", &Level::DEBUG));
        assert!(!targets.would_enable("hyper::proto", &Level::TRACE));
        assert!(!targets.would_enable("vaultrs::client", &Level::ERROR));
        assert!(!targets.would_enable("rustify::endpoint", &Level::ERROR));
    }
}
