//! Tells cargo that a new migration file changes the crate: the migrations are embedded at compile time.

fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
