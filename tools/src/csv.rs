//! Numbers in a file that every spreadsheet reads (RFC 4180). Pure.

/// Lines of fields, the header first. Fields with commas, quotes or line ends are quoted.
pub fn text<Row: AsRef<[String]>>(header: &[&str], rows: impl IntoIterator<Item = Row>) -> String {
    let mut text = line(header.iter().copied());
    for row in rows {
        text.push_str(&line(row.as_ref().iter().map(String::as_str)));
    }
    text
}

fn line<'a>(fields: impl Iterator<Item = &'a str>) -> String {
    let quoted = |field: &str| match field.contains([',', '"', '\n', '\r']) {
        true => format!("\"{}\"", field.replace('"', "\"\"")),
        false => field.to_owned(),
    };
    let fields: Vec<String> = fields.map(quoted).collect();
    fields.join(",") + "\n"
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_would_be_misread_is_quoted() {
        let rows = [vec!["a,b".to_owned(), "1".to_owned()], vec!["say \"hi\"".to_owned(), "2".to_owned()]];
        assert_eq!(text(&["name", "count"], rows), "name,count\n\"a,b\",1\n\"say \"\"hi\"\"\",2\n");
    }
}
