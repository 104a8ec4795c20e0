//! `cargo demo`: a contact centre protected, on a cluster and an OpenBao that it starts and ends itself.

use std::process::ExitCode;

use anyhow::{Context as _, Result};
use clap::Parser;
use subrosa_e2e::{
    demo::{Demo, NodeDemo, Screen},
    tools,
};
use tokio::{
    runtime::Runtime,
    signal::unix::{SignalKind, signal},
};

/// Starts a cluster, OpenBao and the operator, applies examples/contact-center, proves what became of
/// it, and leaves it running until Ctrl-C
#[derive(Debug, Parser)]
#[command(name = "cargo demo")]
struct Args {
    /// End by itself; exit code 0 only if everything held
    #[arg(long)]
    once: bool,
    /// On a node, with real servers in pods that mount what Subrosa writes; needs Linux, root and Debian's packages
    #[arg(long)]
    node: bool,
}

/// What runs until it is dropped.
enum Running {
    Processes { _demo: Box<Demo> },
    Node { _demo: Box<NodeDemo> },
}

/// What a shell reports of a program that Ctrl-C ended.
const INTERRUPTED: u8 = 130;

fn main() -> ExitCode {
    let args = Args::parse();
    let runtime = match Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return failed(&error.into()),
    };
    let exit = runtime.block_on(async {
        let stopped = stopped();
        tokio::pin!(stopped);
        // Dropping a demo that is being made ends what it started, as dropping one that was made does.
        tokio::select! {
            result = demo(&args) => match result {
                Ok((demo, held)) => {
                    if !args.once {
                        let _ = stopped.await;
                        tools::say("ending everything");
                    }
                    drop(demo);
                    if held { ExitCode::SUCCESS } else { ExitCode::FAILURE }
                }
                Err(error) => failed(&error),
            },
            _ = &mut stopped => {
                tools::say("ending everything");
                ExitCode::from(INTERRUPTED)
            }
        }
    });
    // A build that is under way on a thread of its own is not waited for.
    runtime.shutdown_background();
    exit
}

async fn demo(args: &Args) -> Result<(Running, bool)> {
    let mut screen = Screen::stdout();
    if args.node {
        let demo = NodeDemo::start(&mut screen).await?;
        let held = demo.held(&mut screen).await?;
        if !args.once {
            demo.invite(&mut screen)?;
        }
        return Ok((Running::Node { _demo: Box::new(demo) }, held));
    }
    let demo = Demo::start(&mut screen).await?;
    let held = demo.held(&mut screen)?;
    if !args.once {
        demo.invite(&mut screen).await?;
    }
    Ok((Running::Processes { _demo: Box::new(demo) }, held))
}

/// Ctrl-C, or the end that a supervisor asks for.
async fn stopped() -> Result<()> {
    let mut terminated = signal(SignalKind::terminate()).context("wait for SIGTERM")?;
    tokio::select! {
        _ = terminated.recv() => Ok(()),
        pressed = tokio::signal::ctrl_c() => pressed.context("wait for Ctrl-C"),
    }
}

fn failed(error: &anyhow::Error) -> ExitCode {
    tools::say(&format!("{error:#}"));
    ExitCode::FAILURE
}
