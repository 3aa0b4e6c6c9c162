//! Names that nobody can guess. Why apart: randomness is an edge like the clock. Deliberately not a generator of our own.

/// A name of 128 random bits in hexadecimal digits, short enough to be typed from a message.
pub fn name() -> String {
    let mut bytes = [0_u8; 16];
    if getrandom::fill(&mut bytes).is_err() {
        // Without randomness a name could be guessed. An empty one is refused wherever one is looked up.
        tracing::error!("the machine gives no random bytes; questions to people cannot be named");
        return String::new();
    }
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
