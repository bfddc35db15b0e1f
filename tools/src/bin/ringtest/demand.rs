//! What `--assert` demands, held against numbers.

use ringkeeper_tools::assertion::{Assertion, Measure, Mismatch};

/// Refuses assertions about what will not be measured, before anything is.
pub fn known(assertions: &[Assertion], measures: &[Measure]) -> Result<(), Mismatch> {
    assertions.iter().try_for_each(|assertion| assertion.fits(measures))
}

/// Whether all of them hold; says of each that does not what is the case, and `of` what.
pub fn hold(assertions: &[Assertion], measures: &[Measure], of: &str) -> Result<bool, Mismatch> {
    let mut all = true;
    for assertion in assertions {
        if let Some(why) = assertion.broken_by(measures)? {
            eprintln!("assertion failed: {why}{of}");
            all = false;
        }
    }
    Ok(all)
}
