//! Builds the page with Vite into `OUT_DIR`, so that `cargo build` is the whole build.
//!
//! `READER_UI_DIST=DIR` embeds a ready folder instead and needs no npm.
//! `npm ci` runs only when the lock file differs from the copy left in `node_modules`.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Everything the page is made of; cargo runs this script again when one of them changes.
const INPUTS: [&str; 9] = [
    "src",
    "build",
    "public",
    "index.html",
    "package.json",
    "package-lock.json",
    ".npmrc",
    "tsconfig.json",
    "vite.config.ts",
];

fn main() {
    println!("cargo:rerun-if-env-changed=READER_UI_DIST");
    // Paths alone do not tell two checkouts apart that share a target folder; `.cargo/config.toml` does.
    println!("cargo:rerun-if-env-changed=TANCHO_CHECKOUT");
    println!("cargo:rustc-env=TANCHO_READER_UI_SOURCE={}", source().display());
    let dist = match env::var_os("READER_UI_DIST") {
        Some(folder) => ready_folder(Path::new(&folder)),
        None => build_page(),
    };
    println!("cargo:rustc-env=TANCHO_READER_UI_DIST={}", dist.display());
}

/// The folder of this script, in the checkout that is built now.
fn source() -> PathBuf {
    PathBuf::from(env::var_os("CARGO_MANIFEST_DIR").expect("cargo sets CARGO_MANIFEST_DIR"))
}

fn ready_folder(folder: &Path) -> PathBuf {
    let dist = fs::canonicalize(folder).unwrap_or_else(|_| stop("READER_UI_DIST names no folder"));
    if !dist.join("index.html").is_file() {
        stop("READER_UI_DIST holds no index.html: it must be the output of `vite build`");
    }
    println!("cargo:rerun-if-changed={}", dist.display());
    dist
}

fn build_page() -> PathBuf {
    for input in INPUTS {
        println!("cargo:rerun-if-changed={input}");
    }
    let page = source();
    let dist = PathBuf::from(env::var_os("OUT_DIR").expect("cargo sets OUT_DIR")).join("dist");
    install_packages(&page);
    let release = env::var("PROFILE").is_ok_and(|profile| profile == "release");
    let mut vite = npm(&page);
    vite.args([
        "run",
        "build",
        "--",
        "--logLevel",
        "warn",
        "--emptyOutDir",
        "--outDir",
    ])
    .arg(&dist);
    // Brotli at its best takes half a minute: a release pays it once, a developer's loop does not.
    vite.env("TANCHO_UI_BROTLI", if release { "11" } else { "4" });
    run(
        &mut vite,
        "the page did not build: see the messages of `vite build` above",
    );
    dist
}

fn install_packages(page: &Path) {
    let lock =
        fs::read(page.join("package-lock.json")).unwrap_or_else(|_| stop("package-lock.json is missing"));
    let stamp = page.join("node_modules/.tancho-installed-lock");
    if fs::read(&stamp).is_ok_and(|installed| installed == lock) {
        return;
    }
    let mut install = npm(page);
    install.args([
        "ci",
        "--ignore-scripts",
        "--no-audit",
        "--no-fund",
        "--loglevel=error",
    ]);
    run(
        &mut install,
        "`npm ci` failed: it needs Node 20.19 or newer and a package registry",
    );
    fs::write(&stamp, lock).unwrap_or_else(|_| stop("node_modules cannot be written"));
}

fn npm(page: &Path) -> Command {
    let mut command = Command::new(if cfg!(windows) { "npm.cmd" } else { "npm" });
    // A production NODE_ENV would leave out the packages that build the page.
    command.current_dir(page).env_remove("NODE_ENV");
    command
}

fn run(command: &mut Command, failure: &str) {
    match command.output() {
        Ok(output) if output.status.success() => {}
        Ok(output) => {
            eprintln!("{}", String::from_utf8_lossy(&output.stdout));
            eprintln!("{}", String::from_utf8_lossy(&output.stderr));
            stop(failure);
        }
        Err(_) => {
            stop("npm was not found: install Node.js 20.19 or newer, or set READER_UI_DIST to a built page")
        }
    }
}

fn stop(sentence: &str) -> ! {
    panic!("{sentence}")
}
