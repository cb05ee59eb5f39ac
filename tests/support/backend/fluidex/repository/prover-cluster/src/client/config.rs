// The configuration that the sample client takes.
pub struct Settings {
    pub prover_id: String,
    pub upstream: String,
    pub circuit: String,
}
