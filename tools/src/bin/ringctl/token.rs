//! The token that the control API may ask for, and where it stands.

use std::{fs, io, path::Path};

use anyhow::{Context, bail};

/// The token: the one that is given, else that of the file that is given, else that of `default` if there is such a file.
/// An empty one counts as none.
pub fn find(
    given: Option<&str>,
    file: Option<&Path>,
    default: Option<&Path>,
) -> anyhow::Result<Option<String>> {
    if let Some(token) = given.filter(|token| !token.is_empty()) {
        return sound(token).map(Some);
    }
    let (path, text) = match (file, default) {
        (Some(path), _) => (path, fs::read_to_string(path)),
        (None, Some(path)) => (path, fs::read_to_string(path)),
        (None, None) => return Ok(None),
    };
    match text {
        Ok(text) if text.trim().is_empty() && file.is_some() => {
            bail!("the token file {} is empty", path.display())
        }
        Ok(text) if text.trim().is_empty() => Ok(None),
        Ok(text) => sound(text.trim()).map(Some),
        Err(error) if error.kind() == io::ErrorKind::NotFound && file.is_none() => Ok(None),
        Err(error) => Err(error).with_context(|| format!("the token file {} cannot be read", path.display())),
    }
}

/// A token is sent as it is, so it is made of what a header may hold (RFC 6750 has even less).
fn sound(token: &str) -> anyhow::Result<String> {
    if !token.bytes().all(|byte| byte.is_ascii_graphic()) {
        bail!("a token has only visible ASCII characters and no blanks");
    }
    Ok(token.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_typed_comes_before_a_file_and_a_named_file_before_the_usual_one() {
        let folder = tempfile::tempdir().expect("a folder");
        let (named, usual) = (folder.path().join("named"), folder.path().join("usual"));
        fs::write(&named, "n4med\n").expect("written");
        fs::write(&usual, "usu4l\n").expect("written");
        let find = |given, file| find(given, file, Some(&usual)).expect("a token");
        assert_eq!(find(Some("typed"), Some(&named)).as_deref(), Some("typed"));
        assert_eq!(find(Some(""), Some(&named)).as_deref(), Some("n4med"));
        assert_eq!(find(None, None).as_deref(), Some("usu4l"));
    }

    #[test]
    fn a_named_file_has_to_hold_one_the_usual_one_need_not_be_there() {
        let folder = tempfile::tempdir().expect("a folder");
        let none = folder.path().join("none");
        assert_eq!(find(None, None, Some(&none)).expect("no token"), None);
        let error = find(None, Some(&none), None).expect_err("no file").to_string();
        assert!(error.contains("cannot be read"), "{error}");
        fs::write(&none, "\n").expect("written");
        assert!(find(None, Some(&none), None).is_err());
        assert!(find(Some("a b"), None, None).is_err() && find(Some("a\nb"), None, None).is_err());
    }
}
