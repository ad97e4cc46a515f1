//! Prints its TRACEPARENT, and ends as its argument says: an exit code, or a panic.

fn main() {
    println!("{}", std::env::var("TRACEPARENT").unwrap_or_default());
    match std::env::args().nth(1).as_deref() {
        None => {}
        Some("panic") => panic!("asked to"),
        Some(code) => std::process::exit(code.parse().expect("a number")),
    }
}
