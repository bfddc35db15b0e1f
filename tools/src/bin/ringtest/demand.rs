//! What `--assert` demands, held against numbers.

use ringkeeper_tools::assertion::{Assertion, Measure, Mismatch};

/// Refuses assertions about what will not be measured, before anything is.
pub fn known(assertions: &[Assertion], measures: &[Measure]) -> Result<(), Mismatch> {
    assertions.iter().try_for_each(|assertion| assertion.fits(measures))
}

/// Whether all of them hold that are about what was measured; says what is the case of each that does not.
pub fn hold_of_measured(assertions: &[Assertion], measures: &[Measure]) -> Result<bool, Mismatch> {
    let about: Vec<Assertion> =
        assertions.iter().filter(|assertion| assertion.fits(measures).is_ok()).cloned().collect();
    hold(&about, measures, "")
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
