//! `cargo xtask bench NAME`.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Result, ensure};

use crate::workspace::{cargo, files, root, stream, target};

/// Measures one thing, in a release build.
#[derive(clap::Args)]
pub struct Args {
    /// What to measure: the part after `bench-` in the name of a program of the end-to-end tests.
    name: String,
    /// Passed on to the program.
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    rest: Vec<String>,
}

/// Builds the operator and the program `bench-NAME`, and runs the latter.
pub fn run(args: &Args) -> Result<()> {
    let folder = root()?.join("tests").join("e2e").join("src").join("bin");
    let known = names(&files(&folder, "rs")?);
    ensure!(
        known.contains(&args.name),
        "failed to find the benchmark `{}`; benchmarks are: {}",
        args.name,
        known.join(", ")
    );
    // The benchmark looks for the operator beside itself. Both are built at once, and the program is started without
    // cargo: each selection of packages has features of its own, and would have everything built anew.
    stream(&mut cargo([
        "build",
        "--release",
        "--locked",
        "--package",
        "leasehold",
        "--package",
        "leasehold-e2e",
        "--bins",
    ])?)?;
    let program = format!("bench-{}{}", args.name, std::env::consts::EXE_SUFFIX);
    let path = target()?.join("release").join(program);
    stream(Command::new(path).args(&args.rest).current_dir(root()?))
}

/// The benchmarks among the sources of programs.
fn names(sources: &[PathBuf]) -> Vec<String> {
    sources
        .iter()
        .filter_map(|path| name(path))
        .map(ToOwned::to_owned)
        .collect()
}

fn name(source: &Path) -> Option<&str> {
    source.file_stem()?.to_str()?.strip_prefix("bench-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_benchmark_is_a_program_whose_name_begins_with_bench() {
        let sources = ["bin/bench-provision.rs", "bin/provision.rs"].map(PathBuf::from);
        assert_eq!(names(&sources), ["provision"]);
    }

    #[test]
    fn an_unknown_benchmark_is_refused_with_the_known_ones() {
        let args = Args {
            name: "nothing".to_owned(),
            rest: Vec::new(),
        };
        let refused = run(&args).unwrap_err().to_string();
        assert!(
            refused.ends_with("benchmarks are: close, meter, provision"),
            "{refused}"
        );
    }
}
