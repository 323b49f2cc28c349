fn main() {
    for (number, crate_) in ["tea", "lamp oil", "no name"].iter().enumerate() {
        println!("crate {}: {crate_}", number + 1);
    }
}
