//! `cargo xtask demo`: a city leases, as the people concerned would do it, and one department is
//! followed from its request to its bill.
//!
//! Nothing is staged: the chart is installed by Helm, the operator runs with its `ServiceAccount`'s
//! token, and every command is run, and shown, as the person whose it is. The manifests are those
//! of `examples/`, the city's are in `examples/huangshi/`. A month is played in a minute.

mod city;
mod proof;
mod refused;
mod scene;
mod site;
mod story;

use std::io;
use std::path::PathBuf;
use std::time::Instant;

use anyhow::{Context, Result};

use crate::focus;
use crate::out::Out;
use crate::steps::duration;
use crate::workspace::{cargo, root, stream};
use scene::Scene;
use site::Site;

/// Shows the whole system on a control plane of its own, in about three and a half minutes.
#[derive(clap::Args)]
pub struct Args {
    /// Play on the fresh cluster of this kubeconfig, as of `cargo xtask cluster up`, instead of starting one. It should
    /// be one to throw away: the demo makes nodes and a storage class there. People are impersonated.
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// Leave everything running at the end, until Enter is pressed.
    #[arg(long)]
    keep: bool,
}

/// Runs the demo.
pub fn run(args: &Args) -> Result<()> {
    let mut out = Out::stdout();
    // needed late, and missed early
    let validators = focus::ensure(&mut out)?;
    out.line("building leasehold")?;
    stream(&mut cargo(["build", "--locked", "--package", "leasehold"])?)?;
    let program = std::env::current_exe()
        .context("failed to find this program")?
        .with_file_name("leasehold");
    let started = Instant::now();
    let folder = root()?.join("target").join("demo");
    let site = Site::open(args.kubeconfig.as_deref(), &folder, program, &mut out)?;
    let mut scene = Scene::new(site, out);
    let played = story::play(&mut scene, &validators);
    if played.is_err() {
        scene.say(format_args!(
            "\nthe operator's last lines:\n{}",
            scene.site().operator_tail()
        ))?;
    }
    played?;
    scene.say(format_args!("\nplayed in {}", duration(started.elapsed())))?;
    if args.keep {
        story::linger(&mut scene)?;
        io::stdin()
            .read_line(&mut String::new())
            .context("failed to wait for Enter")?;
    }
    scene.end();
    Ok(())
}
